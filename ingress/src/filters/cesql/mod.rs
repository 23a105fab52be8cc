//! The CloudEvents SQL expression language (CESQL) 1.0.0: one line of text over an event's
//! attributes, such as `type LIKE 'com.acme.%' AND priority > 5`.
//!
//! A text becomes pieces (`lexer.rs`), the pieces a tree (`parser.rs`, `tree.rs`), and the tree a
//! value for each event (`evaluator.rs`, `functions.rs`, `pattern.rs`). The language is total:
//! every expression has a value for every event, and errors stand beside it.

mod evaluator;
mod functions;
mod lexer;
mod parser;
mod pattern;
mod tree;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tck;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, str::FromStr};

use schemas::Attributes;

use self::tree::Node;

/// How long an expression may be. It bounds the work that one event can cause.
pub const EXPRESSION_BYTES_MAX: usize = 16 << 10;

/// An expression, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    written: Box<str>,
    root: Node,
}

/// What an expression comes to. Texts are borrowed from the event where they can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A whole number of 32 bits.
    Integer(i32),
    /// `true` or `false`.
    Boolean(bool),
}

/// A value, and what went wrong on the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated<'a> {
    /// The value; after most errors the zero value of the expression's type.
    pub value: Value<'a>,
    /// The errors in the order in which they were met.
    pub errors: Vec<EvaluationError>,
}

/// What can go wrong while an expression is evaluated. The kinds are those of the specification's
/// section 3.3. No variant holds a value of the event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// Arithmetic without a result.
    #[error("{0}")]
    Math(&'static str),
    /// A value that is nothing of another type.
    #[error("a value is not {0}")]
    Cast(&'static str),
    /// An attribute that the event does not have.
    #[error("the event has no attribute `{0}`")]
    MissingAttribute(Box<str>),
    /// A function that does not exist with so many arguments.
    #[error("there is no function `{name}` of {arguments} arguments")]
    MissingFunction {
        /// Its name, as written.
        name: Box<str>,
        /// How many arguments it was given.
        arguments: usize,
    },
    /// A function that was given what it cannot work with.
    #[error("{0}")]
    FunctionEvaluation(&'static str),
}

/// Why a text is not an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The place, counted in characters from 1.
    at: usize,
    /// What stands there; empty at the end.
    near: String,
    what: String,
}

impl Expression {
    /// Parses an expression that is to be a filter. Refuses also what the language allows but what
    /// can never be meant: a function that does not exist, the name `data`, and AND, OR and XOR
    /// side by side without parentheses.
    ///
    /// # Errors
    /// The first mistake and its place.
    pub fn for_filter(text: &str) -> Result<Self, Mistake> {
        let (root, doubt) = parser::parse(text)?;
        match doubt {
            Some(doubt) => Err(doubt),
            None => Ok(Self { written: text.into(), root }),
        }
    }

    /// The expression as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Evaluates the expression over an event, to the end and with every error on the way.
    #[must_use]
    pub fn evaluate<'a>(&'a self, event: &'a Attributes) -> Evaluated<'a> {
        evaluator::evaluate(&self.root, event)
    }

    /// Decides whether an event passes: the value is `true`, and there is no error.
    #[must_use]
    pub fn holds(&self, event: &Attributes) -> bool {
        let evaluated = self.evaluate(event);
        evaluated.value == Value::Boolean(true) && evaluated.errors.is_empty()
    }
}

impl FromStr for Expression {
    type Err = Mistake;

    /// Parses every expression of the language.
    fn from_str(text: &str) -> Result<Self, Mistake> {
        let (root, _doubt) = parser::parse(text)?;
        Ok(Self { written: text.into(), root })
    }
}

impl Mistake {
    /// `at` counts bytes of `text`.
    fn new(text: &str, at: usize, what: impl Into<String>) -> Self {
        let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
        // Control characters are escaped, so that an error stays one line.
        let shown =
            |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
        let (start, more) = match after.char_indices().nth(20) {
            Some((end, _)) => (after.split_at(end).0, "…"),
            None => (after, ""),
        };
        let near = start.trim_end().chars().map(shown).collect::<String>() + more;
        Self { at: before.chars().count() + 1, near, what: what.into() }
    }
}

impl std::error::Error for Mistake {}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.near.is_empty() {
            write!(out, "at the end of the expression: {}", self.what)
        } else {
            write!(out, "at character {}, `{}`: {}", self.at, self.near, self.what)
        }
    }
}
