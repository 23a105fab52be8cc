//! What an event says of itself, as it is stored.

use schemas::{Attributes, Value};
use serde::{Deserialize, Serialize};

/// The attributes of an event as they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// `id`.
    pub id: String,
    /// `source`.
    pub source: String,
    /// `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `subject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `time`, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// `datacontenttype`, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// `dataschema`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataschema: Option<String>,
    /// The extensions, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<(String, Said)>,
}

/// The value of an extension, with its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Said {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i32),
    /// Any other.
    String(String),
}

impl Told {
    /// The attributes of this event.
    pub(super) fn of(event: &Attributes) -> Self {
        let extensions = event.extensions.iter();
        Self {
            id: event.id.clone(),
            source: event.source.clone(),
            kind: event.kind.clone(),
            subject: event.subject.clone(),
            time: event.time.clone(),
            datacontenttype: event.datacontenttype.clone(),
            dataschema: event.dataschema.clone(),
            extensions: extensions.map(|(name, value)| (name.clone(), Said::of(value))).collect(),
        }
    }

    /// Sets an extension.
    pub fn say(&mut self, name: &str, value: Said) {
        match self.extensions.iter_mut().find(|(known, _)| known == name) {
            Some((_, said)) => *said = value,
            None => self.extensions.push((name.to_owned(), value)),
        }
    }

    /// The attributes as the rest of the program knows them.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        let value = |said: &Said| match said {
            Said::String(text) => Value::String(text.clone()),
            Said::Integer(number) => Value::Integer(*number),
            Said::Boolean(is) => Value::Boolean(*is),
        };
        let extensions = self.extensions.iter();
        Attributes {
            id: self.id.clone(),
            source: self.source.clone(),
            kind: self.kind.clone(),
            subject: self.subject.clone(),
            time: self.time.clone(),
            datacontenttype: self.datacontenttype.clone(),
            dataschema: self.dataschema.clone(),
            extensions: extensions.map(|(name, said)| (name.clone(), value(said))).collect(),
        }
    }
}

impl Said {
    /// The value of an attribute.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::String(text.clone()),
            Value::Integer(number) => Self::Integer(*number),
            Value::Boolean(is) => Self::Boolean(*is),
        }
    }
}
