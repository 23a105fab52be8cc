//! Do the upstreams of a table answer, and have they what its routes and sources need?

use std::{collections::BTreeSet, sync::Arc};

use ingress::{Action, Destination, Table, Upstream, config::did_you_mean};
use invokers::{Target, Tools, amqp, consume::Wanted, list, nats, probe};

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
        let functions: BTreeSet<&str> =
            targets(table, upstream).filter_map(|target| target.fixed.as_deref()).collect();
        let probed = probe::probe_functions(&upstream.target, tools, &functions).await;
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
        match &upstream.target {
            Target::Nats(target) if answers => {
                all.extend(streams(table, upstream, target, tools).await);
            }
            Target::Amqp(target) if answers => {
                all.extend(queues(table, upstream, target, tools).await);
            }
            Target::Grpc(_) if answers => all.extend(methods(table, upstream, tools).await),
            _ => {}
        }
    }
    all
}

/// Looks at the streams of an upstream and at the consumers of its sources.
async fn streams(
    table: &Table,
    upstream: &Upstream,
    target: &Arc<nats::Target>,
    tools: &Tools,
) -> Vec<Probed> {
    let subjects: BTreeSet<String> = targets(table, upstream)
        .map(|target| match &target.fixed {
            Some(fixed) => fixed.to_string(),
            None => any_of(&target.address.function.to_string()),
        })
        .collect();
    let looked = nats::look(target, tools, &subjects, &wanted(table, upstream)).await;
    let probed = looked.into_iter().map(|looked| Probed {
        upstream: upstream.name.to_string(),
        kind: upstream.target.kind(),
        at: looked.at,
        outcome: looked.outcome.map_err(|fault| fault.chain()),
    });
    probed.collect()
}

/// Looks at the queues of an upstream's sources.
async fn queues(
    table: &Table,
    upstream: &Upstream,
    target: &Arc<amqp::Target>,
    tools: &Tools,
) -> Vec<Probed> {
    let mut all = Vec::new();
    for one in wanted(table, upstream) {
        let looked = amqp::look(target, tools, one).await;
        let said = |(waiting, consumers)| format!("{waiting} wait, {consumers} consume them");
        all.push(Probed {
            upstream: upstream.name.to_string(),
            kind: upstream.target.kind(),
            at: format!("queue {}", amqp::queue(&one.from).unwrap_or_default()),
            outcome: looked.map(said).map_err(|fault| fault.chain()),
        });
    }
    all
}

/// Looks for the methods that routes name among those that the upstream has.
async fn methods(table: &Table, upstream: &Upstream, tools: &Tools) -> Vec<Probed> {
    let probed = |at: &str, outcome| Probed {
        upstream: upstream.name.to_string(),
        kind: upstream.target.kind(),
        at: at.to_owned(),
        outcome,
    };
    let known = match list::list(&upstream.target, tools).await {
        Ok(known) => known,
        // Native callers need nobody to know them.
        Err(fault) => {
            let said = format!("not known, so only native callers are served: {}", fault.chain());
            return vec![probed("methods", Ok(said))];
        }
    };
    let known: Vec<&str> = known.iter().map(|one| one.function.as_str()).collect();
    let mut all = vec![probed("methods", Ok(format!("{} are known", known.len())))];
    let named: BTreeSet<&str> =
        targets(table, upstream).filter_map(|target| target.fixed.as_deref()).collect();
    for method in named.into_iter().filter(|name| !name.is_empty() && !known.contains(name)) {
        let remedy = did_you_mean(method, "methods", known.iter().copied());
        all.push(probed(method, Err(format!("there is no such method; {remedy}"))));
    }
    all
}

/// Where routes lead to at an upstream.
fn targets<'t>(table: &'t Table, upstream: &Upstream) -> impl Iterator<Item = &'t Destination> {
    let targets = table.routes.iter().flat_map(|route| match &route.action {
        Action::Forward(targets) => &**targets,
        Action::Respond { .. } | Action::Redirect { .. } => &[],
    });
    targets.filter(|target| target.upstream.index == upstream.index)
}

/// What the sources of an upstream consume.
fn wanted<'t>(table: &'t Table, upstream: &Upstream) -> Vec<&'t Wanted> {
    let sources = table.sources.values().filter_map(|source| source.consumes.as_ref());
    let own = sources.filter(|consumes| consumes.upstream.index == upstream.index);
    own.map(|consumes| &consumes.wanted).collect()
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
