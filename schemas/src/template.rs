//! Texts with placeholders: `orders.{event.type}`, `/v2/{rest}`, `{query.x:-none}`.
//!
//! `{name}` is a path parameter and nothing else; all others carry their source. A value fills
//! exactly one token of the target's [`Grammar`]; `{name*}` may fill several.

use std::{borrow::Cow, fmt, str::FromStr};

/// A text with placeholders, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// One piece of a template.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// Text that stands for itself.
    Literal(String),
    /// A value that the request brings.
    Placeholder(Placeholder),
}

/// A value that the request brings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Placeholder {
    /// Where the value comes from.
    pub source: Source,
    /// May the value fill several tokens?
    pub many: bool,
    /// What stands in when the request has no value.
    pub default: Option<String>,
}

/// Where a placeholder's value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// `{name}`: a parameter of the route's path.
    Path(String),
    /// `{rest}`: what a prefix left over.
    Rest,
    /// `{event.name}`: an attribute of the event.
    Event(String),
    /// `{query.name}`: the first value of a query parameter.
    Query(String),
    /// `{header.name}`: a header, its name in lower case.
    Header(String),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// A `{` without `}` or the other way round.
    #[error("a single {0:?}; write %7B for a literal {{ and %7D for a literal }}")]
    Brace(char),
    /// A `%` that is not `%7B`, `%7D` or `%25`.
    #[error("a single %; write %25 for a literal %")]
    Percent,
    /// A placeholder that nobody knows.
    #[error(
        "unknown placeholder {{{0}}}; write a path parameter {{name}}, {{rest}}, {{event.name}}, {{query.name}} or {{header.name}}"
    )]
    Unknown(String),
    /// A placeholder whose source is not built yet.
    #[error("the placeholder {{{0}}} is not built yet")]
    NotBuilt(String),
}

/// Why a template cannot be filled for a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfilled {
    /// The request has no such value: 400 `placeholder_missing`.
    #[error("the request has no value for {{{0}}}")]
    Missing(String),
    /// The value does not fit the place: 400 `placeholder_invalid`.
    #[error("the value of {{{0}}} does not fit where it is to stand")]
    Invalid(String),
}

/// What a value must look like in the place that it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// A segment of a URL's path: percent-encoded. `{rest}` keeps the encoding that it came with.
    /// Values never make a step `.` or `..`, nor a host by a second slash at the front.
    Path,
    /// A token of a NATS subject: no `.`, `*`, `>`, blank or control character, and not empty.
    /// `event.type` may keep its dots. Values never make a subject of the server's own (`$JS…`,
    /// `_INBOX…`), nor one of more than [`SUBJECT_MAX`] bytes.
    Subject,
    /// A topic of the embedded bus: as a NATS subject.
    Topic,
    /// An exchange and a routing key of AMQP with a slash between them, each of at most
    /// [`SHORT_MAX`] bytes. A value fills one word of the key: no `.`, `*`, `#`, blank or control
    /// character, and not empty. `event.type` may keep its dots. Values never name a queue of the
    /// broker's own (`amq.…`) on the default exchange.
    RoutingKey,
    /// The name of a function on a platform: a value has letters, digits, `-` and `_` and nothing
    /// else, so that it names neither another namespace nor a version, and is no path.
    Function,
    /// Text in a header or a redirect's query: no control character.
    Text,
}

/// The bytes that a filled subject may have. A server takes 4096 for the subject, the reply's subject
/// and two numbers together, and closes the connection of a client that sends more.
pub const SUBJECT_MAX: usize = 1024;

/// The bytes that an exchange's name and a routing key may have in AMQP: its strings have a length of
/// one byte.
pub const SHORT_MAX: usize = 255;

/// The values that a request brings.
pub trait Values {
    /// The value of this source, percent-decoded; but [`Source::Rest`] as it came.
    fn value(&self, source: &Source) -> Option<Cow<'_, str>>;
}

