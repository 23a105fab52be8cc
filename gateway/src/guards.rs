//! What Prometheus is told of breakers, permits, retry budgets and rate limits.

use std::fmt::Display;

use policy::{Registry, breaker::State};
use tokio::time::Instant;

use crate::metrics::{self, Metric, label};

/// Prints how everything stands that the live table refers to. A state that starts anew, because
/// its settings were changed, starts from 0, as a counter may.
pub(crate) fn metrics(registry: &Registry) -> String {
    let all = registry.snapshot(policy::nanos(Instant::now()));
    let function = |of: &str| label("function", of);
    let upstream = |of: &str| label("upstream", of);
    let limit = |of: &str, rate: &dyn Display, key: Option<&str>| {
        let key = label("key", key.unwrap_or_default());
        format!("{},rate=\"{rate}\",{key}", label("route", of))
    };
    let is_open = |state| u64::from(matches!(state, State::Open | State::ForcedOpen));
    let breakers = |value: &dyn Fn(&policy::breaker::View) -> u64| {
        all.breakers.iter().map(|one| (function(&one.of), value(&one.view))).collect()
    };
    let permits = |value: &dyn Fn(&policy::permits::View) -> u64| {
        all.permits.iter().map(|one| (upstream(&one.of), value(&one.view))).collect()
    };
    let budgets = |value: &dyn Fn(&policy::budget::View) -> u64| {
        all.budgets.iter().map(|one| (upstream(&one.of), value(&one.view))).collect()
    };
    let limits = all
        .limits
        .iter()
        .map(|one| (limit(&one.of, &one.view.rate, one.view.key.as_deref()), one.view.refused));
    let all_of_them = [
        Metric(
            "gusset_breaker_open",
            "gauge",
            "1 while a function's circuit breaker refuses calls.",
            breakers(&|view| is_open(view.state)),
        ),
        Metric(
            "gusset_breaker_opened_total",
            "counter",
            "How often a breaker has opened by itself.",
            breakers(&|view| view.opened),
        ),
        Metric(
            "gusset_breaker_refused_total",
            "counter",
            "Calls that a breaker has refused.",
            breakers(&|view| view.refused),
        ),
        Metric(
            "gusset_permits_in_use",
            "gauge",
            "Calls under way to an upstream whose calls are limited.",
            permits(&|view| u64::from(view.in_use)),
        ),
        Metric(
            "gusset_permits_waiting",
            "gauge",
            "Calls that wait for a permit.",
            permits(&|view| u64::from(view.waiting)),
        ),
        Metric(
            "gusset_permits_refused_total",
            "counter",
            "Calls that found no permit and no room to wait.",
            permits(&|view| view.refused),
        ),
        Metric(
            "gusset_retries_refused_total",
            "counter",
            "Retries that were not made for want of budget.",
            budgets(&|view| view.refused),
        ),
        Metric(
            "gusset_rate_limited_total",
            "counter",
            "Requests over a rate limit.",
            limits.collect(),
        ),
    ];
    metrics::print(all_of_them)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ingress::config::{self, File, Offer};

    use super::*;

    #[test]
    fn what_guards_an_upstream_is_told_by_name() {
        let offer = Offer { registry: Arc::default(), ..Offer::default() };
        let text = "version: 1
upstreams: { web: { kind: http, url: http://127.0.0.1:1, concurrency: 5, breaker: {} } }
routes: [{ name: all, to: web, policy: { rate_limit: [{ rate: 10/s, key: address }] } }]
";
        let file = File { name: "a".into(), text: text.into() };
        let table = config::parse(&[file], &offer).unwrap().table;
        let said = metrics(&table.registry);
        for line in [
            "gusset_breaker_open{function=\"web\"} 0\n",
            "gusset_permits_in_use{upstream=\"web\"} 0\n",
            "gusset_rate_limited_total{route=\"all\",rate=\"10/s\",key=\"address\"} 0\n",
        ] {
            assert!(said.contains(line), "{line} is missing in {said}");
        }
        assert_eq!(metrics(&Registry::default()), "");
    }
}
