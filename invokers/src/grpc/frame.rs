//! Messages on a stream: each has a byte of flags and four of length in front (gRPC over HTTP/2,
//! "Length-Prefixed-Message").

use std::io::Read as _;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use flate2::read::GzDecoder;

/// The bytes in front of a message.
pub(super) const PREFIX: usize = 5;
/// The flag of a compressed message.
const COMPRESSED: u8 = 1;

/// Why a stream of messages cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Bad {
    /// More bytes than `max_message` allows.
    #[error("a message of {length} bytes is larger than {max}")]
    TooLarge { length: u64, max: usize },
    /// The flags are none of gRPC's.
    #[error("a message begins with the byte {0}, which is neither 0 nor 1")]
    Flags(u8),
    /// It is compressed, and nothing says how, or in a way that is not read here.
    #[error("a message is compressed, and not by gzip")]
    Encoding,
    /// It says that it is gzip, and is not.
    #[error("a compressed message is no valid gzip")]
    Gzip,
    /// It stops in the midst of a message.
    #[error("the stream ends within a message")]
    Cut,
}

/// Watches the lengths of messages that pass untouched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter {
    max: usize,
    prefix: [u8; PREFIX],
    have: usize,
    /// Bytes of the message that are still to come.
    left: u64,
    /// Whether a whole message has passed.
    pub(super) passed: bool,
}

impl Meter {
    pub(super) fn new(max: usize) -> Self {
        Self { max, prefix: [0; PREFIX], have: 0, left: 0, passed: false }
    }

    /// Looks at bytes that pass.
    ///
    /// # Errors
    /// If a message begins in them that may not pass.
    pub(super) fn look(&mut self, mut bytes: &[u8]) -> Result<(), Bad> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let step = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                bytes = &bytes[step..];
                self.left -= step as u64;
                continue;
            }
            let step = (PREFIX - self.have).min(bytes.len());
            self.prefix[self.have..self.have + step].copy_from_slice(&bytes[..step]);
            self.have += step;
            bytes = &bytes[step..];
            if self.have == PREFIX {
                self.have = 0;
                self.passed = true;
                self.left = u64::from(length(self.prefix, self.max)?);
            }
        }
        Ok(())
    }
}

fn length(prefix: [u8; PREFIX], max: usize) -> Result<u32, Bad> {
    let [flags, length @ ..] = prefix;
    if flags > COMPRESSED {
        return Err(Bad::Flags(flags));
    }
    let length = u32::from_be_bytes(length);
    if length as usize > max {
        return Err(Bad::TooLarge { length: length.into(), max });
    }
    Ok(length)
}

/// Takes messages out of the bytes of a stream.
#[derive(Debug)]
pub(super) struct Reader {
    max: usize,
    gzip: bool,
    bytes: BytesMut,
}

impl Reader {
    /// Reads messages of at most `max` bytes, inflated. `gzip`: that is what compressed ones are.
    pub(super) fn new(max: usize, gzip: bool) -> Self {
        Self { max, gzip, bytes: BytesMut::new() }
    }

    /// Takes in what has come.
    pub(super) fn push(&mut self, data: &Bytes) {
        self.bytes.extend_from_slice(data);
    }

    /// The next message that is here whole.
    ///
    /// # Errors
    /// If it may not be read, which is known by its first bytes.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Bad> {
        let Some(prefix) = self.bytes.first_chunk::<PREFIX>() else { return Ok(None) };
        let compressed = prefix[0] == COMPRESSED;
        let length = length(*prefix, self.max)? as usize;
        if compressed && !self.gzip {
            return Err(Bad::Encoding);
        }
        if self.bytes.len() < PREFIX + length {
            self.bytes.reserve(PREFIX + length - self.bytes.len());
            return Ok(None);
        }
        self.bytes.advance(PREFIX);
        let message = self.bytes.split_to(length).freeze();
        if compressed { inflate(&message, self.max).map(Some) } else { Ok(Some(message)) }
    }

    /// Says whether the stream may end here.
    ///
    /// # Errors
    /// If it ends within a message.
    pub(super) fn end(&self) -> Result<(), Bad> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Bad::Cut) }
    }
}

