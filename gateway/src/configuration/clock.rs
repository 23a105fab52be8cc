//! The wall clock as it is told to people.

/// Now, in RFC 3339 with seconds.
pub(super) fn now() -> String {
    let now = jiff::Timestamp::now();
    format!("{now:.0}")
}
