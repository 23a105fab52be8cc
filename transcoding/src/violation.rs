//! What is wrong: with what a client sent, and with what a service answered.

use std::fmt;

/// Says what is wrong with a request, so that a `google.rpc.BadRequest.FieldViolation` can be made of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}{}{field}: {problem}", if .field.is_empty() { "" } else { ", field " })]
pub struct Violation {
    /// Where in the request it stands.
    pub place: Place,
    /// The field by its JSON names, such as `items[2].unitPrice`; empty for the message itself.
    pub field: String,
    /// What is wrong and what to write instead.
    pub problem: String,
}

/// A place in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the JSON of the body; both count from one, and a column is a character.
    Body {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// In a variable of the path.
    Path,
    /// In the query.
    Query,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body { line, column } => write!(f, "line {line}, column {column}"),
            Self::Path => f.write_str("path"),
            Self::Query => f.write_str("query"),
        }
    }
}

/// Says why a service's message cannot be told as JSON. It is never the client's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", if .field.is_empty() { String::new() } else { format!("field {field}: ") })]
pub struct Broken {
    /// The field by its JSON names; empty for the message itself.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}
