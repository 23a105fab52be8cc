//! Routes: which requests, and what becomes of them.

use std::sync::Arc;

use schemas::{Format, Template, cloudevents::webhook::Allowed};

use super::{
    Sections, answers, guards, headers, limits, matching, mirror, not_built, policies,
    policies::Policies, sources::Sources, stored, targets::Common, templates::Brings, twice,
    upstreams::Upstreams,
};
use crate::{
    Action, Listener, Route,
    config::{
        de,
        node::Kind,
        spot::{Report, Spot},
        written,
    },
    table::HeaderRules,
};

/// What the routes stand among.
pub(super) struct Around<'a, 'b> {
    pub(super) listeners: &'a [(Listener, Option<Spot<'b>>)],
    pub(super) events_path: Option<&'a str>,
    pub(super) upstreams: &'a mut Upstreams<'b>,
    pub(super) sources: &'a mut Sources<'b>,
    pub(super) policies: &'a mut Policies<'b>,
    pub(super) registry: &'a policy::Registry,
}

/// Reads the routes of all files, each with its spot; `None` for one that is wrong.
pub(super) fn read<'b>(
    sections: &Sections<'b>,
    around: &mut Around<'_, 'b>,
    report: &mut Report,
) -> Vec<(Option<Arc<Route>>, Spot<'b>)> {
    let mut all: Vec<(Option<Arc<Route>>, Spot<'b>)> = Vec::new();
    let mut names: Vec<(schemas::Name, Spot<'b>)> = Vec::new();
    for section in sections.get("routes").into_iter().flatten() {
        if !matches!(section.node.map(|node| &node.kind), Some(Kind::List(_))) {
            report.error(section, "is no list", "write `- name: …` for each route");
            continue;
        }
        for spot in section.items(report) {
            let before = report.problems.len();
            let index = all.len();
            let route = one(index, &spot, around, report);
            if let Some((name, _)) = &route {
                let at = spot.field("name");
                match names.iter().find(|(known, _)| known == name) {
                    Some((_, first)) => twice(&at, first, &format!("the route `{name}`"), report),
                    None => names.push((name.clone(), at)),
                }
            }
            let whole = before == report.problems.len();
            let route = route.and_then(|(_, route)| route).filter(|_| whole);
            all.push((route.map(Arc::new), spot));
        }
    }
    all
}

/// Reads one route: its name, and all of it if nothing is wrong.
fn one<'b>(
    index: usize,
    spot: &Spot<'b>,
    around: &mut Around<'_, 'b>,
    report: &mut Report,
) -> Option<(schemas::Name, Option<Route>)> {
    not_built::refuse(spot, not_built::Place::Route, report);
    for field in ["to", "to_all"] {
        for target in spot.field(field).items(report) {
            not_built::refuse(&target, not_built::Place::Target, report);
        }
    }
    policies::refuse_not_built(&spot.field("policy"), report);
    guards::refuse(&spot.field("policy"), report);
    slips(spot, report);
    let written: written::Route = de::read(spot, report)?;
    let name = written.name.clone();
    let matching = written.matching.clone().unwrap_or_default();
    let (matching, brings) = matching::read(&matching, &spot.field("match"), around, report);
    if let Some(own) = &written.policy {
        policies::check(own, &spot.field("policy"), report);
    }
    let lived = policies::of_route(
        spot,
        written.uses.as_deref().unwrap_or_default(),
        written.policy.as_ref(),
        around.policies,
        report,
    );
    let common = Common {
        route: &written,
        spot,
        brings: &brings,
        matching: &matching,
        timeout: lived.policy.timeout,
    };
    let action = action(&common, around, report);
    let stored = stored::of_route(&common, action.as_ref(), &lived.policy, around, report);
    let mirror = mirror::of_route(&common, &lived.policy, stored.is_some(), around, report);
    let brings = Brings { event: brings.event || gets_events(action.as_ref()), ..brings };
    let headers = written.headers.as_ref().map_or_else(HeaderRules::default, |written| {
        headers::rules(written, &spot.field("headers"), &brings, report)
    });
    let limits = limits::of_route(&name, lived.limits.as_ref(), &brings, around.registry, report);
    let set_event = set_event(&written, spot, &brings, action.as_ref(), report);
    let forward_headers = forward_headers(&written, spot, action.as_ref(), report);
    let webhook = webhook(&written, spot, report);
    let route = action.map(|action| Route {
        label: name.as_str().into(),
        name: name.clone(),
        index,
        matching,
        policy: lived.policy,
        policy_from: lived.from,
        limits,
        action,
        headers,
        set_event,
        forward_headers,
        webhook,
        stored,
        mirror,
        place: spot.place(),
    });
    Some((name, route))
}

/// Says of fields that are often written in another form, or elsewhere, how they are written here.
fn slips(spot: &Spot<'_>, report: &mut Report) {
    let mut slip = |spot: &Spot<'_>, field: &str, remedy: String| {
        if spot.has(field) {
            let here = Spot { path: spot.path.clone(), ..spot.key(field) };
            report.error(&here, format!("unknown field `{field}`"), remedy);
            report.prune(&spot.field(field));
        }
    };
    let matching = spot.field("match");
    for (single, list, example) in
        [("method", "methods", "[POST]"), ("host", "hosts", "[shop.example.com]")]
    {
        slip(&matching, single, format!("write a list: `{list}: {example}`"));
    }
    let of_the_policy =
        ["timeout", "try_timeout", "idle_timeout", "retry", "limits", "idempotent", "rate_limit"];
    for field in of_the_policy {
        slip(spot, field, format!("write it into the route's policy: `policy: {{ {field}: … }}`"));
    }
}

