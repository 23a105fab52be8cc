//! The path that everybody sees. What a route or a policy compares must be what the service behind
//! acts on, or a rule about `/admin` is passed by `/x/../admin`, `//admin` or `/%61dmin`. So a path
//! is brought into one form before anything looks at it, that form is what is sent, and what has no
//! single meaning is refused.
//!
//! | in the path | becomes |
//! | --- | --- |
//! | `%61`, an escape of a letter, a digit or `-._~` | the character (RFC 3986, section 6.2.2.2) |
//! | `/./`, `/a/../`, escaped or not | the step is taken (RFC 3986, section 5.2.4); 400 above the root |
//! | `//` | `/` |
//! | `é` | `%C3%A9` |
//! | `%2F`, `%5C`, `\`, `/..;x` | 400: a separator for one reader, and none for another |
//! | `%00` to `%1F`, `%7F` | 400 |
//! | `%c0%af` | 400: UTF-8 that is longer than it need be, in which readers find a `/` |
//! | `%zz`, `%4` | 400 |

use std::borrow::Cow;

use http::{Method, Uri, uri::PathAndQuery};
use schemas::{Class, Fault};

/// A byte that never stands in a path in its one form.
const ODD: u8 = 1;
/// A `/`.
const SLASH: u8 = 2;
/// A byte behind a `/` that makes the path worth a closer look: a `/` or a `.`.
const BEHIND_SLASH: u8 = SLASH << 1;

/// What each byte means to the first look.
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        if byte <= 0x20 || byte >= 0x7F {
            class[byte] = ODD;
        }
        byte += 1;
    }
    class[b'%' as usize] = ODD;
    class[b'\\' as usize] = ODD;
    class[b'/' as usize] = SLASH | BEHIND_SLASH;
    class[b'.' as usize] = BEHIND_SLASH;
    class
};

/// Whether a path is in its one form for sure. Nearly every path is, and one look over it tells.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    let mut found = 0;
    for byte in path {
        let class = CLASS[usize::from(*byte)];
        found |= (class & ODD) | (class & BEHIND_SLASH & (before << 1));
        before = class & SLASH;
    }
    found == 0 && path.first() == Some(&b'/')
}

/// Brings the path of a request's target into its one form. Nothing else of the target changes.
///
/// # Errors
/// If the path means different things to different readers, or nothing: 400 `bad_path`.
pub(crate) fn normalise(uri: &mut Uri, method: &Method) -> Result<(), Fault> {
    // The server as a whole has no path (RFC 9112, section 3.2.4).
    if is_plain(uri.path().as_bytes()) || (uri.path() == "*" && method == Method::OPTIONS) {
        return Ok(());
    }
    let Cow::Owned(mut path) = normal(uri.path())? else { return Ok(()) };
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let path = PathAndQuery::try_from(path).map_err(|error| bad("is no path").because(error))?;
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(path);
    *uri = Uri::from_parts(parts).map_err(|error| bad("is no path").because(error))?;
    Ok(())
}

/// Why no request's path looks like this one of a configuration, if none does.
pub(crate) fn fits_no_request(written: &str) -> Option<&'static str> {
    let segments = |path: &str| path.split('/').count();
    match normal(written) {
        Err(_) => Some("fits no request: such a path is refused with 400"),
        Ok(one) if segments(&one) != segments(written) => {
            Some("fits no request: its steps are taken, and of several / one is left")
        }
        Ok(_) => None,
    }
}

/// The one form of a path.
fn normal(path: &str) -> Result<Cow<'_, str>, Fault> {
    if !path.starts_with('/') {
        return Err(bad("does not begin with /"));
    }
    let plain = decode(path.as_bytes())?;
    let mut out: Vec<&str> = Vec::new();
    // Whether the path ends in a `/`, as the last segment says.
    let mut folder = false;
    for segment in plain.split('/').skip(1) {
        folder = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                if out.pop().is_none() {
                    return Err(bad("climbs above the root"));
                }
            }
            _ if is_dressed_dot(segment) => {
                return Err(bad("has a parameter on a segment of dots"));
            }
            _ => out.push(segment),
        }
    }
    let mut made = String::with_capacity(plain.len());
    for segment in &out {
        made.push('/');
        made.push_str(segment);
    }
    if folder || out.is_empty() {
        made.push('/');
    }
    Ok(if made == path { Cow::Borrowed(path) } else { Cow::Owned(made) })
}

/// Whether a segment is `.` or `..` to a reader that takes off what stands behind a `;`.
fn is_dressed_dot(segment: &str) -> bool {
    let rest = segment.strip_prefix("..").or_else(|| segment.strip_prefix('.'));
    rest.is_some_and(|rest| rest.starts_with([';']) || rest.get(..3).is_some_and(is_semicolon))
}

fn is_semicolon(escape: &str) -> bool {
    escape.eq_ignore_ascii_case("%3b")
}

/// Undoes the escapes that need not be, and refuses those that may not be.
fn decode(path: &[u8]) -> Result<String, Fault> {
    let mut out = String::with_capacity(path.len());
    let mut before = 0;
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        let value = if byte == b'%' {
            let digits =
                path.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
            // `from_str_radix` would take a sign.
            let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
            let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            value.ok_or_else(|| bad("has a % that starts no escape"))?
        } else {
            byte
        };
        match value {
            0..0x20 | 0x7F => return Err(bad("has a control character")),
            b'\\' => return Err(bad("has a backslash, escaped or not")),
            b'/' if byte == b'%' => return Err(bad("has an escaped slash")),
            // No UTF-8 begins so, but for a `/` or a `.` that is written longer than it is.
            0xC0 | 0xC1 => return Err(bad("has bytes that are no UTF-8")),
            0x80..0xA0 if before == 0xE0 => return Err(bad("has bytes that are no UTF-8")),
            0x80..0x90 if before == 0xF0 => return Err(bad("has bytes that are no UTF-8")),
            _ => {}
        }
        let unreserved = value.is_ascii_alphanumeric() || b"-._~".contains(&value);
        if byte == b'%' && !unreserved {
            out.push_str(std::str::from_utf8(&path[at..at + 3]).unwrap_or_default());
        } else if value.is_ascii_graphic() {
            out.push(char::from(value));
        } else {
            out.push_str(percent_encoding::percent_encode_byte(value));
        }
        at += if byte == b'%' { 3 } else { 1 };
        before = value;
    }
    Ok(out)
}

fn bad(what: &str) -> Fault {
    Fault::new(Class::BadRequest, format!("the path {what}")).code("bad_path")
}

#[cfg(test)]
mod tests;
