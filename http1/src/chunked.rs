//! The chunked transfer coding (RFC 9112, section 7.1).

use bytes::{Buf as _, BytesMut};
use memchr::memchr;

use crate::{
    body::{Malformed, Step},
    fields,
};

/// Bytes of a line with a size: the digits, and extensions, which nobody reads.
const SIZE_LINE_MAX: usize = 256;
/// Bytes of all trailers together.
const TRAILERS_MAX: usize = 8 << 10;
/// Trailers that are read.
const TRAILER_FIELDS_MAX: usize = 64;

/// Where in the coding a body is.
#[derive(Debug, Default)]
pub(crate) enum Chunked {
    /// Before a size.
    #[default]
    Size,
    /// In a chunk; so many bytes are left.
    Data(u64),
    /// Behind a chunk's bytes, before its line break.
    Break,
    /// Behind the last chunk. How far the search for the end of the trailers has come.
    Trailers(usize),
}

impl Chunked {
    pub(crate) fn step(&mut self, bytes: &mut BytesMut) -> Result<Step, Malformed> {
        loop {
            match self {
                Self::Size => match size(bytes)? {
                    None => return Ok(Step::More),
                    Some(0) => *self = Self::Trailers(0),
                    Some(left) => *self = Self::Data(left),
                },
                Self::Data(_) if bytes.is_empty() => return Ok(Step::More),
                Self::Data(left) => {
                    let count =
                        usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    *left -= count as u64;
                    if *left == 0 {
                        *self = Self::Break;
                    }
                    return Ok(Step::Data(bytes.split_to(count).freeze()));
                }
                Self::Break => {
                    match &bytes[..bytes.len().min(2)] {
                        b"\r\n" => bytes.advance(2),
                        b"" | b"\r" => return Ok(Step::More),
                        _ => return Err(Malformed("a chunk is longer than its size")),
                    }
                    *self = Self::Size;
                }
                Self::Trailers(scanned) => return trailers(bytes, scanned),
            }
        }
    }
}

/// Takes a line with a size.
fn size(bytes: &mut BytesMut) -> Result<Option<u64>, Malformed> {
    const BAD: Malformed = Malformed("a chunk's size is no number");
    let seen = &bytes[..bytes.len().min(SIZE_LINE_MAX)];
    let Some(at) = memchr(b'\n', seen) else {
        return if seen.len() == SIZE_LINE_MAX {
            Err(Malformed("a chunk's extensions are too long"))
        } else {
            Ok(None)
        };
    };
    let Some((b'\r', line)) = seen[..at].split_last() else {
        return Err(Malformed("a chunk's size ends without a carriage return"));
    };
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == 0 || digits > 15 {
        return Err(BAD);
    }
    match line.get(digits) {
        None => {}
        // No recipient agrees with all others on what may stand here, so nothing odd may.
        Some(b';') if line[digits..].iter().all(is_text) => {}
        Some(b';') => return Err(Malformed("a chunk's extension has a control character")),
        Some(_) => return Err(BAD),
    }
    let size = line[..digits].iter().fold(0_u64, |sum, byte| {
        let digit = char::from(*byte).to_digit(16).unwrap_or_default();
        sum << 4 | u64::from(digit)
    });
    bytes.advance(at + 1);
    Ok(Some(size))
}

fn is_text(byte: &u8) -> bool {
    *byte == b'\t' || (b' '..0x7f).contains(byte)
}

/// Takes the trailers, or the empty line in their place.
fn trailers(bytes: &mut BytesMut, scanned: &mut usize) -> Result<Step, Malformed> {
    const BAD: Malformed = Malformed("the trailers are malformed");
    match &bytes[..bytes.len().min(2)] {
        b"\r\n" if *scanned == 0 => {
            bytes.advance(2);
            return Ok(Step::End);
        }
        b"" | b"\r" => return Ok(Step::More),
        _ => {}
    }
    let end = match fields::end(bytes, scanned).map_err(|_| BAD)? {
        Some(end) if end <= TRAILERS_MAX => end,
        None if bytes.len() <= TRAILERS_MAX => return Ok(Step::More),
        _ => return Err(Malformed("the trailers are too large")),
    };
    let lines = bytes.split_to(end).freeze();
    let mut map = trailer_fields(&lines)?;
    crate::hop::drop_unfit(&mut map);
    Ok(if map.is_empty() { Step::End } else { Step::Trailers(map) })
}

/// Reads them as fields; what they say of a message's length is dropped, but not before it is
/// known to be well-formed.
fn trailer_fields(lines: &bytes::Bytes) -> Result<http::HeaderMap, Malformed> {
    fields::read(lines, 0, TRAILER_FIELDS_MAX)
        .map(|fields| fields.map)
        .map_err(|_| Malformed("the trailers are malformed"))
}
