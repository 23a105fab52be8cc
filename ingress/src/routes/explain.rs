//! Why a route serves a request, and why the others do not, in words.

use std::{cmp::Ordering, sync::Arc};

use regex::Regex;
use schemars::JsonSchema;
use schemas::Attributes;
use serde::Serialize;

use super::{
    Door, Doors, Host, Refusal, Seen,
    conditions::{self, Miss},
    encoding, host,
    index::Place,
    methods::MethodRank,
    pattern::Step,
    rank::{self, EventTier, HostRank, InDoor, PathRank},
};
use crate::{
    Route,
    table::{Condition, EventMatch, Match, PathMatch, TypeMatch},
};

/// Why a request is served as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explanation {
    /// The route that serves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Why no route does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refused>,
    /// Every route, in the order of the table.
    pub routes: Vec<Reason>,
}

/// Why no route serves a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
#[schemars(rename = "NoRoute")]
pub enum Refused {
    /// No route fits.
    NoRoute,
    /// Routes fit but for the method.
    MethodNotAllowed {
        /// The methods that would do, sorted.
        allow: Vec<String>,
    },
    /// Routes fit the head, but none of them the event.
    NoRouteForEvent,
}

/// What became of one route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reason {
    /// The route's name.
    pub route: String,
    /// Whether it serves the request.
    pub chosen: bool,
    /// Its rank if it does, else the first thing that it lost by.
    pub why: String,
}

/// Says for every route why it serves the request or why not.
pub(super) fn explain(doors: &Doors, seen: &Seen<'_>, event: Option<&Attributes>) -> Explanation {
    let asked = Asked::of(seen);
    let opened = doors.open(seen);
    let chosen = opened.as_ref().ok().and_then(|door| door.choose(event)).map(|it| it.route);
    let why = |route: &Arc<Route>| {
        let lost = asked.misses(&route.matching).or_else(|| {
            let door = opened.as_ref().ok()?;
            asked.behind(route, door).or_else(|| {
                event_misses(route.matching.event.as_ref(), event)
                    .or_else(|| asked.beaten(route, chosen?))
            })
        });
        lost.unwrap_or_else(|| asked.rank(route))
    };
    let reason = |route: &Arc<Route>| Reason {
        route: route.name.to_string(),
        chosen: chosen.is_some_and(|chosen| Arc::ptr_eq(chosen, route)),
        why: why(route),
    };
    let refusal = match (&opened, chosen) {
        (Ok(_), Some(_)) => None,
        (Ok(_), None) => Some(Refused::NoRouteForEvent),
        (Err(Refusal::NoRoute), _) => Some(Refused::NoRoute),
        (Err(Refusal::Method { allow }), _) => Some(Refused::MethodNotAllowed {
            allow: allow.iter().map(|method| method.as_str().to_owned()).collect(),
        }),
    };
    Explanation {
        route: chosen.map(|route| route.name.to_string()),
        refusal,
        routes: doors.routes.iter().map(reason).collect(),
    }
}

/// A request in the forms in which it is compared.
struct Asked<'a> {
    seen: &'a Seen<'a>,
    host: Option<String>,
    path: String,
}

impl<'a> Asked<'a> {
    fn of(seen: &'a Seen<'a>) -> Self {
        Self {
            seen,
            host: seen.host.and_then(host::asked).map(Into::into),
            path: encoding::plain(seen.path).into_owned(),
        }
    }

    /// The first condition on the head that does not hold.
    fn misses(&self, matching: &Match) -> Option<String> {
        let missed = conditions::miss(matching, self.seen);
        if let Some(Miss::Listener) = missed {
            let listeners = words(&matching.listeners, "or");
            return Some(format!("listener {} is not {listeners}", self.seen.listener));
        }
        self.host_misses(&matching.hosts)
            .or_else(|| self.path_misses(&matching.path))
            .or_else(|| self.method_misses(matching))
            .or_else(|| {
                Some(match missed? {
                    Miss::Listener => return None,
                    Miss::Header(name, condition) => format!("header {name} {}", not(condition)),
                    Miss::Query(name, condition) => {
                        format!("query parameter {name} {}", not(condition))
                    }
                })
            })
    }

    fn host_misses(&self, hosts: &[Host]) -> Option<String> {
        if hosts.is_empty() || self.best_host(hosts).is_some() {
            return None;
        }
        let hosts = words(hosts, "or");
        Some(match (&self.host, self.seen.host) {
            (Some(host), _) => format!("host {host} is not {hosts}"),
            (None, Some(host)) => format!("host {host:?} is no host's name, and not {hosts}"),
            (None, None) => format!("the request names no host, and so not {hosts}"),
        })
    }

