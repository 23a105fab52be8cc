//! The protobuf wire format: varints, tags, lengths.

use crate::plan::{Kind, WireType};

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends a length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a scalar that is neither a string nor bytes, by its bits.
pub(crate) fn put_bits(out: &mut Vec<u8>, kind: Kind, bits: u64) {
    match kind.wire_type() {
        WireType::Fixed64 => out.extend_from_slice(&bits.to_le_bytes()),
        WireType::Fixed32 => out.extend_from_slice(&bits.to_le_bytes()[..4]),
        _ => put_varint(out, bits),
    }
}

/// Begins something with a length in front; [`end`] is given what this returns.
///
/// One byte is kept for the length: most messages are shorter than 128 bytes, and where one is
/// longer, moving it costs less than a pass that measures first would cost every message.
pub(crate) fn begin(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len()
}

/// Writes the length of what was written since [`begin`].
pub(crate) fn end(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    if let Ok(short @ 0..=0x7f) = u8::try_from(length) {
        out[start - 1] = short;
        return;
    }
    let mut prefix = [0; 10];
    let mut width = 0;
    let mut rest = length;
    while rest > 0 {
        let more = if rest > 0x7f { 0x80 } else { 0 };
        prefix[width] = (rest & 0x7f).to_le_bytes()[0] | more;
        width += 1;
        rest >>= 7;
    }
    let prefix = &prefix[..width];
    out.resize(out.len() + width - 1, 0);
    out.copy_within(start..start + length, start - 1 + width);
    out[start - 1..start - 1 + width].copy_from_slice(prefix);
}

/// Reads what is left of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

/// A value as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// A varint or a fixed width.
    Bits(u64),
    /// What a length or a group encloses.
    Bytes(&'a [u8]),
}

/// What is wrong with bytes that were said to be a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("ends in the middle of a value")]
    Short,
    #[error("has a number of more than 64 bits")]
    LongVarint,
    #[error("has a tag that no field can have")]
    Tag,
    #[error("has a group that does not end")]
    Group,
    #[error("has groups nested too deep")]
    Depth,
}

/// How deep groups may nest that are skipped; the same as everywhere in protobuf.
const GROUPS_MAX: usize = 100;

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        if let Some((&first @ 0..=0x7f, rest)) = self.rest.split_first() {
            self.rest = rest;
            return Ok(first.into());
        }
        let mut value = 0;
        for (at, byte) in self.rest.iter().take(10).enumerate() {
            // The tenth byte has room for one bit.
            if at == 9 && *byte > 1 {
                return Err(Malformed::LongVarint);
            }
            value |= u64::from(byte & 0x7f) << (at * 7);
            if *byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { Malformed::Short } else { Malformed::LongVarint })
    }

    /// Reads a field's number and how its value stands there; an end of a group is malformed here.
    pub(crate) fn tag(&mut self) -> Result<(u32, WireType), Malformed> {
        match self.tag_or_end()? {
            (number, Some(wire_type)) => Ok((number, wire_type)),
            (_, None) => Err(Malformed::Group),
        }
    }

    fn tag_or_end(&mut self) -> Result<(u32, Option<WireType>), Malformed> {
        let tag = u32::try_from(self.varint()?).map_err(|_| Malformed::Tag)?;
        let wire_type = match tag & 7 {
            0 => Some(WireType::Varint),
            1 => Some(WireType::Fixed64),
            2 => Some(WireType::Len),
            3 => Some(WireType::Group),
            4 => None,
            5 => Some(WireType::Fixed32),
            _ => return Err(Malformed::Tag),
        };
        if tag >> 3 == 0 { Err(Malformed::Tag) } else { Ok((tag >> 3, wire_type)) }
    }

    /// Reads the value after a tag.
    pub(crate) fn item(&mut self, number: u32, wire_type: WireType) -> Result<Item<'a>, Malformed> {
        Ok(match wire_type {
            WireType::Varint => Item::Bits(self.varint()?),
            WireType::Fixed64 => Item::Bits(self.fixed64()?),
            WireType::Fixed32 => Item::Bits(self.fixed32()?.into()),
            WireType::Len => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Short)?;
                Item::Bytes(self.take(length)?)
            }
            WireType::Group => Item::Bytes(self.group(number, GROUPS_MAX)?),
        })
    }

    /// Reads a value of a packed list.
    pub(crate) fn bits(&mut self, kind: Kind) -> Result<u64, Malformed> {
        match kind.wire_type() {
            WireType::Fixed64 => self.fixed64(),
            WireType::Fixed32 => Ok(self.fixed32()?.into()),
            _ => self.varint(),
        }
    }

    fn group(&mut self, number: u32, depth: usize) -> Result<&'a [u8], Malformed> {
        let depth = depth.checked_sub(1).ok_or(Malformed::Depth)?;
        let whole = self.rest;
        loop {
            let before = self.rest.len();
            match self.tag_or_end()? {
                (end, None) if end == number => return Ok(&whole[..whole.len() - before]),
                (_, None) => return Err(Malformed::Group),
                (inner, Some(WireType::Group)) => {
                    self.group(inner, depth)?;
                }
                (inner, Some(wire_type)) => {
                    self.item(inner, wire_type)?;
                }
            }
        }
    }

    fn fixed64(&mut self) -> Result<u64, Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    fn fixed32(&mut self) -> Result<u32, Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_any_width_is_written_in_front() {
        for length in [0, 1, 127, 128, 300, 16_383, 16_384, 3_000_000] {
            let mut out = b"before".to_vec();
            let start = begin(&mut out);
            out.extend((0..length).map(|n: usize| n.to_le_bytes()[0]));
            end(&mut out, start);

            let mut expected = b"before".to_vec();
            put_bytes(&mut expected, &(0..length).map(|n| n.to_le_bytes()[0]).collect::<Vec<_>>());
            assert_eq!(out, expected, "{length}");
        }
    }

    #[test]
    fn a_varint_is_read_back_and_a_bad_one_refused() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(Cursor::new(&out).varint(), Ok(value));
            out.pop();
            assert_eq!(Cursor::new(&out).varint(), Err(Malformed::Short), "{value}");
        }
        assert_eq!(Cursor::new(&[0xff; 10]).varint(), Err(Malformed::LongVarint));
        assert_eq!(Cursor::new(&[0x80; 11]).varint(), Err(Malformed::LongVarint));
    }

    #[test]
    fn a_group_ends_with_its_own_number_and_nests_within_bounds() {
        let group = |bytes| Cursor::new(bytes).item(1, WireType::Group);
        assert_eq!(group(&[0x10, 7, 0x0c]), Ok(Item::Bytes(&[0x10, 7])));
        assert_eq!(group(&[0x13, 0x14, 0x0c]), Ok(Item::Bytes(&[0x13, 0x14])));
        assert_eq!(group(&[0x14]), Err(Malformed::Group));
        assert_eq!(group(&[0x10, 7]), Err(Malformed::Short));
        assert_eq!(group(&[0x0b; 1_000_000]), Err(Malformed::Depth));
    }
}
