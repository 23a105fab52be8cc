//! Do the upstreams of a table answer?

use ingress::Table;
use invokers::{Tools, probe};

/// What came of connecting to one place of an upstream.
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
        let probed = probe::probe(&upstream.target, tools).await;
        all.extend(probed.into_iter().map(|probed| Probed {
            upstream: upstream.name.to_string(),
            kind: upstream.target.kind(),
            at: probed.at,
            outcome: match probed.outcome {
                Ok(()) => Ok("connected".to_owned()),
                // The whole chain: whoever checks wants to know, and no cause holds a secret.
                Err(fault) => Err(fault.chain()),
            },
        }));
    }
    all
}
