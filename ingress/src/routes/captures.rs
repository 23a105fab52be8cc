//! What a path brings: the values of its parameters, and what a prefix leaves over.

use std::fmt;

use smallvec::SmallVec;

use super::encoding;
use crate::table::PathMatch;

/// The name under which what is left over is kept; no parameter can have it.
const REST: &str = "rest";

/// The values of a path's parameters, in the encoding in which they came. They are kept in place,
/// without allocating, unless they are unusually long.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Captures {
    /// Name and value, name and value.
    text: SmallVec<[u8; 64]>,
    /// Where each of them ends.
    ends: SmallVec<[usize; 8]>,
}

/// Whether such a path brings anything.
pub(super) fn takes(path: &PathMatch) -> bool {
    match path {
        PathMatch::Pattern(pattern) => pattern.has_parameters(),
        PathMatch::Prefix(_) => true,
        PathMatch::Any | PathMatch::Regex(_) => false,
    }
}

impl Captures {
    /// The value of a parameter, in the encoding in which it came.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// What the prefix leaves over, without a `/` at its start, in the encoding in which it came; it
    /// may be empty. For a pattern, what its `{name*}` holds. None if the route has neither.
    #[must_use]
    pub fn rest(&self) -> Option<&str> {
        self.get(REST)
    }

    /// All names and values in the order of the path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let mut texts = starts.zip(self.ends.iter().copied()).map(|(start, end)| {
            self.text.get(start..end).and_then(|text| str::from_utf8(text).ok())
        });
        std::iter::from_fn(move || Some((texts.next()??, texts.next()??)))
    }

    /// Takes the values out of a path that the condition fits.
    pub(super) fn cut(condition: &PathMatch, path: &str) -> Self {
        let mut captures = Self::default();
        let mut left = path.strip_prefix('/');
        match condition {
            PathMatch::Pattern(pattern) if pattern.has_parameters() => {
                for parameter in pattern.by_segment() {
                    let Some(path) = left else { break };
                    let (segment, after) = encoding::segment(path);
                    match parameter {
                        Some((name, true)) => {
                            captures.push(name, path);
                            captures.push(REST, path);
                        }
                        Some((name, false)) => captures.push(name, segment),
                        None => {}
                    }
                    left = after;
                }
            }
            PathMatch::Prefix(prefix) => {
                for _ in encoding::segments(prefix) {
                    left = left.and_then(|path| encoding::segment(path).1);
                }
                captures.push(REST, left.unwrap_or_default());
            }
            PathMatch::Any | PathMatch::Pattern(_) | PathMatch::Regex(_) => {}
        }
        captures
    }

    pub(super) fn push(&mut self, name: &str, value: &str) {
        for text in [name, value] {
            self.text.extend_from_slice(text.as_bytes());
            self.ends.push(self.text.len());
        }
    }
}

impl fmt::Debug for Captures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.iter()).finish()
    }
}
