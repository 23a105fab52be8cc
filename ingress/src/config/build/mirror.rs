//! Who gets a copy of a route's requests.

use invokers::Target;
use policy::Policy;

use super::{routes::Around, targets::Common};
use crate::{
    config::{
        shape::TextOr,
        spot::{Report, Spot},
        written::{self, TargetForm},
    },
    table::{Match, Mirror},
};

/// The mirror of a route. `None` if it has none, or if something is wrong.
pub(super) fn of_route(
    common: &Common<'_, '_>,
    policy: &Policy,
    stored: bool,
    around: &mut Around<'_, '_>,
    report: &mut Report,
) -> Option<Box<Mirror>> {
    let written = common.route.mirror.as_ref()?;
    let spot = common.spot.field("mirror");
    let route = common.route;
    if route.to.is_none() && route.to_all.is_none() {
        // That there is nothing to mirror has been said with the action.
        return None;
    }
    if stored || common.matching.source.is_some() {
        let message = "events that are stored are given to several targets by `to_all`";
        report.error(&common.spot.key("mirror"), message, "write `to_all`, or leave it out");
        return None;
    }
    let share = share(written.percent.unwrap_or(100.0), &spot, report);
    let target = target(common, written, &spot, around, report)?;
    let kind = &target.upstream.target;
    if kind.runs_code() && written.allow_side_effects != Some(true) {
        let message = format!("kind {} runs a function, which would run twice", kind.kind());
        let remedy = "write `allow_side_effects: true` if it may";
        report.error(&spot.field("to"), message, remedy);
    }
    Some(Box::new(Mirror::new(target, share?, policy)))
}

fn share(percent: f64, spot: &Spot<'_>, report: &mut Report) -> Option<u32> {
    let share = percent * f64::from(Mirror::WHOLE) / 100.0;
    // What cannot be counted in hundredths of a percent is close enough to them.
    let whole = (1..=Mirror::WHOLE).find(|whole| (f64::from(*whole) - share).abs() <= 0.5);
    if whole.is_none() {
        let message = format!("{percent} is no share of a hundred");
        report.error(&spot.field("percent"), message, "write 0.01 to 100");
    }
    whole
}

/// The target, as it would be if it stood in a route of its own: what the route says of its answer
/// is not said of this one's.
fn target(
    common: &Common<'_, '_>,
    written: &written::Mirror,
    spot: &Spot<'_>,
    around: &mut Around<'_, '_>,
    report: &mut Report,
) -> Option<crate::Destination> {
    let found = match &written.to {
        TextOr::Text(address) => super::targets::short(address, &spot.field("to"), around, report),
        TextOr::Form(long) => super::targets::whole(long, &spot.field("to"), around, report),
    }?;
    let kind = &found.upstream.as_ref()?.target;
    let paths = !kind.takes_events(found.address.function.front());
    let hosts = matches!(kind, Target::Http(_));
    let route = written::Route {
        ack: None,
        wait: None,
        to_all: None,
        format: None,
        reply_format: None,
        // What has no path has none to rewrite, and what is no service is not found by a host.
        rewrite: common.route.rewrite.clone().filter(|_| paths),
        strip_prefix: common.route.strip_prefix.filter(|_| paths),
        preserve_host: common.route.preserve_host.filter(|_| hosts),
        ..common.route.clone()
    };
    let form = TargetForm {
        to: Some(written.to.clone()),
        format: written.format,
        ..TargetForm::default()
    };
    let matching: &Match = common.matching;
    let alone = Common { route: &route, matching, ..*common };
    alone.target(&TextOr::Form(Box::new(form)), spot, around, report)
}
