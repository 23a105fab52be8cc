//! Why a value cannot be read, in words for whoever wrote it, and the way to it.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::De;
use crate::config::{
    node::{Node, Place},
    problem::did_you_mean,
};

/// How types are written that many have to be told of once.
pub(super) const FORMS: [(&str, &str); 5] = [
    ("FileRef", "where it is: {file: path}"),
    ("Secret", "where it is: {env: NAME} or {file: path}"),
    ("Urls", "a URL, or a list of URLs"),
    ("Argument", "a text, a whole number, true or false"),
    ("JetStream", "true, or {stream: NAME}"),
];

/// What serde says of an untagged enum, and no more.
const UNTAGGED: &str = "data did not match any variant of untagged enum";

/// Why a node is not what a type needs, and the way to it.
#[derive(Debug)]
pub(super) struct Refused(pub(super) What, pub(super) Option<Trail>);

/// What is wrong.
#[derive(Debug)]
pub(super) enum What {
    /// A field that the type does not have.
    Unknown { field: String, known: &'static [&'static str] },
    /// A word that is none of those that may stand here.
    Word { word: String, known: &'static [&'static str] },
    /// A field that must be there.
    Missing(&'static str),
    /// A value of the wrong form.
    Form { found: String, wanted: String },
    /// What a type's own reading says.
    Said(String),
}

/// The way from an element to the node that is wrong.
#[derive(Debug)]
pub(super) struct Trail {
    /// The node to take out before the next try.
    pub(super) id: usize,
    pub(super) at: Place,
    /// The innermost first.
    pub(super) steps: Vec<Step>,
    /// Whether this only follows from an error that was said.
    pub(super) follows: bool,
}

#[derive(Debug)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl What {
    /// What is wrong, and what to write.
    pub(super) fn words(self) -> (String, String) {
        match self {
            Self::Unknown { field, known: [] } => {
                (format!("unknown field `{field}`"), "nothing is written here".to_owned())
            }
            Self::Unknown { field, known } => (
                format!("unknown field `{field}`"),
                did_you_mean(&field, "fields", known.iter().copied()),
            ),
            Self::Word { word, known } => (
                format!("{word:?} is not known here"),
                did_you_mean(&word, "one of", known.iter().copied()),
            ),
            Self::Missing(field) => (format!("`{field}` is missing"), format!("write `{field}:`")),
            Self::Form { found, wanted } => (format!("is {found}"), wanted),
            Self::Said(text) if text.starts_with(UNTAGGED) => {
                let wanted = FORMS.iter().find(|(name, _)| text.ends_with(name));
                let wanted = wanted.map_or(String::new(), |(_, form)| format!("write {form}"));
                ("has a form that is not known here".to_owned(), wanted)
            }
            Self::Said(text) => match text.split_once("; ") {
                Some((message, remedy)) => (message.to_owned(), remedy.to_owned()),
                None => (text, String::new()),
            },
        }
    }

    /// A value of the wrong form, and the one to write.
    pub(super) fn form(found: impl Into<String>, wanted: impl fmt::Display) -> Refused {
        Refused(Self::Form { found: found.into(), wanted: format!("write {wanted}") }, None)
    }
}

impl Trail {
    /// No way at all: this node itself.
    pub(super) fn of(node: &Node, at: Place) -> Self {
        Self { id: node.id, at, steps: Vec::new(), follows: false }
    }
}

impl Refused {
    /// Says that the error is about this node, unless it knows better already.
    pub(super) fn at(mut self, De { node, pruned }: De<'_>) -> Self {
        if self.1.is_none() {
            let mut trail = Trail::of(node, node.at);
            match &self.0 {
                What::Missing(field) => trail.follows = node.entry(field).is_some(),
                What::Form { .. } | What::Said(_) => {
                    // What a type says of the whole, it may say for want of the part.
                    trail.follows = node.children().any(|child| pruned.contains(&child.id));
                    if let Some(name) = node.placeholder() {
                        self.0 = placeholder(name);
                    }
                }
                What::Unknown { .. } | What::Word { .. } => {}
            }
            self.1 = Some(trail);
        }
        self
    }

    /// Says that the way leads through this step.
    pub(super) fn through(mut self, step: Step) -> Self {
        if let Some(trail) = &mut self.1 {
            trail.steps.push(step);
        }
        self
    }
}

/// `{name}` without quotes.
pub(super) fn placeholder(name: &str) -> What {
    What::Form {
        found: "a mapping to YAML".to_owned(),
        wanted: format!("a value with a placeholder is quoted: \"{{{name}}}\""),
    }
}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(said: T) -> Self {
        Self(What::Said(said.to_string()), None)
    }

    // The value itself is never shown: it may be a secret that somebody wrote down.
    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a mapping",
            Unexpected::Unit | Unexpected::Option => "empty",
            _ => "a text",
        };
        let wanted = wanted.to_string();
        let wanted = match wanted.as_str() {
            "a string" => "a text",
            "a nonzero u32" => "a whole number from 1",
            "a sequence" => "a list",
            "struct BreakerWritten" => "{ failures: 50% }, {} for the defaults, or none",
            wanted => wanted,
        };
        What::form(found, wanted)
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self(What::Unknown { field: field.to_owned(), known }, None)
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self(What::Word { word: word.to_owned(), known }, None)
    }

    fn missing_field(field: &'static str) -> Self {
        Self(What::Missing(field), None)
    }
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, out)
    }
}
