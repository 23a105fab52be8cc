//! The tokens of JSON (RFC 8259), read strictly from a text that is whole, and the strings of it.

use std::borrow::Cow;

/// What is wrong with a text, and at which byte.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) at: usize,
    /// The fields around it, innermost first: each a member with its point, or an index in brackets.
    pub(crate) path: Vec<String>,
    pub(crate) problem: Cow<'static, str>,
}

/// Boxed, so that what succeeds stays small.
pub(crate) type Result<T> = std::result::Result<T, Box<Fault>>;

/// A text and how far it is read.
#[derive(Debug, Clone)]
pub(crate) struct Json<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Json<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The byte at which the next token begins, once white space is skipped.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Skips white space and looks at the next byte; zero at the end.
    pub(crate) fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Takes the next byte if it is the wanted one.
    pub(crate) fn take(&mut self, wanted: u8) -> bool {
        let there = self.peek() == wanted;
        self.at += usize::from(there);
        there
    }

    /// Takes the next byte, which has to be the wanted one.
    pub(crate) fn expect(&mut self, wanted: u8, problem: &'static str) -> Result<()> {
        if self.take(wanted) { Ok(()) } else { Err(self.unexpected(problem)) }
    }

    /// Takes a word such as `null`.
    pub(crate) fn word(&mut self, word: &'static str) -> Result<()> {
        let start = self.at;
        if self.text.as_bytes()[start..].starts_with(word.as_bytes()) {
            self.at += word.len();
            if !self.text.as_bytes().get(self.at).is_some_and(u8::is_ascii_alphanumeric) {
                return Ok(());
            }
        }
        self.at = start;
        Err(self.fault("the text is not JSON: there is an unknown word"))
    }

    /// Whether the text ends here but for white space.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.peek();
        if self.at == self.text.len() {
            return Ok(());
        }
        Err(self.fault("the text is not JSON: there is something after its end"))
    }

    /// Reads a string; it is borrowed unless it has an escape.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>> {
        if self.peek() != b'"' {
            return Err(self.unexpected("is not a string"));
        }
        let start = self.at + 1;
        let stop = start + plain(&self.text.as_bytes()[start..]);
        if self.text.as_bytes().get(stop) == Some(&b'"') {
            self.at = stop + 1;
            return Ok(Cow::Borrowed(self.text.get(start..stop).unwrap_or_default()));
        }
        self.escaped(start, stop).map(Cow::Owned)
    }

    /// Reads the rest of a string from its first escape on.
    #[cold]
    fn escaped(&mut self, start: usize, mut stop: usize) -> Result<String> {
        let bytes = self.text.as_bytes();
        let mut whole = self.text.get(start..stop).unwrap_or_default().to_owned();
        loop {
            self.at = stop;
            match bytes.get(stop) {
                Some(b'"') => {
                    self.at = stop + 1;
                    return Ok(whole);
                }
                Some(b'\\') => whole.push(self.escape()?),
                Some(_) => {
                    return Err(
                        self.fault("the text is not JSON: a string has a control character")
                    );
                }
                None => return Err(self.fault("the text is not JSON: a string does not end")),
            }
            let from = self.at;
            stop = from + plain(&bytes[from..]);
            whole.push_str(self.text.get(from..stop).unwrap_or_default());
        }
    }

    fn escape(&mut self) -> Result<char> {
        let letter = match self.text.as_bytes().get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.fault("the text is not JSON: a string has an unknown escape")),
        };
        self.at += 2;
        Ok(letter)
    }

    fn unicode(&mut self) -> Result<char> {
        let hex = |at: usize| {
            let digits = self.text.get(at..at + 4)?;
            if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                u32::from_str_radix(digits, 16).ok()
            } else {
                None
            }
        };
        let Some(unit) = hex(self.at + 2) else {
            return Err(self.fault("the text is not JSON: `\\u` needs four hexadecimal digits"));
        };
        if let Some(letter) = char::from_u32(unit) {
            self.at += 6;
            return Ok(letter);
        }
        let low = (unit < 0xdc00 && self.text.as_bytes()[self.at + 6..].starts_with(b"\\u"))
            .then(|| hex(self.at + 8))
            .flatten()
            .filter(|low| (0xdc00..0xe000).contains(low));
        let letter =
            low.and_then(|low| char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)));
        let Some(letter) = letter else {
            return Err(self.fault("a string has half of a surrogate pair"));
        };
        self.at += 12;
        Ok(letter)
    }

    /// Reads what could be a number up to its end; whether it is one is for who wants it to say.
    pub(crate) fn number(&mut self) -> &'a str {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        let start = self.at;
        self.at += length;
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Reads any value and forgets it.
    pub(crate) fn skip(&mut self, depth: usize) -> Result<()> {
        let start = self.at;
        match self.peek() {
            b'{' | b'[' if depth == 0 => Err(self.fault("is nested too deep")),
            b'{' => {
                self.at += 1;
                if self.take(b'}') {
                    return Ok(());
                }
                loop {
                    self.string()?;
                    self.expect(b':', "is a member without a value")?;
                    self.skip(depth - 1)?;
                    if !self.next(b'}')? {
                        return Ok(());
                    }
                }
            }
            b'[' => {
                self.at += 1;
                if self.take(b']') {
                    return Ok(());
                }
                loop {
                    self.skip(depth - 1)?;
                    if !self.next(b']')? {
                        return Ok(());
                    }
                }
            }
            b'"' => self.string().map(drop),
            b'n' => self.word("null"),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'-' | b'0'..=b'9' => {
                let number = self.number();
                if crate::scalar::is_number(number) {
                    return Ok(());
                }
                self.at = start;
                Err(self.fault("is not a number"))
            }
            _ => Err(self.unexpected("has no value")),
        }
    }

    /// After a member or an element: whether there is another one, or else the end.
    #[inline]
    pub(crate) fn next(&mut self, end: u8) -> Result<bool> {
        if self.take(b',') {
            return Ok(true);
        }
        if self.take(end) {
            return Ok(false);
        }
        Err(self.unexpected("the text is not JSON: there is neither a comma nor an end"))
    }

    /// A fault at the next byte; where the text is over, that is said instead.
    #[cold]
    pub(crate) fn unexpected(&self, problem: &'static str) -> Box<Fault> {
        self.fault(if self.at >= self.text.len() {
            "the text is not JSON: it ends in the middle"
        } else {
            problem
        })
    }

    #[cold]
    pub(crate) fn fault(&self, problem: impl Into<Cow<'static, str>>) -> Box<Fault> {
        fault_at(self.at, problem)
    }
}