    /// The best of a route's hosts that fit.
    fn best_host<'h>(&self, hosts: &'h [Host]) -> Option<&'h Host> {
        let asked = self.host.as_deref()?;
        hosts.iter().filter(|host| host.fits(asked)).max_by_key(|host| HostRank::of(Some(host)))
    }

    fn path_misses(&self, path: &PathMatch) -> Option<String> {
        if encoding::has_dot_segment(&self.path) {
            return Some(format!("path {} has a segment . or .., which fits no route", self.path));
        }
        let fits = match path {
            PathMatch::Any => true,
            PathMatch::Regex(regex) => conditions::whole(regex, &self.path),
            PathMatch::Prefix(prefix) => is_below(&self.path, &encoding::plain(prefix)),
            PathMatch::Pattern(pattern) => steps_fit(pattern.steps(), &self.path),
        };
        (!fits).then(|| match path {
            PathMatch::Prefix(prefix) => format!("path {} is not below {prefix}", self.path),
            other => format!("path {} does not fit {}", self.path, path_text(other)),
        })
    }

    fn method_misses(&self, matching: &Match) -> Option<String> {
        let method = self.seen.method;
        MethodRank::of(&matching.methods, method)
            .is_none()
            .then(|| format!("method {method} is not {}", words(&matching.methods, "or")))
    }

    /// Why a route whose head conditions hold is not of the door.
    fn behind(&self, route: &Route, door: &Door<'_>) -> Option<String> {
        let head = door.head();
        let (host, best) =
            (self.best_host(&route.matching.hosts), self.best_host(&head.matching.hosts));
        if HostRank::of(host) < HostRank::of(best) {
            return Some(format!(
                "host: {} is less specific than {}, which `{}` has",
                host_text(host),
                host_text(best),
                head.name
            ));
        }
        let (path, best) = (&route.matching.path, &head.matching.path);
        if Place::of(path) == Place::of(best) {
            return None;
        }
        if PathRank::of(path) == PathRank::of(best) {
            let highest = door.gates.iter().map(|(_, gate)| gate.head().priority).max();
            return Some(format!(
                "path: {} has priority {}, and {} of `{}` has {}",
                path_text(path),
                route.matching.priority,
                path_text(best),
                head.name,
                highest.unwrap_or_default(),
            ));
        }
        Some(format!(
            "path: {} is less specific than {}, which `{}` has",
            path_text(path),
            path_text(best),
            head.name
        ))
    }

    /// Why a route behind the same door comes after the chosen one.
    fn beaten(&self, route: &Arc<Route>, chosen: &Arc<Route>) -> Option<String> {
        if Arc::ptr_eq(route, chosen) {
            return None;
        }
        let (mine, best) = (self.in_door(route)?, self.in_door(chosen)?);
        let name = &chosen.name;
        let by = |order: Ordering, why: String| (order != Ordering::Equal).then_some(why);
        by(
            mine.event.cmp(&best.event),
            format!(
                "event: {} is less specific than {}, which `{name}` has",
                event_text(&route.matching),
                event_text(&chosen.matching),
            ),
        )
        .or_else(|| {
            by(
                mine.method.cmp(&best.method),
                format!(
                    "method: {} is less specific than {}, which `{name}` has",
                    method_text(&route.matching),
                    method_text(&chosen.matching),
                ),
            )
        })
        .or_else(|| {
            by(
                mine.conditions.cmp(&best.conditions),
                format!(
                    "conditions on headers and query: it has {}, and `{name}` has {}",
                    mine.conditions, best.conditions
                ),
            )
        })
        .or_else(|| {
            by(
                mine.priority.cmp(&best.priority),
                format!("priority: {} is lower than {} of `{name}`", mine.priority, best.priority),
            )
        })
        .or_else(|| {
            Some(format!(
                "the request fits both by repeating itself, and `{name}` comes first by name"
            ))
        })
    }

    /// The rank of a route that fits, spelled out.
    fn rank(&self, route: &Route) -> String {
        let matching = &route.matching;
        let mut rank = vec![
            host_text(self.best_host(&matching.hosts)),
            path_text(&matching.path),
            event_text(matching),
            method_text(matching),
        ];
        rank.push(match rank::conditions(matching) {
            0 => "no condition on headers and query".to_owned(),
            1 => "1 condition on headers and query".to_owned(),
            many => format!("{many} conditions on headers and query"),
        });
        rank.push(format!("priority {}", matching.priority));
        format!("serves it by: {}", rank.join(", "))
    }

    fn in_door<'t>(&self, route: &'t Arc<Route>) -> Option<InDoor<'t>> {
        Some(InDoor::of(route, MethodRank::of(&route.matching.methods, self.seen.method)?))
    }
}

