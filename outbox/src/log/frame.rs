//! A frame: what one entry of a log is on disk.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..2 | `GF` |
//! | 2 | what it says ([`Kind`]) |
//! | 3 | flags |
//! | 4..8 | the length of the payload |
//! | 8..16 | the number of the record that it speaks of |
//! | 16..20 | since where the segment was not synced when this was written |
//! | 20..22 | how many frames follow that were put together with it |
//! | 22..24 | zero |
//! | 24..28 | CRC-32C of the payload and the zeros behind it |
//! | 28..32 | CRC-32C of all above, the segment's seed and the frame's offset |
//! | 32.. | the payload, and zeros up to a multiple of 8 |
//!
//! Numbers are little-endian. The seed and the offset are in the sum so that what an earlier file
//! left in the same place, or a disk wrote in the wrong one, is no frame.

/// The length of what stands before a payload.
pub(crate) const HEADER: usize = 32;

/// Frames begin at multiples of this.
pub(crate) const ALIGN: usize = 8;

/// The frame is a copy of one that an older segment had.
pub(crate) const COPY: u8 = 1;

const MAGIC: [u8; 2] = *b"GF";

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A record that was put.
    Put = 1,
    /// How far a record has come.
    Progress = 2,
    /// A record has left: it was delivered, or is safe as a dead letter, or was removed.
    Done = 3,
    /// What was parked at a target is not any more.
    Unparked = 4,
    /// Who was seen, for deduplication.
    Seen = 5,
    /// A dead letter.
    Dead = 6,
    /// A dead letter was replayed.
    Replayed = 7,
    /// A dead letter was removed.
    Removed = 8,
    /// Nothing: it stands where a write was torn.
    Filler = 9,
    /// The log was closed; all before it was synced.
    Closed = 10,
}

/// All of a frame but its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    /// The length of the payload.
    pub(crate) len: u32,
    /// Which record.
    pub(crate) id: u64,
    /// Since where the segment was not synced.
    pub(crate) unsynced: u32,
    /// How many frames of the same put follow.
    pub(crate) follow: u16,
    /// The sum of the payload and of the zeros behind it.
    pub(crate) sum: u32,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Put,
            2 => Self::Progress,
            3 => Self::Done,
            4 => Self::Unparked,
            5 => Self::Seen,
            6 => Self::Dead,
            7 => Self::Replayed,
            8 => Self::Removed,
            9 => Self::Filler,
            10 => Self::Closed,
            _ => return None,
        })
    }
}

/// What a frame with such a payload takes.
pub(crate) fn size(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(ALIGN)
}

/// The sum of a payload.
pub(crate) fn sum(payload: &[u8]) -> u32 {
    crc32c::crc32c(payload)
}

impl Header {
    /// Its bytes, at an offset of the segment with a seed.
    pub(crate) fn encode(&self, seed: u64, at: u32) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0..2].copy_from_slice(&MAGIC);
        bytes[2] = self.kind as u8;
        bytes[3] = self.flags;
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.unsynced.to_le_bytes());
        bytes[20..22].copy_from_slice(&self.follow.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.sum.to_le_bytes());
        let own = own_sum(&bytes, seed, at);
        bytes[28..32].copy_from_slice(&own.to_le_bytes());
        bytes
    }

    /// Reads one; none if these are not the bytes of one that was written here.
    pub(crate) fn decode(bytes: &[u8; HEADER], seed: u64, at: u32) -> Option<Self> {
        if bytes[0..2] != MAGIC || number(bytes, 28) != own_sum(bytes, seed, at) {
            return None;
        }
        let [low, high] = [bytes[20], bytes[21]];
        Some(Self {
            kind: Kind::of(bytes[2])?,
            flags: bytes[3],
            len: number(bytes, 4),
            id: u64::from(number(bytes, 8)) | u64::from(number(bytes, 12)) << 32,
            unsynced: number(bytes, 16),
            follow: u16::from_le_bytes([low, high]),
            sum: number(bytes, 24),
        })
    }
}

fn own_sum(bytes: &[u8; HEADER], seed: u64, at: u32) -> u32 {
    let sum = crc32c::crc32c(&bytes[..28]);
    let sum = crc32c::crc32c_append(sum, &seed.to_le_bytes());
    crc32c::crc32c_append(sum, &at.to_le_bytes())
}

/// The number that stands at an offset.
pub(crate) fn number(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_header_comes_back_as_it_was_and_nowhere_else(
            id: u64, len: u32, unsynced: u32, follow: u16, sum: u32, flags: u8,
            seed: u64, at: u32, bit in 0..HEADER * 8,
        ) {
            let header = Header { kind: Kind::Put, flags, len, id, unsynced, follow, sum };
            let mut bytes = header.encode(seed, at);
            prop_assert_eq!(Header::decode(&bytes, seed, at), Some(header));
            prop_assert_eq!(Header::decode(&bytes, seed ^ 1, at), None);
            prop_assert_eq!(Header::decode(&bytes, seed, at ^ 8), None);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Header::decode(&bytes, seed, at), None);
        }
    }
}