impl Template {
    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The text, if it has no placeholder.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The text in front of the first placeholder.
    #[must_use]
    pub fn front(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Literal(text)) => text,
            Some(Piece::Placeholder(_)) | None => "",
        }
    }

    /// The pieces in their order. Two literals never stand side by side.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The placeholders in their order.
    pub fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Placeholder(placeholder) => Some(placeholder),
            Piece::Literal(_) => None,
        })
    }

    /// Fills the placeholders with what the request brings.
    ///
    /// # Errors
    /// [`Unfilled`] names the placeholder, never its value.
    pub fn fill(&self, values: &dyn Values, grammar: Grammar) -> Result<String, Unfilled> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Placeholder(placeholder) => {
                    let value = values
                        .value(&placeholder.source)
                        .or_else(|| placeholder.default.as_deref().map(Cow::Borrowed))
                        .ok_or_else(|| Unfilled::Missing(placeholder.to_string()))?;
                    if !grammar.put(placeholder, &value, &mut out) {
                        return Err(Unfilled::Invalid(placeholder.to_string()));
                    }
                }
            }
        }
        if grammar.whole(self.front(), &out) {
            Ok(out)
        } else {
            Err(Unfilled::Invalid(self.to_string()))
        }
    }
}

impl Grammar {
    /// Writes the value into its place, or says that it does not fit.
    fn put(self, placeholder: &Placeholder, value: &str, out: &mut String) -> bool {
        match self {
            Self::Path if placeholder.source == Source::Rest => {
                out.push_str(value);
                !value.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'?' || b == b'#')
            }
            Self::Path => {
                for (index, segment) in value.split('/').enumerate() {
                    if index > 0 {
                        out.push_str(if placeholder.many { "/" } else { "%2F" });
                    }
                    // A segment of dots would be read as a step through the tree.
                    if matches!(segment, "." | "..") {
                        return false;
                    }
                    out.extend(percent_encoding::utf8_percent_encode(segment, SEGMENT));
                }
                !value.is_empty()
            }
            Self::Subject | Self::Topic | Self::RoutingKey => {
                let is_token = if self == Self::RoutingKey { is_word } else { is_token };
                let of_path = matches!(placeholder.source, Source::Rest | Source::Path(_));
                if placeholder.many && of_path {
                    // What a path brings comes in segments; they become tokens.
                    for (index, segment) in value.split('/').enumerate() {
                        if index > 0 {
                            out.push('.');
                        }
                        let segment = match placeholder.source {
                            Source::Rest => {
                                percent_encoding::percent_decode_str(segment).decode_utf8()
                            }
                            _ => Ok(Cow::Borrowed(segment)),
                        };
                        match segment {
                            Ok(token) if is_token(&token) => out.push_str(&token),
                            Ok(_) | Err(_) => return false,
                        }
                    }
                    return true;
                }
                let dots = placeholder.many
                    || matches!(&placeholder.source, Source::Event(name) if name == "type");
                out.push_str(value);
                if dots { value.split('.').all(is_token) } else { is_token(value) }
            }
            Self::Function => {
                out.push_str(value);
                let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
                !value.is_empty() && value.bytes().all(fits)
            }
            Self::Text => {
                out.push_str(value);
                !value.chars().any(char::is_control)
            }
        }
    }

    /// Whether the filled text as a whole fits: each value does, but together with its neighbours
    /// (`{a}{b}`) and at the front it may still be more than a token. `front` is the literal that
    /// the template starts with: what is written there is meant.
    fn whole(self, front: &str, text: &str) -> bool {
        match self {
            Self::Path => {
                let host = |text: &str| text.starts_with("//") || text.starts_with("/\\");
                !has_steps(text) && (!host(text) || host(front))
            }
            Self::Subject | Self::Topic => {
                let of_the_server =
                    |text: &str| text.starts_with('$') || text.split('.').next() == Some("_INBOX");
                text.is_empty()
                    || text.len() <= SUBJECT_MAX
                        && text.split('.').all(is_token)
                        && (!of_the_server(text) || of_the_server(front))
            }
            Self::RoutingKey => {
                let of_the_broker = |text: &str| text.starts_with("/amq.");
                let (exchange, key) = text.split_once('/').unwrap_or((text, ""));
                exchange.len() <= SHORT_MAX
                    && key.len() <= SHORT_MAX
                    && (!of_the_broker(text) || of_the_broker(front))
            }
            Self::Function | Self::Text => true,
        }
    }
}

