//! Policies: each is checked where it is written, and laid one over the other for each route.

use std::collections::BTreeMap;

use policy::{GuardsWritten, Policy, Written};
use schemas::Name;

use super::{Named, Sections, guards, limits, not_built};
use crate::config::{
    de,
    not_built::Place,
    spot::{Report, Spot},
};

/// The most tries that a caller can be made to wait for.
const ATTEMPTS_MAX: u32 = 20;

/// All policies, by name. `default` applies to every route and is always used.
pub(super) type Policies<'a> = Named<'a, Written>;

/// What a route lives by.
pub(super) struct Lived<'a> {
    pub(super) policy: Policy,
    /// Where each leaf of it comes from.
    pub(super) from: BTreeMap<String, String>,
    /// The rate limits, which need to know of the route.
    pub(super) limits: Option<limits::Found<'a>>,
}

/// Reads and checks every policy, and what `default` says of all upstreams.
pub(super) fn read<'a>(
    sections: &Sections<'a>,
    report: &mut Report,
) -> (Policies<'a>, GuardsWritten) {
    let mut of_upstreams = GuardsWritten::default();
    let mut named =
        Named::read("policy", sections.get("policies"), report, |name, spot, report| {
            if name.as_str() == "default" {
                not_built::refuse(spot, Place::DefaultPolicy, report);
                of_upstreams = guards::read(spot, report);
            } else {
                guards::refuse(spot, report);
            }
            refuse_not_built(spot, report);
            let written = de::read(spot, report)?;
            check(&written, spot, report);
            Some(written)
        });
    if let Some(default) = named.all.get_mut("default") {
        default.used = true;
    }
    (named, of_upstreams)
}

/// The policy that a route lives by.
pub(super) fn of_route<'a>(
    spot: &Spot<'a>,
    uses: &[Name],
    own: Option<&Written>,
    policies: &mut Policies<'a>,
    report: &mut Report,
) -> Lived<'a> {
    let mut layers: Vec<(String, Written, Spot<'a>)> = Vec::new();
    if let Some(entry) = policies.all.get("default")
        && let Some(default) = entry.value.clone()
    {
        layers.push(("policies.default".to_owned(), default, entry.spot.clone()));
    }
    for (name, at) in uses.iter().zip(spot.field("use").items(report)) {
        if name.as_str() == "default" {
            let message = "`default` applies to every route by itself";
            report.error(&at, message, "leave it out");
            continue;
        }
        if let Some(Some(policy)) = policies.find(name, &at, report) {
            let policy = policy.clone();
            if let Some(entry) = policies.all.get(name) {
                layers.push((format!("policies.{name}"), policy, entry.spot.clone()));
            }
        }
    }
    if let Some(own) = own {
        layers.push(("route".to_owned(), own.clone(), spot.field("policy")));
    }
    let mut from = BTreeMap::new();
    let mut merged = Written::default();
    let mut limits = None;
    for (name, layer, at) in layers {
        from.extend(layer.leaves().into_iter().map(|leaf| (leaf.to_owned(), name.clone())));
        if let Some(list) = &layer.rate_limit {
            limits = list.is().map(|list| (list.clone(), at.field("rate_limit")));
        }
        merged = layer.over(&merged);
    }
    Lived { policy: merged.decide(), from, limits }
}

/// Refuses what of a policy is not built yet.
pub(super) fn refuse_not_built(spot: &Spot<'_>, report: &mut Report) {
    not_built::refuse(spot, Place::Policy, report);
    let auth = spot.field("auth");
    if auth.node.is_some_and(|node| node.text() != Some("none")) {
        let remedy = "there is `auth: none` with `public: true`";
        report.error(&auth, "this `auth` is not built yet", remedy);
        report.prune(&auth);
        report.prune(&spot.field("public"));
    }
}

/// Checks one policy as it is written. Leaves of several policies are not compared: a route's
/// `timeout: 5s` over a wider `try_timeout: 10s` is how they are meant to be used.
pub(super) fn check(written: &Written, spot: &Spot<'_>, report: &mut Report) {
    let retry = written.retry.clone().unwrap_or_default();
    let backoff = retry.backoff.clone().unwrap_or_default();
    for (path, span) in [
        ("timeout", written.timeout),
        ("try_timeout", written.try_timeout),
        ("idle_timeout", written.idle_timeout),
        ("retry.backoff.base", backoff.base),
        ("retry.backoff.max", backoff.max),
    ] {
        if span.is_some_and(|span| span.0.is_zero()) {
            report.error(&spot.below(path), "is no time at all", "write 1ms or more");
        }
    }
    if let (Some(timeout), Some(try_timeout)) = (written.timeout, written.try_timeout)
        && try_timeout > timeout
    {
        let message = format!("is longer than `timeout`, {timeout}, so it never ends a try");
        report.warn(&spot.field("try_timeout"), message, "write less, or leave it out");
    }
    if let (Some(base), Some(max)) = (backoff.base, backoff.max)
        && base > max
    {
        let message = format!("is longer than `max`, {max}");
        report.error(&spot.below("retry.backoff.base"), message, "write at most that");
    }
    match retry.attempts {
        Some(0) => {
            let message = "counts every try, the first included";
            report.error(&spot.below("retry.attempts"), message, "write 1 to never send again");
        }
        Some(attempts) if attempts > ATTEMPTS_MAX => {
            let remedy = format!("write at most {ATTEMPTS_MAX}");
            report.error(
                &spot.below("retry.attempts"),
                format!("{attempts} tries are too many"),
                remedy,
            );
        }
        _ => {}
    }
    limits::check(written, spot, report);
    check_public(written, spot, report);
}

/// `auth: none` says in two words what a slip must not say in one.
fn check_public(written: &Written, spot: &Spot<'_>, report: &mut Report) {
    let pruned = |key: &str, report: &Report| {
        spot.field(key).node.is_some_and(|node| report.pruned.contains(&node.id))
    };
    if pruned("auth", report) || pruned("public", report) {
        return;
    }
    match (written.auth, written.public) {
        (None, None) | (Some(_), Some(true)) => {}
        (Some(_), _) => {
            let message = "`auth: none` lets anybody call";
            report.error(
                &spot.field("auth"),
                message,
                "write `public: true` beside it if that is meant",
            );
        }
        (None, Some(_)) => {
            let message = "`public` says nothing by itself";
            report.error(
                &spot.field("public"),
                message,
                "write `auth: none, public: true`, or leave it out",
            );
        }
    }
}
