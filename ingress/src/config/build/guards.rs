//! What guards an upstream and its functions: read on the upstream and in `policies.default`.

use std::{collections::BTreeMap, time::Duration};

use policy::{Guards, GuardsWritten, OrNone, Registry};
use schemas::{Name, units::Percent};

use crate::{
    config::{
        de,
        node::Kind,
        problem::meant,
        spot::{Report, Spot},
    },
    table::Guarding,
};

const WINDOW_LEAST: Duration = Duration::from_millis(100);
const WINDOW_MOST: Duration = Duration::from_secs(3600);
const MIN_CALLS_MOST: u32 = 100_000;
const PROBES_MOST: u16 = 1_000;

/// Reads and checks what is written of the guards here, and leaves the rest to others.
pub(super) fn read(spot: &Spot<'_>, report: &mut Report) -> GuardsWritten {
    let is_map = matches!(spot.node.map(|node| &node.kind), Some(Kind::Map(_)));
    // Whoever reads the rest does not know these names, and could not say what was meant.
    for (word, field) in spot.fields() {
        let slip = !GuardsWritten::FIELDS.contains(&word);
        if let Some(name) = meant(word, GuardsWritten::FIELDS).filter(|_| slip) {
            let here = Spot { path: spot.path.clone(), ..spot.key(word) };
            let remedy = format!("did you mean `{name}`?");
            report.error(&here, format!("unknown field `{word}`"), remedy);
            report.prune(&field);
        }
    }
    if !is_map || !GuardsWritten::FIELDS.iter().any(|field| spot.has(field)) {
        return GuardsWritten::default();
    }
    let written: GuardsWritten = de::read(spot, report).unwrap_or_default();
    check(&written, spot, report);
    for field in GuardsWritten::FIELDS {
        report.prune(&spot.field(field));
    }
    written
}

/// Says of guards that stand in a policy of routes where they belong.
pub(super) fn refuse(spot: &Spot<'_>, report: &mut Report) {
    for field in GuardsWritten::FIELDS {
        if spot.has(field) {
            let message = format!("`{field}` is the upstream's, whichever route a call comes by");
            let remedy = "write it on the upstream, or in `policies.default` for all of them";
            report.error(&spot.key(field), message, remedy);
            report.prune(&spot.field(field));
        }
    }
}

/// Decides what guards an upstream.
pub(super) fn of_upstream(
    name: &Name,
    own: &GuardsWritten,
    default: &GuardsWritten,
    registry: &Registry,
) -> Guarding {
    let mut from = BTreeMap::new();
    for (leaves, place) in [
        (default.leaves(), "policies.default".to_owned()),
        (own.leaves(), format!("upstreams.{name}")),
    ] {
        from.extend(leaves.into_iter().map(|leaf| (leaf.to_owned(), place.clone())));
    }
    let settings = own.over(default).decide();
    let permits = settings.permits.as_ref();
    let guards = Guards {
        permits: permits.map(|settings| registry.permits(name.as_str(), settings)),
        budget: settings.budget.map(|share| registry.budget(name.as_str(), share)),
        ..Guards::default()
    };
    Guarding { guards, settings, from }
}

fn check(written: &GuardsWritten, spot: &Spot<'_>, report: &mut Report) {
    let concurrency = written.concurrency.as_ref().and_then(OrNone::is);
    if concurrency.is_some_and(|written| written.max == Some(0)) {
        let field = spot.field("concurrency");
        let at = if field.has("max") { field.field("max") } else { field };
        report.error(&at, "lets no call through", "write 1 or more, or `none` for any number");
    }
    if let Some(breaker) = written.breaker.as_ref().and_then(OrNone::is) {
        let at = spot.field("breaker");
        check_share(breaker.failures, &at.field("failures"), "leave out `breaker`", report);
        let outside = |span: &Duration| *span < WINDOW_LEAST || *span > WINDOW_MOST;
        if let Some(window) = breaker.window.filter(|window| outside(&window.0)) {
            let message = format!("{window} is no window to judge by");
            report.error(&at.field("window"), message, "write 100ms to 1h");
        }
        if breaker.open.is_some_and(|open| open.0.is_zero() || open.0 > WINDOW_MOST) {
            let message = "is no time to leave a function alone";
            report.error(&at.field("open"), message, "write 1ms to 1h");
        }
        if breaker.min_calls.is_some_and(|calls| calls == 0 || calls > MIN_CALLS_MOST) {
            let message = "is no number of calls to judge by";
            report.error(&at.field("min_calls"), message, "write 1 to 100000");
        }
        if breaker.probes.is_some_and(|probes| probes == 0 || probes > PROBES_MOST) {
            let message = "is no number of probes: without one it would never close";
            report.error(&at.field("probes"), message, "write 1 to 1000");
        }
    }
    let budget = written.retry_budget.as_ref().and_then(OrNone::is).copied();
    let never = "write `retry: { attempts: 1 }` to never send again";
    check_share(budget, &spot.field("retry_budget"), never, report);
}

fn check_share(share: Option<Percent>, at: &Spot<'_>, nothing: &str, report: &mut Report) {
    match share {
        Some(Percent(0)) => report.error(at, "0% is nothing", nothing),
        Some(share) if share > Percent(100) => {
            report.error(at, format!("{share} is more than all"), "write 1% to 100%");
        }
        _ => {}
    }
}
