//! What is stored before the caller is told: how a route's events are delivered.

use std::sync::Arc;

use outbox::{config::Complaint, delivery::Delivery, worker::Elsewhere};
use policy::Policy;
use schemas::{Ack, Template};

use super::{addresses, routes::Around, targets, targets::Common, templates::Brings};
use crate::{
    Action,
    config::{
        shape::TextOr,
        spot::{Report, Spot},
    },
    table::Stored,
};

/// Fields that are about stored events and nothing else.
const FIELDS: [&str; 4] = ["delivery", "dead_letter", "wait", "order_by"];

/// How a route's events are stored and delivered. `None` if they are not, or if something is wrong.
pub(super) fn of_route(
    common: &Common<'_, '_>,
    action: Option<&Action>,
    policy: &Policy,
    around: &mut Around<'_, '_>,
    report: &mut Report,
) -> Option<Box<Stored>> {
    let Common { route, spot, brings, matching, .. } = common;
    let Some(Action::Forward(targets)) = action else { return None };
    // What a source gives a route was stored already.
    let consumed = matching.source.is_some();
    if let (true, Some(field)) =
        (consumed, ["wait", "order_by"].into_iter().find(|one| spot.has(one)))
    {
        let message = format!("`{field}` does nothing for events of a source");
        report.error(
            &spot.key(field),
            message,
            "write it on the route that publishes, or leave it out",
        );
    }
    if !consumed && !targets.iter().any(|target| target.ack == Ack::Stored) {
        for field in FIELDS.into_iter().filter(|field| spot.has(field)) {
            let message = format!("`{field}` does nothing without `ack: stored`");
            report.error(&spot.key(field), message, "write `ack: stored`, or leave it out");
        }
        if route.to_all.is_some() {
            let message = "`to_all` gives every target the event, and there is one answer";
            report.error(&spot.key("ack"), message, "write `ack: stored`, or leave it out");
        }
        return None;
    }
    let delivery = route.delivery.clone().unwrap_or_default();
    let delivery = Delivery::new(&delivery, route.order_by.is_some());
    let delivery = delivery.unwrap_or_else(|wrong| {
        complain(&spot.field("delivery"), wrong, report);
        Arc::default()
    });
    if let Some(wait) = route.wait {
        let at = spot.field("wait");
        if route.to_all.is_some() {
            let message = "several targets have no one answer that could be waited for";
            report.error(&spot.key("wait"), message, "leave it out, or write `to`");
        } else if wait.0.is_zero() {
            report.error(&at, "is no time at all", "write 1ms or more, or leave it out");
        } else if wait.0 > policy.timeout {
            let most = schemas::units::Span(policy.timeout);
            let message = format!("is longer than the route's timeout, {most}");
            report.error(&at, message, "write at most that, or a longer `policy.timeout`");
        }
    }
    let dead_letter = dead_letter(common, around, report);
    let order_by = route.order_by.as_ref().and_then(|text| {
        // A plain request has no attributes unless every target makes it an event.
        let makes =
            |format| matches!(format, schemas::Format::Binary | schemas::Format::Structured);
        let event = brings.event || targets.iter().all(|target| makes(target.format));
        let brings = Brings { event, ..(*brings).clone() };
        order_by(text, &brings, &spot.field("order_by"), report)
    });
    Some(Box::new(Stored {
        all: route.to_all.is_some(),
        delivery,
        dead_letter,
        wait: route.wait.map(|span| span.0),
        order_by,
        policy: policy.once(),
    }))
}

fn order_by(text: &str, brings: &Brings, at: &Spot<'_>, report: &mut Report) -> Option<Template> {
    let template = brings.template(text, at, report)?;
    if template.literal().is_some() {
        let message = "is the same for every event, so that they are delivered one by one";
        report.error(at, message, "write a placeholder such as \"{event.subject}\"");
        return None;
    }
    Some(template)
}

/// Where copies of dead letters go: to one function, whatever the event says.
fn dead_letter(
    common: &Common<'_, '_>,
    around: &mut Around<'_, '_>,
    report: &mut Report,
) -> Option<Arc<Elsewhere>> {
    let spot = common.spot.field("dead_letter");
    let found = match common.route.dead_letter.as_ref()? {
        TextOr::Text(address) => targets::short(address, &spot, around, report),
        TextOr::Form(long) => targets::whole(long, &spot, around, report),
    }?;
    let upstream = found.upstream?;
    let Some(function) = found.address.function.literal().map(str::to_owned) else {
        let message = "has a placeholder, and all dead letters go to one place";
        report.error(&found.at, message, "write an address without placeholders");
        return None;
    };
    let kind = &upstream.target;
    if !addresses::check(&found.address, kind, common.brings, &found.at, report) {
        return None;
    }
    Some(Arc::new(Elsewhere {
        target: found.address.to_string(),
        ack: kind.acks(&function).first().copied().unwrap_or(Ack::Replied),
        format: kind.default_format(&function),
        function,
    }))
}

/// Says what is wrong with fields below a spot.
pub(super) fn complain(spot: &Spot<'_>, wrong: Vec<Complaint>, report: &mut Report) {
    for (path, message, remedy) in wrong {
        let at = spot.below(path);
        if !at.node.is_some_and(|node| report.pruned.contains(&node.id)) {
            report.error(&at, message, remedy);
        }
    }
}
