//! Names of functions.

use schemas::{Template, template::Piece};

/// A function part with a letter in place of each placeholder, to check what does not depend on it.
pub(crate) fn with_stand_ins(function: &Template) -> String {
    let pieces = function.pieces().iter().map(|piece| match piece {
        Piece::Literal(text) => text.as_str(),
        Piece::Placeholder(_) => "x",
    });
    pieces.collect()
}

/// Whether this is a DNS label as Kubernetes names things by (RFC 1123): lower-case letters, digits
/// and `-`, which stands at neither end.
pub(crate) fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_what_kubernetes_takes() {
        for good in ["a", "nodeinfo", "a-1", "1a"] {
            assert!(is_label(good), "{good}");
        }
        for bad in ["", "A", "-a", "a-", "a.b", "a_b", "a/b", &"a".repeat(64)] {
            assert!(!is_label(bad), "{bad}");
        }
    }
}