/// A fault at a byte.
#[cold]
pub(crate) fn fault_at(at: usize, problem: impl Into<Cow<'static, str>>) -> Box<Fault> {
    Box::new(Fault { at, path: Vec::new(), problem: problem.into() })
}

/// Appends a string with its quotes, escaped as little as JSON allows.
pub(crate) fn put_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (clean, after) = rest.split_at(plain(rest));
        out.extend_from_slice(clean);
        let Some((byte, after)) = after.split_first() else { break };
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => 0,
        };
        if short == 0 {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
        rest = after;
    }
    out.push(b'"');
}

/// How many bytes stand in a string as they are: up to a quote, a backslash or a control character.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut at = 0;
    // Eight at a time: a byte's high bit tells whether it is one of those. A borrow can mark a
    // byte too many, but only above one that is marked rightly, and the lowest is what counts.
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (LOW * b'"' as u64);
        let backslash = word ^ (LOW * b'\\' as u64);
        let marks = (quote.wrapping_sub(LOW) & !quote)
            | (backslash.wrapping_sub(LOW) & !backslash)
            | (word.wrapping_sub(LOW * 0x20) & !word);
        let marks = marks & HIGH;
        if marks != 0 {
            return at + marks.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let tail = &bytes[at..];
    at + tail.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(tail.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(text: &str) -> std::result::Result<String, String> {
        let mut json = Json::new(text);
        let string = json.string().map_err(|fault| format!("{}: {}", fault.at, fault.problem))?;
        json.end().map_err(|fault| fault.problem.into_owned())?;
        Ok(string.into_owned())
    }

    proptest! {
        #[test]
        fn a_string_is_read_and_written_as_serde_json_does(text in any::<String>()) {
            let mut out = Vec::new();
            put_string(&mut out, &text);
            let ours = String::from_utf8(out).unwrap();
            prop_assert_eq!(&ours, &serde_json::to_string(&text).unwrap());
            prop_assert_eq!(string(&ours), Ok(text));
        }

        #[test]
        fn any_value_is_skipped_if_serde_json_takes_it_and_refused_if_not(
            text in r#"([\[\]{},:0-9eE+.\- "nulltrefas\\]|"a"|1|null|\\u[dD]8[0-9]{2}){0,16}"#
        ) {
            let mut json = Json::new(&text);
            let ours = json.skip(100).and_then(|()| json.end());
            // With IgnoredAny it does not look into strings; with Value it has a range of numbers.
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok()
                && !text.contains("\\u");
            if !text.contains("\\u") {
                prop_assert_eq!(ours.is_ok(), theirs, "{}", text);
            }
        }
    }

    #[test]
    fn an_escape_is_what_it_says_and_a_broken_one_is_refused() {
        assert_eq!(
            string(r#""\"\\\/\b\f\n\r\t\u0041\ud83D\uDE00""#).as_deref(),
            Ok("\"\\/\u{8}\u{c}\n\r\tA😀")
        );
        for text in [
            r#""\ud83d""#,
            r#""\ud83dx""#,
            r#""\ud83d\n""#,
            r#""\ud83dA""#,
            r#""\ude00\ud83d""#,
            r#""\u12""#,
            r#""\u+123""#,
            r#""\x""#,
            r#""\"#,
            r#"""#,
            "\"\n\"",
            "\"\u{0}\"",
            "x",
        ] {
            assert!(string(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_nests_too_deep_is_refused_before_it_costs_anything() {
        let deep = "[".repeat(1_000_000);
        let fault = Json::new(&deep).skip(100).unwrap_err();
        assert_eq!((fault.at, &*fault.problem), (100, "is nested too deep"));
    }
}
