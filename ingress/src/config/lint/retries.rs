//! Tries, and the time that there is for them.

use std::time::Duration;

use policy::{On, OnName, Policy};
use schemas::units::Span;

use crate::{
    Action, Route,
    config::spot::{Report, Spot},
};

/// Compares the tries of a route with its time-out, where somebody has chosen one of them (the
/// defaults mean that a second try gets what the first has left), and with what keeps them from
/// multiplying an outage.
pub(super) fn lint(route: &Route, spot: &Spot<'_>, report: &mut Report) {
    let Action::Forward(targets) = &route.action else { return };
    // The outbox tries again by rules of its own.
    if route.stored.is_some() {
        return stored(route, spot, report);
    }
    let policy = &route.policy;
    let retry = &policy.retry;
    if retry.attempts < 2 {
        return;
    }
    if let Some(target) = targets.iter().find(|target| target.guards.budget.is_none()) {
        let message = format!(
            "`{}` tries {} times and `{}` has no retry budget: an outage is asked {} times as often",
            route.name, retry.attempts, target.upstream.name, retry.attempts
        );
        let remedy = "write `retry_budget: 20%` on the upstream, or one attempt";
        report.warn(&spot.field("to"), message, remedy);
    }
    let at = spot.below(written_on(route));
    let repeats_late = retry.on.contains(&On::Named(OnName::Timeout));
    if repeats_late && policy.try_timeout >= policy.timeout {
        let message = format!(
            "`{}` is to try again after a time-out, but one try may take {}, and the whole call has {}",
            route.name,
            Span(policy.try_timeout),
            Span(policy.timeout)
        );
        report.warn(&at, message, remedy(policy));
        return;
    }
    // A route that shortens a wider policy's time-out means that there is less time for its tries.
    let from = |leaf: &str| route.policy_from.get(leaf);
    let attempts_from = from("retry.attempts");
    let together = attempts_from.is_some()
        && from("timeout").is_none_or(|timeout| Some(timeout) == attempts_from);
    // The last try may get less than its share; here it gets nothing.
    let before_last = policy.try_timeout.saturating_mul(retry.attempts - 1);
    if together && before_last >= policy.timeout {
        let message = format!(
            "`{}`: {} tries of up to {} each, and the whole call has {}; a slow function gets fewer",
            route.name,
            retry.attempts,
            Span(policy.try_timeout),
            Span(policy.timeout)
        );
        report.warn(&at, message, remedy(policy));
    }
}

/// Says that nobody waits where retries are for somebody who does.
fn stored(route: &Route, spot: &Spot<'_>, report: &mut Report) {
    let own =
        route.policy_from.iter().any(|(leaf, from)| leaf.starts_with("retry.") && from == "route");
    if own {
        let message =
            format!("`{}` stores its events, and `retry` is for a caller who waits", route.name);
        report.warn(&spot.below("policy.retry"), message, "write `delivery`");
    }
}

/// Where on the route the tries are decided.
fn written_on(route: &Route) -> &'static str {
    match route.policy_from.get("retry.attempts").or(route.policy_from.get("retry.on")) {
        Some(from) if from == "route" => "policy.retry",
        _ => "use",
    }
}

fn remedy(policy: &Policy) -> String {
    let share = policy.timeout / policy.retry.attempts;
    // A round figure: whole seconds, or whole milliseconds below one.
    let millis = u64::try_from(share.as_millis()).unwrap_or(u64::MAX);
    let share =
        Duration::from_millis(if millis >= 1_000 { millis / 1_000 * 1_000 } else { millis });
    format!("write `try_timeout: {}` or less, or a longer `timeout`", Span(share))
}
