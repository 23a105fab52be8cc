//! The crate from outside: the mapping row by row, the rules, what is refused, and the comparison
//! with prost-reflect's `DynamicMessage`, which is the reference.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod descriptors;
mod differential;

mod mapping;
mod refusals;
mod requests;
mod rules;
mod support;
