//! Header fields: the lines between the first line and the body, and those behind a chunked body.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use memchr::{memchr, memchr_iter};

use crate::spare::spare_map;

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// More fields than are read.
    TooMany,
    /// It can be read in more than one way, or not at all.
    Malformed(&'static str),
    /// A transfer coding that is not read.
    Coding,
}

/// What the fields say of their message.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) map: HeaderMap,
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
    pub(crate) hosts: usize,
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    pub(crate) continues: bool,
}

/// Where a head ends, just behind its empty line; `None` if it is not all here. `scanned` is where
/// the search goes on next time, so that a head that comes byte by byte is looked at once.
pub(crate) fn end(bytes: &[u8], scanned: &mut usize) -> Result<Option<usize>, Wrong> {
    let from = *scanned;
    for at in memchr_iter(b'\n', &bytes[from..]) {
        let at = from + at;
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err(Wrong::Malformed("a line ends without a carriage return"));
        }
        match (bytes.get(at + 1), bytes.get(at + 2)) {
            (Some(b'\r'), Some(b'\n')) => return Ok(Some(at + 3)),
            (None, _) | (Some(b'\r'), None) => {
                *scanned = at;
                return Ok(None);
            }
            _ => {}
        }
    }
    *scanned = bytes.len();
    Ok(None)
}

/// The first line of a head without its line break, and where the next one starts.
pub(crate) fn first_line(head: &[u8]) -> (&[u8], usize) {
    match memchr(b'\n', head) {
        Some(at) if at > 0 => (&head[..at - 1], at + 1),
        _ => (&[], head.len()),
    }
}

/// Reads the fields from `at` to the empty line. [`end`] has found every line to end in CR LF.
pub(crate) fn read(head: &Bytes, mut at: usize, fields_max: usize) -> Result<Fields, Wrong> {
    let mut fields = Fields { map: spare_map(), ..Fields::default() };
    let mut count = 0;
    while let Some(length) = memchr(b'\n', &head[at..]) {
        let line = &head[at..at + length.saturating_sub(1)];
        let start = at;
        at += length + 1;
        let Some(&first) = line.first() else { break };
        count += 1;
        if count > fields_max {
            return Err(Wrong::TooMany);
        }
        if matches!(first, b' ' | b'\t') {
            return Err(Wrong::Malformed("a header is folded over two lines"));
        }
        let colon = memchr(b':', line).ok_or(Wrong::Malformed("a header has no colon"))?;
        let name = HeaderName::from_bytes(&line[..colon])
            .map_err(|_| Wrong::Malformed("a header's name is no token"))?;
        let (from, to) = trimmed(line, colon + 1);
        let value = HeaderValue::from_maybe_shared(head.slice(start + from..start + to))
            .map_err(|_| Wrong::Malformed("a header's value has a control character"))?;
        fields.note(&name, &value)?;
        if fields.map.try_append(name, value).is_err() {
            return Err(Wrong::TooMany);
        }
    }
    if fields.chunked && fields.length.is_some() {
        return Err(Wrong::Malformed("there is a Content-Length beside a Transfer-Encoding"));
    }
    Ok(fields)
}

impl Fields {
    /// Notes what a field says of the message itself.
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Wrong> {
        if *name == header::CONTENT_LENGTH {
            if self.length.is_some() {
                return Err(Wrong::Malformed("there is more than one Content-Length"));
            }
            self.length = Some(length(value.as_bytes())?);
        } else if *name == header::TRANSFER_ENCODING {
            if self.chunked {
                return Err(Wrong::Malformed("there is more than one Transfer-Encoding"));
            }
            if !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(Wrong::Coding);
            }
            self.chunked = true;
        } else if *name == header::HOST {
            self.hosts += 1;
        } else if *name == header::CONNECTION {
            for word in value.as_bytes().split(|byte| *byte == b',') {
                let word = word.trim_ascii();
                self.close |= word.eq_ignore_ascii_case(b"close");
                self.keep_alive |= word.eq_ignore_ascii_case(b"keep-alive");
                self.upgrade |= word.eq_ignore_ascii_case(b"upgrade");
            }
        } else if *name == header::EXPECT {
            self.continues = value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        }
        Ok(())
    }
}

/// A length is digits and nothing else (RFC 9110, section 8.6); 19 of them fit a `u64` for sure.
fn length(value: &[u8]) -> Result<u64, Wrong> {
    const BAD: Wrong = Wrong::Malformed("the Content-Length is no number");
    if value.is_empty() || value.len() > 19 {
        return Err(BAD);
    }
    value.iter().try_fold(0_u64, |sum, byte| match byte {
        b'0'..=b'9' => Ok(sum * 10 + u64::from(byte - b'0')),
        _ => Err(BAD),
    })
}

/// The part of a line behind `from` without blanks and tabs at its ends.
fn trimmed(line: &[u8], mut from: usize) -> (usize, usize) {
    let mut to = line.len();
    while from < to && matches!(line[from], b' ' | b'\t') {
        from += 1;
    }
    while from < to && matches!(line[to - 1], b' ' | b'\t') {
        to -= 1;
    }
    (from, to)
}
