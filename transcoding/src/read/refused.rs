//! What a client is told of a text that cannot be read.

use crate::json::{Fault, Result, fault_at};
use crate::violation::{Place, Violation};

/// The fault of a text that is not UTF-8 from a byte on, by what came of reading it up to there:
/// whatever is wrong before that byte is told instead.
#[cold]
pub(super) fn not_utf8(at: usize, read: Result<()>) -> Box<Fault> {
    const PROBLEM: &str = "the text is not UTF-8";
    match read {
        Ok(()) => fault_at(at, PROBLEM),
        Err(fault) if fault.at < at => fault,
        Err(fault) => Box::new(Fault { at, problem: PROBLEM.into(), ..*fault }),
    }
}

/// Tells a fault by line and column.
#[cold]
pub(super) fn violation(text: &[u8], fault: &Fault) -> Violation {
    let before = &text[..fault.at.min(text.len())];
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
    let field = fault.path.iter().rev().map(String::as_str).collect::<String>();
    Violation {
        place: Place::Body { line, column },
        field: field.strip_prefix('.').unwrap_or(&field).to_owned(),
        problem: fault.problem.to_string(),
    }
}