/// What a route may do with its requests.
const ACTIONS: [&str; 4] = ["to", "to_all", "respond", "redirect"];
const ONE_ACTION: &str = "write one of to, to_all, respond and redirect";

/// What becomes of a request: exactly one of four.
fn action(
    common: &Common<'_, '_>,
    around: &mut Around<'_, '_>,
    report: &mut Report,
) -> Option<Action> {
    let Common { route, spot, brings, .. } = common;
    let actions: Vec<&str> = ACTIONS.into_iter().filter(|action| spot.has(action)).collect();
    match actions.as_slice() {
        [] => {
            report.error(spot, "does nothing with its requests", ONE_ACTION);
            return None;
        }
        [_] => {}
        [first, second, ..] => {
            let message = format!("`{second}` stands beside `{first}`");
            report.error(&spot.key(second), message, ONE_ACTION);
            return None;
        }
    }
    if common.matching.source.is_some() && !spot.has("to") && !spot.has("to_all") {
        let message = "nobody waits for an answer to an event of a source";
        report.error(
            &spot.key(actions.first().copied().unwrap_or_default()),
            message,
            "write `to`",
        );
        return None;
    }
    if !spot.has("to") && !spot.has("to_all") {
        only_for_targets(spot, actions.first().copied().unwrap_or_default(), report);
    }
    if let Some(written) = &route.respond {
        return answers::respond(written, &spot.field("respond"), report);
    }
    if let Some(written) = &route.redirect {
        return answers::redirect(written, &spot.field("redirect"), brings, report);
    }
    common.targets(around, report).map(Action::Forward)
}

fn only_for_targets(spot: &Spot<'_>, action: &str, report: &mut Report) {
    for field in [
        "rewrite",
        "strip_prefix",
        "preserve_host",
        "headers",
        "format",
        "reply_format",
        "ack",
        "delivery",
        "dead_letter",
        "wait",
        "order_by",
        "mirror",
        "set_event",
        "forward_headers",
        "webhook",
    ] {
        if spot.has(field) {
            let remedy = match (field, action) {
                ("headers", "respond") => "write `respond.headers`",
                _ => "leave it out",
            };
            report.error(
                &spot.key(field),
                format!("`{field}` does nothing beside `{action}`"),
                remedy,
            );
        }
    }
}

/// Whether a plain request becomes an event for every target of the route.
fn gets_events(action: Option<&Action>) -> bool {
    let Some(Action::Forward(targets)) = action else { return false };
    targets.iter().all(|target| matches!(target.format, Format::Binary | Format::Structured))
}

fn set_event(
    written: &written::Route,
    spot: &Spot<'_>,
    brings: &Brings,
    action: Option<&Action>,
    report: &mut Report,
) -> Vec<(String, Template)> {
    let at = spot.field("set_event");
    // An event cannot be made of itself.
    let brings = Brings { event: false, ..brings.clone() };
    if written.set_event.is_some()
        && let Some(Action::Forward(targets)) = action
        && targets.iter().all(|target| {
            !target.takes_events
                && matches!(target.format, Format::Auto | Format::Plain | Format::Message)
        })
    {
        let message = "no target of this route makes an event of a plain request";
        report.error(&spot.key("set_event"), message, "write `format: binary`, or leave it out");
    }
    let mut all = Vec::new();
    for (name, text) in written.set_event.iter().flatten() {
        let good =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !good || matches!(name.as_str(), "specversion" | "data") {
            let message = format!("{name:?} is no attribute that can be set");
            report.error(&at.key(name), message, "write lower-case letters and digits");
            continue;
        }
        let at = at.field(name);
        if text.is_empty() {
            report.error(&at, "an attribute is never empty", "write a value, or leave it out");
            continue;
        }
        if text.contains("{event.") {
            let message = "an event cannot be made of its own attributes";
            report.error(&at, message, "write path parameters, {query.name} or {header.name}");
            continue;
        }
        if let Some(template) = brings.template(text, &at, report) {
            all.push((name.clone(), template));
        }
    }
    all
}

fn forward_headers(
    written: &written::Route,
    spot: &Spot<'_>,
    action: Option<&Action>,
    report: &mut Report,
) -> Vec<http::HeaderName> {
    let at = spot.field("forward_headers");
    if written.forward_headers.is_some()
        && let Some(Action::Forward(targets)) = action
        && !targets.iter().any(|target| target.takes_events)
    {
        let message = "an http target gets all headers anyhow";
        report.error(&spot.key("forward_headers"), message, "leave it out");
    }
    let items = at.items(report);
    let all = written.forward_headers.iter().flatten().zip(items);
    all.filter_map(|(text, at)| headers::name(text, &at, report)).collect()
}

/// Which webhooks may deliver here. They ask for the route that their deliveries, which are POST
/// requests, will take.
fn webhook(written: &written::Route, spot: &Spot<'_>, report: &mut Report) -> Option<Allowed> {
    let allowed = written.webhook.clone()?;
    if allowed.origins.is_empty() {
        let at = spot.field("webhook").field("origins");
        report.error(&at, "is empty, so that no webhook may deliver", "write an origin, or \"*\"");
    }
    let methods = written.matching.as_ref().and_then(|matching| matching.methods.as_ref());
    if methods.is_some_and(|methods| !methods.iter().any(|method| method == "POST")) {
        let message = "webhooks deliver by POST, which this route does not serve";
        report.error(&spot.key("webhook"), message, "write `methods: [POST]`");
    }
    Some(allowed)
}
