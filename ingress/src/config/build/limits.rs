//! Rate limits: checked where they are written, and given buckets for each route.

use std::{sync::Arc, time::Duration};

use policy::{
    OrNone, RateLimitWritten, Registry, Written,
    limiter::{BURST_MAX, Key, LIMITS_MAX, Limits, RATE_MAX, Settings},
};
use schemas::{Name, Template};

use super::templates::Brings;
use crate::config::spot::{Report, Spot};

const NO_KEY: &str =
    "write `address` or a placeholder such as \"{header.x-tenant}\"; left out, all share one limit";

/// The limits that a route lives by, and where they are written.
pub(super) type Found<'a> = (Vec<RateLimitWritten>, Spot<'a>);

/// Checks the limits of one policy, but for what the keys need of a route.
pub(super) fn check(written: &Written, spot: &Spot<'_>, report: &mut Report) {
    let at = spot.field("rate_limit");
    let Some(list) = written.rate_limit.as_ref().and_then(OrNone::is) else { return };
    if list.is_empty() && at.node.is_some_and(|node| node.children().next().is_none()) {
        let remedy = "write a limit such as { rate: 10/s, key: address }, or `none`";
        report.error(&at, "has no limit", remedy);
    }
    if list.len() > LIMITS_MAX {
        let message = format!("{} limits are too many", list.len());
        report.error(&at, message, format!("write at most {LIMITS_MAX}"));
    }
    let items = at.items(report);
    for (index, (limit, at)) in list.iter().zip(&items).enumerate() {
        let per_second = Duration::from_secs(1).as_secs_f64() * f64::from(limit.rate.count)
            / limit.rate.per.as_secs_f64();
        if limit.rate.count == 0 {
            let remedy = "write 1/h or more; a route that serves nobody is left out";
            report.error(&at.field("rate"), "lets nothing through", remedy);
        } else if per_second > f64::from(RATE_MAX) {
            let remedy = format!("write at most {RATE_MAX}/s");
            report.error(&at.field("rate"), format!("{} is too much", limit.rate), remedy);
        } else if limit.burst.is_none() && limit.rate.count > BURST_MAX {
            let message = "without `burst` as many may come at once as the rate names";
            report.error(at, message, format!("write `burst:`, at most {BURST_MAX}"));
        }
        match limit.burst {
            Some(0) => {
                let message = "lets nothing through";
                report.error(&at.field("burst"), message, "write 1 or more");
            }
            Some(burst) if burst > BURST_MAX => {
                let remedy = format!("write at most {BURST_MAX}");
                report.error(&at.field("burst"), format!("{burst} is too much"), remedy);
            }
            _ => {}
        }
        if let Some(text) = &limit.key
            && text != "address"
        {
            match text.parse::<Template>() {
                Err(error) => report.said(&at.field("key"), error),
                Ok(template) if template.placeholders().next().is_none() => {
                    let message = format!("{text:?} is the same for all requests");
                    report.error(&at.field("key"), message, NO_KEY);
                }
                Ok(_) => {}
            }
        }
        if list.iter().take(index).any(|other| other == limit) {
            report.error(at, "is there twice", "write each limit once");
        }
    }
}

/// The limits of a route with buckets of its own, shared with the tables before and after this one.
pub(super) fn of_route(
    route: &Name,
    found: Option<&Found<'_>>,
    brings: &Brings,
    registry: &Registry,
    report: &mut Report,
) -> Option<Arc<Limits>> {
    let (list, at) = found?;
    let items = at.items(report);
    let mut all = Vec::new();
    for (limit, at) in list.iter().zip(&items) {
        let key = match limit.key.as_deref() {
            None => Key::Everybody,
            Some("address") => Key::Address,
            Some(text) => {
                // What is no template has been spoken of where it is written.
                let Ok(template) = text.parse::<Template>() else { continue };
                let before = report.problems.len();
                if !brings.check(&template, &at.field("key"), report) {
                    // The policy may be good for others: this is the one that it is wrong for.
                    for problem in report.problems.iter_mut().skip(before) {
                        problem.message = format!("route `{route}`: {}", problem.message);
                    }
                    continue;
                }
                Key::Template(template)
            }
        };
        // An absurd value has been spoken of where it is written.
        let burst = limit.burst.unwrap_or(limit.rate.count).clamp(1, BURST_MAX);
        let settings = Settings { rate: limit.rate, burst, key };
        all.push(registry.limiter(route.as_str(), &settings));
    }
    Limits::new(all).map(Arc::new)
}
