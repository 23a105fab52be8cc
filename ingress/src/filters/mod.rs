//! Which events: the filters of the CloudEvents Subscriptions API (its section 3.2.4), and the
//! CloudEvents expression language in [`cesql`].
//!
//! A filter is checked once, when it is read (`written.rs`). After that it can only say yes or no:
//! an attribute that an event lacks and an error of an expression are a no.

mod attribute;
pub mod cesql;
mod written;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod yaml;

use schemas::Attributes;

use self::attribute::Attribute;

/// A condition on an event's attributes. Texts are compared with the attribute's canonical string
/// (an integer in base 10, `true` or `false`), letter case included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Every attribute named here is the text beside it.
    Exact(Conditions),
    /// Every attribute named here starts with the text beside it.
    Prefix(Conditions),
    /// Every attribute named here ends with the text beside it.
    Suffix(Conditions),
    /// All of these hold.
    All(Vec<Filter>),
    /// At least one of these holds.
    Any(Vec<Filter>),
    /// This does not hold.
    Not(Box<Filter>),
    /// This expression comes to `true`, and without an error.
    Sql(cesql::Expression),
}

/// Attributes and a text for each, in the order in which they were written. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditions(Vec<(Attribute, Box<str>)>);

impl Filter {
    /// Decides whether an event passes. `exact`, `prefix` and `suffix` allocate nothing.
    #[must_use]
    pub fn holds(&self, event: &Attributes) -> bool {
        match self {
            Self::Exact(conditions) => conditions.hold(event, |found, wanted| found == wanted),
            Self::Prefix(conditions) => {
                conditions.hold(event, |found, wanted| found.starts_with(wanted))
            }
            Self::Suffix(conditions) => {
                conditions.hold(event, |found, wanted| found.ends_with(wanted))
            }
            Self::All(filters) => filters.iter().all(|filter| filter.holds(event)),
            Self::Any(filters) => filters.iter().any(|filter| filter.holds(event)),
            Self::Not(filter) => !filter.holds(event),
            Self::Sql(expression) => expression.holds(event),
        }
    }
}

impl Conditions {
    fn hold(&self, event: &Attributes, fits: fn(&str, &str) -> bool) -> bool {
        self.0.iter().all(|(attribute, wanted)| {
            attribute
                .find(event)
                .is_some_and(|found| found.with_canonical(|text| fits(text, wanted)))
        })
    }
}
