//! The form in which paths are compared: escapes that need not be are undone (RFC 3986, section
//! 6.2.2.2), all others are in upper case. An escaped `/` stays escaped.

use std::borrow::Cow;

/// The path in the form in which paths are compared. Borrowed if it has no escape.
pub(super) fn plain(path: &str) -> Cow<'_, str> {
    if memchr::memchr(b'%', path.as_bytes()).is_none() && path.is_ascii() {
        return Cow::Borrowed(path);
    }
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(path.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = escaped(bytes, at);
        let value = escape.unwrap_or(byte);
        // A `%` that starts no escape stays what it is.
        if is_unreserved(value) || (escape.is_none() && value.is_ascii()) {
            out.push(char::from(value));
        } else {
            out.push_str(percent_encoding::percent_encode_byte(value));
        }
        at += if escape.is_some() { 3 } else { 1 };
    }
    Cow::Owned(out)
}

/// Whether a path in plain form has a segment that means a step through the tree.
pub(super) fn has_dot_segment(path: &str) -> bool {
    memchr::memchr(b'.', path.as_bytes()).is_some()
        && path.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// Whether every `%` starts an escape.
pub(super) fn is_encoded(path: &str) -> bool {
    let bytes = path.as_bytes();
    memchr::memchr_iter(b'%', bytes).all(|at| escaped(bytes, at).is_some())
}

/// The first segment, and what is behind the `/` that ends it.
pub(super) fn segment(path: &str) -> (&str, Option<&str>) {
    let border = memchr::memchr(b'/', path.as_bytes());
    match border.and_then(|at| Some((path.get(..at)?, path.get(at + 1..)?))) {
        Some((segment, after)) => (segment, Some(after)),
        None => (path, None),
    }
}

/// The segments of a prefix; none of `/`.
pub(super) fn segments(prefix: &str) -> impl Iterator<Item = &str> {
    let inside = prefix.strip_prefix('/').unwrap_or(prefix).trim_end_matches('/');
    inside.split('/').filter(move |_| !inside.is_empty())
}

/// The byte that is escaped at this place.
fn escaped(bytes: &[u8], at: usize) -> Option<u8> {
    let &[b'%', high, low] = bytes.get(at..at + 3)? else { return None };
    Some(hex(high)? << 4 | hex(low)?)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_needless_escapes_are_undone() {
        for (came, plain_form) in [
            ("/a/b", "/a/b"),
            ("/%41%62%2d%2E%5F%7e", "/Ab-._~"),
            ("/a%2fb%2Fc", "/a%2Fb%2Fc"),
            ("/a%3ab:c", "/a%3Ab:c"),
            ("/%2541", "/%2541"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/café", "/caf%C3%A9"),
            ("/%zz/%4/%", "/%zz/%4/%"),
            ("/%%34%31", "/%41"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(plain(came), plain_form, "{came}");
        }
        assert!(matches!(plain("/a/b"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_dot_segment_is_seen_however_it_is_written() {
        for path in ["/..", "/.", "/a/../b", "/a/%2e%2E/b", "/a/.%2e", "/./a", "..", "/a/%2e/"] {
            assert!(has_dot_segment(&plain(path)), "{path}");
        }
        for path in ["/", "/...", "/.well-known/x", "/a..b", "/a.", "/a/.b/", "/..;/a"] {
            assert!(!has_dot_segment(&plain(path)), "{path}");
        }
    }
}
