//! What is wrong with a configuration, where it stands, and what to write instead.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing that is wrong, or that is probably not meant: `file:line:column: path: message;
/// remedy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Mistake")]
pub struct Problem {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The way to the field from the top of the file, such as `routes[0].to`. Empty for the file
    /// itself.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead. Empty where the message says it all.
    pub remedy: String,
}

impl Problem {
    /// Says what is wrong at a place that the table knows as `file:line:column`, such as
    /// [`crate::Route::place`].
    #[must_use]
    pub fn at(
        place: &str,
        path: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let mut parts = place.rsplitn(3, ':');
        let mut number = || parts.next().and_then(|part| part.parse().ok());
        let (column, line) = (number().unwrap_or(1), number().unwrap_or(1));
        Self {
            file: parts.next().unwrap_or_default().to_owned(),
            line,
            column,
            path: path.into(),
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.path.is_empty() {
            write!(out, "{}: ", self.path)?;
        }
        out.write_str(&self.message)?;
        if !self.remedy.is_empty() {
            write!(out, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// The one of `known` that `found` was probably meant to be.
pub(super) fn meant<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase().replace('_', "-");
    known
        .into_iter()
        .map(|name| (distance(&found, &name.to_lowercase().replace('_', "-")), name))
        .filter(|(distance, name)| *distance <= 1.max(name.len() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// "did you mean `x`?", then the list of what there is.
#[must_use]
pub fn did_you_mean<'a>(
    found: &str,
    what: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    let names: Vec<&str> = known.clone().into_iter().collect();
    let list = match names.as_slice() {
        [] => return String::new(),
        names if names.len() > 40 => format!("there are {} {what}", names.len()),
        names => format!("{what}: {}", names.join(", ")),
    };
    match meant(found, known) {
        Some(name) => format!("did you mean `{name}`? ({list})"),
        None => list,
    }
}

/// How many letters must be put in, taken out, changed, or swapped with their neighbour, to make
/// one text of the other. Long texts are never alike.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_seen_and_another_word_is_not() {
        let known = ["timeout", "try_timeout", "retry", "limits", "to"];
        for (found, expected) in [
            ("timout", Some("timeout")),
            ("tiemout", Some("timeout")),
            ("tryTimeout", Some("try_timeout")),
            ("try-timeout", Some("try_timeout")),
            ("limit", Some("limits")),
            ("tos", Some("to")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(meant(found, known), expected, "{found}");
        }
        assert_eq!(meant(&"x".repeat(100_000), known), None);
    }
}