/// Whether a path has a step `.` or `..`, in any spelling that some server undoes: percent-encoded,
/// behind a backslash for a slash, or before a parameter (`..;x`).
fn has_steps(path: &str) -> bool {
    if !path.contains(['.', '%']) {
        return false;
    }
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
    decoded
        .split(|b| matches!(b, b'/' | b'\\'))
        .filter_map(|segment| segment.split(|b| *b == b';').next())
        .any(|segment| matches!(segment, b"." | b".."))
}

/// Whether this is one token of a NATS subject.
#[must_use]
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && !text
            .chars()
            .any(|c| matches!(c, '.' | '*' | '>') || c.is_whitespace() || c.is_control())
}

/// What a value in a path stands as it is: of what a segment may hold (RFC 3986, section 3.3) all but
/// `&`, `+`, `;` and `=`, which some servers, and every query, take for more than text.
const SEGMENT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b',')
    .remove(b':')
    .remove(b'@');

impl FromStr for Template {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}', '%']) {
            let (before, after) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('{') {
                let (inside, after) = after.split_once('}').ok_or(BadTemplate::Brace('{'))?;
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Placeholder(inside.parse()?));
                rest = after;
            } else if after.starts_with('}') {
                return Err(BadTemplate::Brace('}'));
            } else {
                let (written, after) = after.split_at_checked(3).ok_or(BadTemplate::Percent)?;
                literal.push(match written.to_ascii_uppercase().as_str() {
                    "%7B" => '{',
                    "%7D" => '}',
                    "%25" => '%',
                    _ => return Err(BadTemplate::Percent),
                });
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self { pieces })
    }
}

impl FromStr for Placeholder {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        let unknown = || BadTemplate::Unknown(text.to_owned());
        let (name, default) = match text.split_once(":-") {
            Some((name, default)) => (name, Some(default.to_owned())),
            None => (text, None),
        };
        let (name, many) = match name.strip_suffix('*') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let word = |name: &str, also: &[u8]| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || also.contains(&b))
        };
        let source = match name.split_once('.') {
            None if name == "rest" => Source::Rest,
            None if word(name, b"") => Source::Path(name.to_owned()),
            // An attribute's name is in lower case; the data is none.
            Some(("event", attribute))
                if attribute != "data"
                    && !attribute.is_empty()
                    && attribute.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) =>
            {
                Source::Event(attribute.to_owned())
            }
            Some(("query", parameter)) if word(parameter, b"-.") => {
                Source::Query(parameter.to_owned())
            }
            Some(("header", header)) if word(header, b"-") => {
                Source::Header(header.to_ascii_lowercase())
            }
            Some(("claim", _)) => return Err(BadTemplate::NotBuilt(text.to_owned())),
            _ => return Err(unknown()),
        };
        Ok(Self { source, many, default })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => {
                    for c in text.chars() {
                        match c {
                            '{' => out.write_str("%7B")?,
                            '}' => out.write_str("%7D")?,
                            '%' => out.write_str("%25")?,
                            c => write!(out, "{c}")?,
                        }
                    }
                }
                Piece::Placeholder(placeholder) => write!(out, "{{{placeholder}}}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Path(name) => out.write_str(name)?,
            Source::Rest => out.write_str("rest")?,
            Source::Event(name) => write!(out, "event.{name}")?,
            Source::Query(name) => write!(out, "query.{name}")?,
            Source::Header(name) => write!(out, "header.{name}")?,
        }
        if self.many {
            out.write_str("*")?;
        }
        match &self.default {
            Some(default) => write!(out, ":-{default}"),
            None => Ok(()),
        }
    }
}

/// Whether this may be one word of an AMQP routing key.
#[must_use]
pub fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text
            .chars()
            .any(|c| matches!(c, '.' | '*' | '#') || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests;
