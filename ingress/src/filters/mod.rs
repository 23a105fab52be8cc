//! Filters of the CloudEvents Subscriptions API, and CESQL.

/// One filter.
#[derive(Clone, Debug)]
pub enum Filter {}
