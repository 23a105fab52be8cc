//! Paths with parameters: `/orders/{id}`, `/orders/{id:int}`, `/files/{path*}`.

use std::{fmt, str::FromStr};

use super::encoding;

/// More segments than anybody writes by hand; the walk through them is as deep.
const SEGMENTS_MAX: usize = 64;

/// A path with parameters. Each fills one whole segment, or with `*` all that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    steps: Vec<Step>,
}

/// One segment of a pattern. Patterns of the same steps are the same to a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// This text, in plain form.
    Literal(Box<str>),
    /// A value.
    Parameter(Kind),
}

/// What a parameter's value looks like. No text fits two of the typed kinds, so that no order
/// between them is ever needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `{id:int}`: digits, with or without a `-` before them.
    Int,
    /// `{id:uuid}`: 32 hexadecimal digits in five groups.
    Uuid,
    /// `{id:alpha}`: the letters a to z and A to Z.
    Alpha,
    /// `{id}`: a segment that is not empty.
    Any,
    /// `{path*}`: everything that is left, which is not empty.
    Many,
}

impl Pattern {
    /// The names of the parameters in their order, and whether each may fill several segments.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&str, bool)> {
        self.by_segment().flatten().collect()
    }

    /// For each segment the parameter that it is, if it is one, as [`Self::parameters`] has it.
    pub(super) fn by_segment(&self) -> impl Iterator<Item = Option<(&str, bool)>> {
        self.text.split('/').skip(1).map(|segment| {
            let inside = segment.strip_prefix('{')?.strip_suffix('}')?;
            Some(match inside.strip_suffix('*') {
                Some(name) => (name, true),
                None => (inside.split_once(':').map_or(inside, |(name, _)| name), false),
            })
        })
    }

    /// The segments.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether it has a parameter.
    pub(super) fn has_parameters(&self) -> bool {
        self.text.contains('{')
    }
}

impl Kind {
    /// Whether a segment in plain form is such a value.
    pub(super) fn fits(self, segment: &str) -> bool {
        match self {
            Self::Int => {
                let digits = segment.strip_prefix('-').unwrap_or(segment);
                !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
            }
            Self::Uuid => {
                segment.len() == 36
                    && segment.bytes().enumerate().all(|(at, byte)| match at {
                        8 | 13 | 18 | 23 => byte == b'-',
                        _ => byte.is_ascii_hexdigit(),
                    })
            }
            Self::Alpha => {
                !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphabetic())
            }
            Self::Any | Self::Many => !segment.is_empty(),
        }
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let inside = text
            .strip_prefix('/')
            .ok_or_else(|| format!("the path `{text}` does not start with /; write /{text}"))?;
        if let Some(mark) = text.chars().find(|c| matches!(c, '?' | '#')) {
            return Err(format!(
                "a path has no `{mark}`; conditions on the query stand under `query`"
            ));
        }
        let written: Vec<&str> = inside.split('/').collect();
        if written.len() > SEGMENTS_MAX {
            return Err(format!("the path has more than {SEGMENTS_MAX} segments"));
        }
        let mut pattern = Self { text: text.to_owned(), steps: Vec::new() };
        let mut names = Vec::new();
        for (at, segment) in written.iter().enumerate() {
            pattern.steps.push(step(segment, at + 1 == written.len(), &mut names)?);
        }
        Ok(pattern)
    }
}

/// Reads one segment.
fn step<'p>(segment: &'p str, last: bool, names: &mut Vec<&'p str>) -> Result<Step, String> {
    if !segment.contains(['{', '}']) {
        return literal(segment, last);
    }
    let inside = segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .filter(|inside| !inside.contains(['{', '}']))
        .ok_or_else(|| {
            format!(
                "`{segment}` mixes a parameter with other text; a parameter fills a whole segment, as in /orders/{{id}}; for more write a `regex`"
            )
        })?;
    let (name, kind) = parameter(inside)?;
    if kind == Kind::Many && !last {
        return Err(format!("`{segment}` takes all that follows, so it can only come last"));
    }
    if names.contains(&name) {
        return Err(format!("the parameter `{name}` stands twice; give one another name"));
    }
    names.push(name);
    Ok(Step::Parameter(kind))
}

