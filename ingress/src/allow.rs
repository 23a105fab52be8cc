//! Which functions a placeholder may name, where what it names is code that runs.

/// Names, or globs in which `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow(Box<[Box<str>]>);

impl Allow {
    /// Takes the patterns as they are written.
    pub(crate) fn new<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Self {
        Self(patterns.into_iter().map(Box::from).collect())
    }

    /// Whether a function may be called.
    #[must_use]
    pub fn permits(&self, function: &str) -> bool {
        self.0.iter().any(|pattern| fits(pattern, function))
    }
}

/// Whether a text fits a glob. What stands between two `*` is found as early as it can be, which
/// leaves the most for the rest, so that nothing has to be tried twice.
fn fits(glob: &str, text: &str) -> bool {
    let Some((front, rest)) = glob.split_once('*') else { return glob == text };
    let Some(mut text) = text.strip_prefix(front) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return text.ends_with(piece);
        }
        let Some(at) = text.find(piece) else { return false };
        text = text.get(at + piece.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_all_else_for_itself() {
        for (glob, text, expected) in [
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("orders-*", "orders-eu", true),
            ("orders-*", "orders-", true),
            ("orders-*", "my-orders-eu", false),
            ("*-eu", "orders-eu", true),
            ("*-eu", "orders-eu-2", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "acb", false),
            ("a*bc*c", "abcc", true),
            ("a*a", "a", false),
            ("*", "", true),
            ("", "a", false),
            ("a.b", "aXb", false),
        ] {
            assert_eq!(fits(glob, text), expected, "{glob} {text}");
        }
    }

    #[test]
    fn one_pattern_that_fits_is_enough() {
        let allow = Allow::new(["a", "b-*"]);
        assert!(allow.permits("a") && allow.permits("b-1"));
        assert!(!allow.permits("c"));
    }
}
