//! Which function: `name`, `name:qualifier`, or an ARN of one, partial or whole (AWS Lambda API,
//! Invoke, `FunctionName` and `Qualifier`).

use std::fmt::Write as _;

/// Bytes of a function's name, and of a qualifier.
const NAME_MAX: usize = 64;
const QUALIFIER_MAX: usize = 128;

/// A function, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function<'a> {
    /// Its name or ARN, without the qualifier.
    pub(super) name: &'a str,
    /// A version or an alias.
    pub(super) qualifier: Option<&'a str>,
}

impl<'a> Function<'a> {
    /// Reads the function part of an address. `None` if it names no function.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        // Before the name: nothing, `account:function:`, or `arn:aws:lambda:region:account:function:`.
        let parts = text.split(':').count();
        let before = match parts {
            1 | 2 => 0,
            3 | 4 => 2,
            7 | 8 => 6,
            _ => return None,
        };
        let mut rest = text;
        for at in 0..before {
            let (part, after) = rest.split_once(':')?;
            let good = match before - at {
                6 => part == "arn",
                5 => part.starts_with("aws") && is_word(part),
                4 => part == "lambda",
                3 => !part.is_empty() && is_word(part),
                2 => part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_digit()),
                _ => part == "function",
            };
            if !good {
                return None;
            }
            rest = after;
        }
        let (name, qualifier) = match rest.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (rest, None),
        };
        let named = (1..=NAME_MAX).contains(&name.len()) && is_word(name);
        if !named || !qualifier.is_none_or(is_qualifier) {
            return None;
        }
        let whole = qualifier.map_or(text.len(), |qualifier| text.len() - qualifier.len() - 1);
        Some(Self { name: text.get(..whole)?, qualifier })
    }

    /// The target of the request that invokes it.
    pub(super) fn path(&self, streaming: bool) -> String {
        let mut path = String::with_capacity(96);
        path.push_str(if streaming { "/2021-11-15/functions/" } else { "/2015-03-31/functions/" });
        encoded(self.name, &mut path);
        path.push_str(if streaming { "/response-streaming-invocations" } else { "/invocations" });
        if let Some(qualifier) = self.qualifier {
            path.push_str("?Qualifier=");
            encoded(qualifier, &mut path);
        }
        path
    }
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_qualifier(text: &str) -> bool {
    let bare = text.strip_prefix('$').unwrap_or(text);
    let bare = if bare.len() < text.len() { bare.replace('.', "") } else { bare.to_owned() };
    (1..=QUALIFIER_MAX).contains(&text.len()) && !bare.is_empty() && is_word(&bare)
}

/// Percent-encodes what is not unreserved (RFC 3986, section 2.3).
fn encoded(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            // Writing to a string does not fail.
            other => drop(write!(out, "%{other:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, name: &str, qualifier: Option<&str>, path: &str) {
        let function = Function::parse(text).expect(text);
        assert_eq!(function, Function { name, qualifier });
        assert_eq!(function.path(false), format!("/2015-03-31/functions/{path}"));
    }

    #[test]
    fn a_name_an_arn_and_their_qualifiers_are_read() {
        check("orders", "orders", None, "orders/invocations");
        check("orders:prod", "orders", Some("prod"), "orders/invocations?Qualifier=prod");
        check("o:$LATEST", "o", Some("$LATEST"), "o/invocations?Qualifier=%24LATEST");
        check(
            "123456789012:function:orders",
            "123456789012:function:orders",
            None,
            "123456789012%3Afunction%3Aorders/invocations",
        );
        check(
            "arn:aws-cn:lambda:cn-north-1:123456789012:function:orders:7",
            "arn:aws-cn:lambda:cn-north-1:123456789012:function:orders",
            Some("7"),
            "arn%3Aaws-cn%3Alambda%3Acn-north-1%3A123456789012%3Afunction%3Aorders/invocations?Qualifier=7",
        );
    }

    #[test]
    fn a_streamed_answer_is_asked_for_elsewhere() {
        let path = Function::parse("a:b").unwrap().path(true);
        assert_eq!(path, "/2021-11-15/functions/a/response-streaming-invocations?Qualifier=b");
    }

    #[test]
    fn what_names_no_function_is_refused() {
        for text in [
            "",
            "a b",
            "a/b",
            "../x",
            "a:",
            "a:b:c",
            "a:$",
            "a:x.y",
            "arn:aws:s3:::bucket",
            "arn:aws:lambda:eu-west-1:12:function:orders",
            "arn:aws:lambda:eu-west-1:123456789012:layer:orders",
            "a%2F",
        ] {
            assert_eq!(Function::parse(text), None, "{text}");
        }
        assert_eq!(Function::parse(&"a".repeat(65)), None);
    }
}