/// Inflates a message, up to `max` bytes: its length says nothing of what is in it.
fn inflate(message: &[u8], max: usize) -> Result<Bytes, Bad> {
    let mut all = Vec::new();
    let limit = max as u64 + 1;
    let read = GzDecoder::new(message).take(limit).read_to_end(&mut all);
    let length = read.map_err(|_| Bad::Gzip)?;
    if length > max {
        return Err(Bad::TooLarge { length: length as u64, max });
    }
    Ok(all.into())
}

/// Puts the prefix in front of a message.
pub(super) fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX + message.len());
    bytes.put_u8(0);
    // `max_message` is far below.
    bytes.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    bytes.put_slice(message);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn compressed(message: &[u8]) -> Bytes {
        let mut bytes = framed(message).to_vec();
        bytes[0] = 1;
        bytes.into()
    }

    fn read(reader: &mut Reader, bytes: &Bytes) -> Result<Option<Bytes>, Bad> {
        reader.push(bytes);
        reader.next()
    }

    #[test]
    fn a_message_over_the_limit_is_refused_by_its_first_bytes() {
        let too_large = Err(Bad::TooLarge { length: 5, max: 4 });
        let start = framed(b"hello").slice(..PREFIX);
        assert_eq!(read(&mut Reader::new(4, false), &start), too_large);
        assert_eq!(Meter::new(4).look(&start), Err(Bad::TooLarge { length: 5, max: 4 }));
        assert_eq!(read(&mut Reader::new(5, false), &framed(b"hello")), Ok(Some("hello".into())));
    }

    #[test]
    fn a_compressed_message_is_inflated_up_to_the_limit_whatever_it_says() {
        let small = gzip(&[b'a'; 1000]);
        assert!(small.len() < 100);
        let message = compressed(&small);
        let whole = read(&mut Reader::new(1000, true), &message).unwrap().unwrap();
        assert_eq!(whole, vec![b'a'; 1000]);
        let over = read(&mut Reader::new(999, true), &message);
        assert_eq!(over, Err(Bad::TooLarge { length: 1000, max: 999 }));
        assert_eq!(read(&mut Reader::new(1000, false), &message), Err(Bad::Encoding));
        assert_eq!(read(&mut Reader::new(1000, true), &compressed(b"no")), Err(Bad::Gzip));
        let cut = compressed(&small[..small.len() - 1]);
        assert_eq!(read(&mut Reader::new(1000, true), &cut), Err(Bad::Gzip));
    }

    #[test]
    fn flags_that_nobody_knows_and_streams_that_are_cut_are_refused() {
        let odd = Bytes::from_static(&[2, 0, 0, 0, 0]);
        assert_eq!(read(&mut Reader::new(9, true), &odd), Err(Bad::Flags(2)));
        assert_eq!(Meter::new(9).look(&odd), Err(Bad::Flags(2)));
        let mut reader = Reader::new(9, false);
        assert_eq!(read(&mut reader, &framed(b"hello").slice(..7)), Ok(None));
        assert_eq!(reader.end(), Err(Bad::Cut));
    }

    proptest! {
        #[test]
        fn messages_are_found_however_the_bytes_are_cut(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6),
            cut in 1_usize..50,
        ) {
            let all: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
            let (mut reader, mut meter) = (Reader::new(40, false), Meter::new(40));
            let mut found = Vec::new();
            for piece in all.chunks(cut) {
                prop_assert_eq!(meter.look(piece), Ok(()));
                reader.push(&Bytes::copy_from_slice(piece));
                while let Some(message) = reader.next().unwrap() {
                    found.push(message.to_vec());
                }
            }
            prop_assert_eq!(reader.end(), Ok(()));
            prop_assert_eq!(meter.passed, !messages.is_empty());
            prop_assert_eq!(found, messages);
        }
    }
}
