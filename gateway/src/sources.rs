//! The sources of brokers in a running gateway: who is told of them, and what Prometheus is.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use ingress::Plane;
use invokers::Tools;
use triggers::{Counts, State, Triggers};

use crate::{
    cli::print,
    metrics::{self, Metric, label},
};

/// Nothing is consumed yet.
pub(crate) fn new(plane: Arc<Plane>, tools: Tools) -> Triggers {
    let tell = |name: &schemas::Name, what: &dyn std::fmt::Display| {
        print::error(&format!("gusset: source `{name}`: {what}"));
    };
    Triggers::new(plane, tools, Arc::new(tell))
}

/// What sources have done, in the Prometheus text format 0.0.4.
pub(crate) fn metrics(triggers: &Triggers) -> String {
    let all = triggers.view();
    if all.is_empty() {
        return String::new();
    }
    let source = |name: &schemas::Name| label("source", name.as_str());
    let up = all.iter().map(|one| {
        let up = matches!(one.state, State::Consuming | State::Waiting);
        (source(&one.name), u64::from(up))
    });
    let counted = |name: &schemas::Name, counts: &Counts| {
        let all = [
            ("stored", counts.stored.load(Relaxed)),
            ("repeated", counts.repeated.load(Relaxed)),
            ("held", counts.held.load(Relaxed)),
            ("lost", counts.lost.load(Relaxed) + counts.dropped.load(Relaxed)),
        ];
        all.map(|(outcome, count)| {
            (format!("{},{}", source(name), label("outcome", outcome)), count)
        })
    };
    metrics::print([
        Metric(
            "gusset_source_up",
            "gauge",
            "1 while a source consumes what its broker has.",
            up.collect(),
        ),
        Metric(
            "gusset_source_events_total",
            "counter",
            "Messages of brokers: stored, stored before, held because they cannot be, or lost.",
            all.iter().flat_map(|one| counted(&one.name, &one.counts)).collect(),
        ),
    ])
}
