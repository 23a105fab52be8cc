//! An attribute's value in a header: percent-encoding (HTTP binding, section 3.1.3.2, and the same
//! words in the NATS binding).

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::Malformed;

/// What must be encoded beside all that is not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// Writes a value so that it may stand in a header: blanks, `"`, `%` and everything outside
/// printable ASCII as upper-case percent-encoded UTF-8.
#[must_use]
pub fn encode_value(value: &str) -> Cow<'_, str> {
    utf8_percent_encode(value, ENCODED).into()
}

/// Reads a header's value: first a double-quoted string with its backslashes, then one round of
/// percent-decoding. UTF-8 that a sender left unencoded is taken as it is; a `%` that encodes
/// nothing is refused, as its sender does not encode and its other `%` would be misread.
///
/// # Errors
/// [`Malformed`] without an attribute, its text going on from the header's name: the value is no
/// such text, or no UTF-8.
pub fn decode_value(value: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = value.iter().position(|b| !blank(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !blank(b)).map_or(start, |last| last + 1);
    let text = str::from_utf8(&value[start..end]).map_err(|_| not_utf8())?;
    let text = match text.strip_prefix('"') {
        Some(quoted) => Cow::Owned(unquote(quoted)?),
        None => Cow::Borrowed(text),
    };
    if text.contains('%') { percent_decode(&text).map(Cow::Owned) } else { Ok(text) }
}

/// Undoes a quoted string (RFC 7230, section 3.2.6) whose opening quote is gone.
fn unquote(quoted: &str) -> Result<String, Malformed> {
    let mut out = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' if chars.as_str().is_empty() => return Ok(out),
            '"' => break,
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    Err(Malformed::new(
        "is a quoted string that does not end where it should; percent-encode it instead",
    ))
}

fn percent_decode(text: &str) -> Result<String, Malformed> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
            let byte =
                digit().zip(digit()).and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
            out.push(byte.ok_or_else(|| {
                Malformed::new("has a % that is no percent-encoding; write %25 for a literal %")
            })?);
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).map_err(|_| not_utf8())
}

fn not_utf8() -> Malformed {
    Malformed::new("is not UTF-8; percent-encode its UTF-8 bytes")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blanks_quotes_percents_and_all_beyond_ascii_are_encoded() {
        for (value, header) in [
            ("", ""),
            ("plain-text_!~'()[]{}\\", "plain-text_!~'()[]{}\\"),
            ("a b", "a%20b"),
            ("say \"hi\"", "say%20%22hi%22"),
            ("100%", "100%25"),
            ("%20", "%2520"),
            ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
            ("\u{7f}\u{1}", "%7F%01"),
        ] {
            assert_eq!(encode_value(value), header);
            assert_eq!(decode_value(header.as_bytes()).unwrap(), value);
        }
    }

    #[test]
    fn what_other_senders_write_is_read() {
        for (header, value) in [
            ("%e2%82%ac", "€"),
            ("%41%42", "AB"),
            ("%2520", "%20"),
            ("\"hello world\"", "hello world"),
            (r#""say \"hi\" \\ ""#, r#"say "hi" \ "#),
            ("\"a%20b\"", "a b"),
            // Backslashes first, so that the percent-encoding may straddle them: %32, 3, 0.
            (r#""%\32\30""#, "230"),
            ("\"\"", ""),
            ("  padded\t", "padded"),
            ("€ raw", "€ raw"),
            (r#"5" disk"#, r#"5" disk"#),
            (r"back\slash", r"back\slash"),
        ] {
            assert_eq!(decode_value(header.as_bytes()).unwrap(), value, "{header}");
        }
    }

    #[test]
    fn what_cannot_be_read_for_certain_is_refused() {
        for header in [
            &b"%C0%A0"[..],
            b"%E2%82",
            b"%ED%A0%80",
            b"\xff",
            b"caf\xe9",
            b"100%",
            b"100% sure",
            b"%zz",
            b"%4",
            b"%+1",
            b"\"open",
            b"\"open\\",
            b"\"a\" b",
            b"\"a\"\"b\"",
            b"\"",
        ] {
            let text = String::from_utf8_lossy(header);
            assert!(decode_value(header).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back_from_a_header(value: String) {
            let header = encode_value(&value);
            prop_assert!(header.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(&decode_value(header.as_bytes()).unwrap(), &value);
        }

        #[test]
        fn no_header_value_panics(bytes: Vec<u8>) {
            if let Ok(value) = decode_value(&bytes) {
                let again = encode_value(&value);
                prop_assert_eq!(&decode_value(again.as_bytes()).unwrap(), &value);
            }
        }
    }
}