/// Reads a segment without a parameter.
fn literal(segment: &str, last: bool) -> Result<Step, String> {
    if segment.is_empty() && !last {
        return Err("the path has an empty segment (two / in a row); write one /".to_owned());
    }
    if matches!(segment, "*" | "**") {
        return Err(format!(
            "`{segment}` is not a wildcard here; write {{name}} for one segment, {{name*}} for all that follow, or a `prefix`"
        ));
    }
    if let Some(name) = segment.strip_prefix(':').filter(|name| !name.is_empty()) {
        return Err(format!("a parameter is written {{{name}}}, not :{name}"));
    }
    if !encoding::is_encoded(segment) {
        return Err(format!(
            "`{segment}` has a % that starts no escape; write %25 for a literal %"
        ));
    }
    let plain = encoding::plain(segment);
    if matches!(&*plain, "." | "..") {
        return Err(format!("the segment `{segment}` fits no request; leave it out"));
    }
    let mut literal = String::with_capacity(plain.len());
    for c in plain.chars() {
        // What cannot stand in a URL as it is comes escaped.
        if c.is_ascii_control() || matches!(c, ' ' | '"' | '<' | '>') {
            literal.extend(percent_encoding::utf8_percent_encode(
                c.encode_utf8(&mut [0; 4]),
                percent_encoding::NON_ALPHANUMERIC,
            ));
        } else {
            literal.push(c);
        }
    }
    Ok(Step::Literal(literal.into()))
}

/// Reads what stands between braces.
fn parameter(inside: &str) -> Result<(&str, Kind), String> {
    let (name, kind) = match (inside.split_once(':'), inside.strip_suffix('*')) {
        (Some((name, "int")), _) => (name, Kind::Int),
        (Some((name, "uuid")), _) => (name, Kind::Uuid),
        (Some((name, "alpha")), _) => (name, Kind::Alpha),
        (Some((_, kind)), _) => {
            return Err(format!("`{kind}` is not a type; write int, uuid or alpha"));
        }
        (None, Some(name)) => (name, Kind::Many),
        (None, None) => (inside, Kind::Any),
    };
    if name == "rest" {
        return Err(
            "`rest` is what a prefix leaves over; give the parameter another name".to_owned()
        );
    }
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(format!(
            "`{{{inside}}}` is not a parameter; write letters, digits and _, as in {{order_id}}"
        ));
    }
    Ok((name, kind))
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_tells_its_parameters() {
        let pattern: Pattern = "/a/{id}/{n:int}/b/{tail*}".parse().unwrap();
        assert_eq!(pattern.parameters(), [("id", false), ("n", false), ("tail", true)]);
        assert_eq!(pattern.to_string(), "/a/{id}/{n:int}/b/{tail*}");
        assert_eq!("/".parse::<Pattern>().unwrap().parameters(), []);
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_what_to_write() {
        for (written, hint) in [
            ("", "does not start with /"),
            ("orders", "write /orders"),
            ("/a?b=c", "under `query`"),
            ("/a#b", "has no `#`"),
            ("/a//b", "two / in a row"),
            ("//", "two / in a row"),
            ("/a/*", "{name*}"),
            ("/a/:id", "written {id}"),
            ("/a/{id}.json", "fills a whole segment"),
            ("/a/v{n}", "fills a whole segment"),
            ("/a/{a}{b}", "fills a whole segment"),
            ("/a/{a/b}", "fills a whole segment"),
            ("/a/}", "fills a whole segment"),
            ("/{}", "is not a parameter"),
            ("/{*}", "is not a parameter"),
            ("/{a-b}", "is not a parameter"),
            ("/{a.b}", "is not a parameter"),
            ("/{id:float}", "int, uuid or alpha"),
            ("/{id:int*}", "int, uuid or alpha"),
            ("/{x*}/b", "only come last"),
            ("/{x*}/", "only come last"),
            ("/{rest}", "another name"),
            ("/{a}/{a:int}", "stands twice"),
            ("/100%", "write %25"),
            ("/a/../b", "fits no request"),
            ("/a/%2e", "fits no request"),
        ] {
            let error = written.parse::<Pattern>().unwrap_err();
            assert!(error.contains(hint), "{written}: {error}");
        }
        assert!("/a".repeat(65).parse::<Pattern>().is_err());
    }

    #[test]
    fn no_text_fits_two_types() {
        let uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
        let digits = "00000000-0000-0000-0000-000000000000";
        for (text, fitting) in [
            ("1", vec![Kind::Int]),
            ("-17", vec![Kind::Int]),
            ("123456789012345678901234567890", vec![Kind::Int]),
            ("-", vec![]),
            ("+1", vec![]),
            ("1-2", vec![]),
            (uuid, vec![Kind::Uuid]),
            (digits, vec![Kind::Uuid]),
            ("6BA7B810-9DAD-11D1-80B4-00C04FD430C8", vec![Kind::Uuid]),
            ("6ba7b8109dad11d180b400c04fd430c8", vec![]),
            ("abcDEF", vec![Kind::Alpha]),
            ("a1", vec![]),
            ("é", vec![]),
            ("", vec![]),
        ] {
            let fits = [Kind::Int, Kind::Uuid, Kind::Alpha].into_iter().filter(|k| k.fits(text));
            assert_eq!(fits.collect::<Vec<_>>(), fitting, "{text}");
        }
    }
}
