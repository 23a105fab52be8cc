//! Tests of the whole loader.

mod bad;
mod bounds;
mod docs;
mod good;
mod guards;
mod lint;
mod schema;

use super::{File, Loaded, Offer, Problem, parse};

/// Loads one file, named `gateway.yaml`.
fn load(text: &str) -> Result<Loaded, Vec<Problem>> {
    parse(&[file("gateway.yaml", text)], &offer())
}

fn file(name: &str, text: &str) -> File {
    File { name: name.to_owned(), text: text.to_owned() }
}

/// What `gusset dev` offers.
fn offer() -> Offer {
    Offer::default()
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}
