//! An attribute by its name. The name is looked up once, at load, so that nothing compares the
//! names of the eight attributes that CloudEvents defines while an event waits.

use std::{fmt, io::Write, str::FromStr};

use schemas::{Attributes, event::Value};

/// The name of an attribute, ready for looking it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    SpecVersion,
    Id,
    Source,
    Type,
    Subject,
    Time,
    DataContentType,
    DataSchema,
    Extension(Box<str>),
}

/// What an event has under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    Text(&'a str),
    Integer(i32),
    Boolean(bool),
}

impl Attribute {
    /// The attribute of this name, were it allowed or not. A name that no event can have is never
    /// found.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "specversion" => Self::SpecVersion,
            "id" => Self::Id,
            "source" => Self::Source,
            "type" => Self::Type,
            "subject" => Self::Subject,
            "time" => Self::Time,
            "datacontenttype" => Self::DataContentType,
            "dataschema" => Self::DataSchema,
            extension => Self::Extension(extension.into()),
        }
    }

    /// Looks the attribute up in an event.
    pub(crate) fn find<'a>(&self, event: &'a Attributes) -> Option<Found<'a>> {
        let text = match self {
            Self::SpecVersion => "1.0",
            Self::Id => &event.id,
            Self::Source => &event.source,
            Self::Type => &event.kind,
            Self::Subject => event.subject.as_deref()?,
            Self::Time => event.time.as_deref()?,
            Self::DataContentType => event.datacontenttype.as_deref()?,
            Self::DataSchema => event.dataschema.as_deref()?,
            Self::Extension(name) => {
                return Some(match event.extension(name)? {
                    Value::String(text) => Found::Text(text),
                    Value::Integer(number) => Found::Integer(*number),
                    Value::Boolean(truth) => Found::Boolean(*truth),
                });
            }
        };
        Some(Found::Text(text))
    }

    fn name(&self) -> &str {
        match self {
            Self::SpecVersion => "specversion",
            Self::Id => "id",
            Self::Source => "source",
            Self::Type => "type",
            Self::Subject => "subject",
            Self::Time => "time",
            Self::DataContentType => "datacontenttype",
            Self::DataSchema => "dataschema",
            Self::Extension(name) => name,
        }
    }
}

impl Found<'_> {
    /// Shows the canonical string (CloudEvents, section "Type System") without allocating one.
    pub(crate) fn with_canonical<T>(self, look: impl FnOnce(&str) -> T) -> T {
        match self {
            Self::Text(text) => look(text),
            Self::Boolean(true) => look("true"),
            Self::Boolean(false) => look("false"),
            Self::Integer(number) => {
                // Eleven bytes hold the longest, -2147483648, so this stays on the stack.
                let mut digits = [0; 11];
                let mut free = digits.as_mut_slice();
                write!(free, "{number}").expect("the longest number fits");
                let free = free.len();
                let digits = digits.split_at(digits.len() - free).0;
                look(std::str::from_utf8(digits).expect("digits are UTF-8"))
            }
        }
    }
}

impl FromStr for Attribute {
    type Err = String;

    /// Reads a name that an attribute can have (CloudEvents, section "Naming Conventions").
    fn from_str(name: &str) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if name.is_empty() {
            Err("the name of an attribute is empty; write one, such as `type`".to_owned())
        } else if name == "data" {
            Err("`data` is not an attribute, and filters see attributes only; \
                 write one, such as `type`"
                .to_owned())
        } else if !name.bytes().all(fits) {
            Err(format!(
                "no event has an attribute {name:?}; write lower-case letters and digits, \
                 such as `type`"
            ))
        } else {
            Ok(Self::named(name))
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
