//! Filters of the CloudEvents Subscriptions API, and CESQL.

/// One filter.
#[derive(Clone, Debug)]
pub enum Filter {}

impl Filter {
    /// Whether the event passes.
    #[must_use]
    pub fn holds(&self, _: &schemas::Attributes) -> bool {
        match *self {}
    }
}