/// Why the event, or that there is none, is not what a route asks for.
fn event_misses(condition: Option<&EventMatch>, event: Option<&Attributes>) -> Option<String> {
    if rank::event_fits(condition, event) {
        return None;
    }
    let (condition, Some(event)) = (condition?, event) else {
        return Some("the request is no event".to_owned());
    };
    Some(match &condition.kind {
        Some(TypeMatch::Exact(kind)) if event.kind != *kind => {
            format!("event type {} is not {kind}", event.kind)
        }
        Some(TypeMatch::Prefix(prefix)) if !event.kind.starts_with(prefix) => {
            format!("event type {} does not start with {prefix}", event.kind)
        }
        _ => "the event does not pass the filters".to_owned(),
    })
}

/// Whether a path is the prefix or below it, both in plain form.
fn is_below(path: &str, prefix: &str) -> bool {
    let mut left = path.strip_prefix('/');
    for wanted in encoding::segments(prefix) {
        let Some((segment, after)) = left.map(encoding::segment) else { return false };
        if segment != wanted {
            return false;
        }
        left = after;
    }
    path.starts_with('/')
}

/// Whether a path in plain form fits a pattern.
fn steps_fit(steps: &[Step], path: &str) -> bool {
    let mut left = path.strip_prefix('/');
    for step in steps {
        let Some(path) = left else { return false };
        let (segment, after) = encoding::segment(path);
        left = match step {
            Step::Literal(text) if **text == *segment => after,
            Step::Parameter(super::pattern::Kind::Many) => return !path.is_empty(),
            Step::Parameter(kind) if kind.fits(segment) => after,
            Step::Literal(_) | Step::Parameter(_) => return false,
        };
    }
    left.is_none()
}

/// A path condition in words.
pub(super) fn path_text(path: &PathMatch) -> String {
    match path {
        PathMatch::Any => "any path".to_owned(),
        PathMatch::Pattern(pattern) => format!("path {pattern}"),
        PathMatch::Prefix(prefix) => format!("prefix {prefix}"),
        PathMatch::Regex(regex) => format!("regex {}", as_written(regex)),
    }
}

/// A regular expression without the anchors that the configuration puts around it.
fn as_written(regex: &Regex) -> &str {
    let inside = regex.as_str().strip_prefix(r"\A(?:").and_then(|text| text.strip_suffix(r")\z"));
    inside.unwrap_or(regex.as_str())
}

fn host_text(host: Option<&Host>) -> String {
    host.map_or_else(|| "any host".to_owned(), |host| format!("host {host}"))
}

fn method_text(matching: &Match) -> String {
    if matching.methods.is_empty() {
        "any method".to_owned()
    } else {
        format!("method {}", words(&matching.methods, "or"))
    }
}

fn event_text(matching: &Match) -> String {
    let event = matching.event.as_ref();
    let filtered = if rank::EventRank::of(event).filtered { " with filters" } else { "" };
    match event.map(|event| (&event.kind, rank::EventRank::of(Some(event)).tier)) {
        None | Some((None, EventTier::Plain)) => "no condition on the event".to_owned(),
        Some((None, _)) => format!("any event{filtered}"),
        Some((Some(TypeMatch::Exact(kind)), _)) => format!("event type {kind}{filtered}"),
        Some((Some(TypeMatch::Prefix(prefix)), _)) => format!("event type {prefix}*{filtered}"),
    }
}

fn not(condition: &Condition) -> String {
    match condition {
        Condition::Present => "is missing".to_owned(),
        Condition::Absent => "is there, and must not be".to_owned(),
        Condition::Exact(text) => format!("is not {text:?}"),
        Condition::Prefix(text) => format!("does not start with {text:?}"),
        Condition::Regex(regex) => format!("does not fit the regex {}", as_written(regex)),
    }
}

fn words(items: &[impl ToString], last: &str) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    match items.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((end, before)) => format!("{} {last} {end}", before.join(", ")),
    }
}
