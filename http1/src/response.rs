//! The head of a response (RFC 9112, section 4).

use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode};

use crate::{
    Framing, Limits,
    fields::{self, Wrong},
};

/// A response's head, and what it says of the message.
#[derive(Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// The fields as they came.
    pub headers: HeaderMap,
    /// How its body ends.
    pub framing: Framing,
    /// Whether the connection may carry another request once the body has ended.
    pub keep_alive: bool,
}

/// Takes the head of the response to `method` out of `bytes`; `None` if it is not all here.
/// `scanned` starts at 0 and is kept between calls for one head.
///
/// # Errors
/// What is wrong with it, in words for a log.
pub fn response(
    bytes: &mut BytesMut,
    scanned: &mut usize,
    limits: &Limits,
    method: &Method,
) -> Result<Option<ResponseHead>, &'static str> {
    let end = match fields::end(bytes, scanned).map_err(said)? {
        Some(end) if end <= limits.head_bytes => end,
        None if bytes.len() <= limits.head_bytes => return Ok(None),
        _ => return Err("its head is too large"),
    };
    *scanned = 0;
    let head = bytes.split_to(end).freeze();
    let (line, next) = fields::first_line(&head);
    let (modern, status) = status_line(line).ok_or("its first line is no status line")?;
    let fields = fields::read(&head, next, limits.fields).map_err(said)?;
    if fields.chunked && !modern {
        return Err("HTTP/1.0 knows no Transfer-Encoding");
    }
    let framing = match (fields.chunked, fields.length) {
        _ if has_no_body(method, status) => Framing::Empty,
        (true, _) => Framing::Chunked,
        (false, Some(0)) => Framing::Empty,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::UntilClose,
    };
    Ok(Some(ResponseHead {
        status,
        headers: fields.map,
        framing,
        keep_alive: !fields.close
            && framing != Framing::UntilClose
            && (modern || fields.keep_alive),
    }))
}

fn has_no_body(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// `HTTP/1.1 SP 200 SP reason`; the reason may be missing, and is not kept.
fn status_line(line: &[u8]) -> Option<(bool, StatusCode)> {
    let (version, rest) = line.split_at_checked(9)?;
    let modern = match version {
        b"HTTP/1.1 " => true,
        b"HTTP/1.0 " => false,
        _ => return None,
    };
    let (code, reason) = rest.split_at_checked(3)?;
    let fit = match reason {
        [] => true,
        [b' ', reason @ ..] => reason.iter().all(|byte| *byte == b'\t' || *byte >= b' '),
        _ => false,
    };
    let status = StatusCode::from_bytes(code).ok().filter(|status| status.as_u16() < 600)?;
    fit.then_some((modern, status))
}

fn said(wrong: Wrong) -> &'static str {
    match wrong {
        Wrong::TooMany => "its head has too many fields",
        Wrong::Malformed(what) => what,
        Wrong::Coding => "its transfer coding is not chunked",
    }
}
