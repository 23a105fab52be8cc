//! What the dialect has a word for and this program does not do yet. It is refused by name, so
//! that nobody believes in a setting that does nothing.

use super::spot::{Report, Spot};

/// Where a word may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Top,
    Listener,
    Upstream,
    Nats,
    Route,
    Target,
    Policy,
    /// `policies.default`, where settings of upstreams may stand one day.
    DefaultPolicy,
}

/// The words, by where they stand.
const WORDS: &[(Place, &[&str])] = &[
    (
        Place::Top,
        &["subscriptions", "archive", "transform", "cache", "compression", "mirror", "order_by"],
    ),
    (Place::Listener, &["tls"]),
    (Place::Upstream, &["load_balancing", "health", "connections", "protocol"]),
    (Place::Nats, &["declare"]),
    (Place::Route, &["transform", "cache", "compression", "archive"]),
    (Place::Policy, &["authorize", "cors", "max_duration", "priority"]),
    (
        Place::DefaultPolicy,
        &["load_balancing", "health", "connections", "connect_timeout", "protocol", "tls"],
    ),
];

/// Kinds of upstream that the dialect has a word for and that are to come.
pub const KINDS_TO_COME: &[&str] =
    &["openapi", "graphql", "soap", "kafka", "sqs", "sns", "eventbridge", "pubsub", "mqtt"];

/// Where secrets are to come from one day.
const SECRETS: &[&str] = &["vault", "kubernetes"];

/// Settings that are built, but not as a default for all upstreams.
const ON_THE_UPSTREAM: &[&str] = &["connect_timeout", "tls"];

/// Refuses every field here that is not built yet, and no longer looks at it.
pub(super) fn refuse(spot: &Spot<'_>, place: Place, report: &mut Report) {
    let words = WORDS.iter().filter(|(known, _)| *known == place);
    let words: Vec<&str> = words.flat_map(|(_, words)| words.iter().copied()).collect();
    for (word, field) in spot.fields() {
        if !words.contains(&word) {
            continue;
        }
        if place == Place::DefaultPolicy && ON_THE_UPSTREAM.contains(&word) {
            let message = format!("`{word}` for all upstreams is not built yet");
            report.error(&spot.key(word), message, "write it on each upstream");
        } else {
            report.error(&spot.key(word), format!("`{word}` is not built yet"), "leave it out");
        }
        report.prune(&field);
    }
}

/// Whether a secret's form is one that is to come.
pub(super) fn secret(word: &str) -> bool {
    SECRETS.contains(&word)
}

/// Whether an upstream's kind is one that is to come.
pub(super) fn kind(word: &str) -> bool {
    KINDS_TO_COME.contains(&word)
}
