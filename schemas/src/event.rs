//! An event: what happened (its attributes) and its data.

use std::borrow::Cow;

use crate::Body;

/// Something that happened, on its way to a function. The context of a plain HTTP request is not
/// computed until a target needs an event, so that passing a request on costs next to nothing.
#[derive(Debug, Default)]
pub struct Event {
    /// What is said of the event.
    pub context: Context,
    /// Its data, byte for byte as it came.
    pub data: Body,
}

/// What is known of an event's attributes.
#[derive(Clone, Debug, Default)]
pub enum Context {
    /// A plain HTTP request: no attributes yet.
    #[default]
    Plain,
    /// A structured or batch request whose body passes through unread.
    Opaque(Mode),
    /// A CloudEvent, checked, and the mode it came in.
    Event(Box<Attributes>, Mode),
}

/// The content modes of the CloudEvents HTTP binding, section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Attributes in headers, data in the body.
    Binary,
    /// Attributes and data in one JSON document.
    Structured,
    /// Several events in one JSON array.
    Batch,
}

/// The attributes of a CloudEvent 1.0 (CloudEvents specification, section "Context Attributes"),
/// each checked. Texts are kept as they were written: a time keeps its offset.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Attributes {
    /// `id`: with `source`, the identity of the event. Not empty.
    pub id: String,
    /// `source`: a URI reference. Not empty.
    pub source: String,
    /// `type`: what kind of event it is. Not empty.
    pub kind: String,
    /// `subject`: not empty if present.
    pub subject: Option<String>,
    /// `time`: an RFC 3339 timestamp, as written.
    pub time: Option<String>,
    /// `datacontenttype`: a media type (RFC 2046), as written.
    pub datacontenttype: Option<String>,
    /// `dataschema`: an absolute URI.
    pub dataschema: Option<String>,
    /// Extension attributes in the order in which they came. Names are `[a-z0-9]+` and unique.
    pub extensions: Vec<(String, Value)>,
}

/// The value of an extension attribute. Binary, URI and timestamp values travel as their canonical
/// strings, so a string keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Any string, and all types whose JSON form is a string.
    String(String),
    /// A signed 32-bit whole number.
    Integer(i32),
    /// `true` or `false`.
    Boolean(bool),
}

impl Context {
    /// The mode that an event came in; none for a plain request.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        match self {
            Self::Plain => None,
            Self::Opaque(mode) | Self::Event(_, mode) => Some(*mode),
        }
    }
}

impl Attributes {
    /// The extension of this name.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<&Value> {
        self.extensions.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

impl Value {
    /// The value's canonical text (specification, "Type System").
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::String(text) => Cow::Borrowed(text),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Boolean(true) => Cow::Borrowed("true"),
            Self::Boolean(false) => Cow::Borrowed("false"),
        }
    }
}

impl Event {
    /// The attributes, if this is an event.
    #[must_use]
    pub fn attributes(&self) -> Option<&Attributes> {
        match &self.context {
            Context::Event(attributes, _) => Some(attributes),
            Context::Plain | Context::Opaque(_) => None,
        }
    }
}
