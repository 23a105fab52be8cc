//! What can be proven of a configuration that is right in every part: routes that nothing reaches,
//! tries that never come, calls that go round in a circle, secrets that anybody can read.

mod circles;
mod retries;
mod secrets;

use std::sync::Arc;

use super::spot::{Report, Spot};
use crate::{Listener, Route, routes::shadows};

/// Looks over the routes that are whole.
pub(super) fn lint(
    routes: &[(Option<Arc<Route>>, Spot<'_>)],
    listeners: &[Listener],
    report: &mut Report,
) {
    let whole: Vec<(&Arc<Route>, &Spot<'_>)> =
        routes.iter().filter_map(|(route, spot)| Some((route.as_ref()?, spot))).collect();
    unreachable(&whole, report);
    for (route, spot) in &whole {
        retries::lint(route, spot, report);
        secrets::lint(spot, report);
        circles::lint(route, spot, listeners, report);
    }
}

fn unreachable(routes: &[(&Arc<Route>, &Spot<'_>)], report: &mut Report) {
    let all: Vec<&Arc<Route>> = routes.iter().map(|(route, _)| *route).collect();
    for shadow in shadows(&all) {
        let (Some((route, spot)), Some((other, place))) =
            (routes.get(shadow.route), routes.get(shadow.by))
        else {
            continue;
        };
        let message = format!(
            "`{}` serves no request: `{}` ({}) takes all that it could",
            route.name,
            other.name,
            place.place()
        );
        let remedy = "narrow the other, or leave this one out";
        report.warn(&spot.field("match"), message, remedy);
    }
}
