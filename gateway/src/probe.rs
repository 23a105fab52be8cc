//! Do the upstreams of a table answer? Connects to each and sends nothing.

use ingress::Table;
use invokers::Tools;

/// What came of connecting to one place.
#[derive(Debug)]
pub(crate) struct Probed {
    pub(crate) upstream: String,
    pub(crate) kind: &'static str,
    /// Where.
    pub(crate) at: String,
    /// How it answered, or why it did not.
    pub(crate) outcome: Result<String, String>,
}

/// Connects to every upstream, one after the other.
pub(crate) async fn all(table: &Table, tools: &Tools) -> Vec<Probed> {
    let mut all = Vec::new();
    for upstream in &table.upstreams {
        for (at, outcome) in invokers::probe::probe(&upstream.target, tools).await {
            all.push(Probed {
                upstream: upstream.name.to_string(),
                kind: upstream.target.kind(),
                at,
                outcome,
            });
        }
    }
    all
}
