//! Do the upstreams of a table answer, and have they what its routes and sources need?

use std::collections::BTreeSet;

use ingress::{Action, Table, Upstream};
use invokers::{Target, Tools, nats, probe};

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
        let answers = probed.iter().any(|one| one.outcome.is_ok());
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
        if let (true, Target::Nats(target)) = (answers, &upstream.target) {
            all.extend(streams(table, upstream, target, tools).await);
        }
    }
    all
}

/// Looks at the streams of an upstream and at the consumers of its sources.
async fn streams(
    table: &Table,
    upstream: &Upstream,
    target: &std::sync::Arc<nats::Target>,
    tools: &Tools,
) -> Vec<Probed> {
    let targets = table.routes.iter().flat_map(|route| match &route.action {
        Action::Forward(targets) => &**targets,
        Action::Respond { .. } | Action::Redirect { .. } => &[],
    });
    let subjects: BTreeSet<String> = targets
        .filter(|target| target.upstream.index == upstream.index)
        .map(|target| match &target.fixed {
            Some(fixed) => fixed.to_string(),
            None => any_of(&target.address.function.to_string()),
        })
        .collect();
    let sources = table.sources.values().filter_map(|source| source.consumes.as_ref());
    let own = sources.filter(|consumes| consumes.upstream.index == upstream.index);
    let wanted: Vec<_> = own.map(|consumes| &consumes.wanted).collect();
    let looked = nats::look(target, tools, &subjects, &wanted).await;
    let probed = looked.into_iter().map(|looked| Probed {
        upstream: upstream.name.to_string(),
        kind: upstream.target.kind(),
        at: looked.at,
        outcome: looked.outcome.map_err(|fault| fault.chain()),
    });
    probed.collect()
}

/// A pattern for the subjects that a subject with placeholders may become.
fn any_of(subject: &str) -> String {
    let before = subject.split('{').next().unwrap_or_default();
    match before.rsplit_once('.') {
        Some((whole, _)) => format!("{whole}.>"),
        None => ">".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::any_of;

    #[test]
    fn a_subject_with_placeholders_is_looked_for_by_what_stands_before_them() {
        for (subject, pattern) in [
            ("orders.{id}", "orders.>"),
            ("a.b.c{id}.d", "a.b.>"),
            ("events.{event.type}", "events.>"),
            ("{topic}", ">"),
        ] {
            assert_eq!(any_of(subject), pattern);
        }
    }
}
