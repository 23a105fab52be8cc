//! Which requests a route serves.

use std::collections::BTreeMap;

use http::{HeaderName, Method};
use regex::{Regex, RegexBuilder};
use schemas::Name;

use super::{headers, routes::Around, templates::Brings};
use crate::{
    config::{
        problem::did_you_mean,
        shape::TextOr,
        spot::{Report, Spot},
        written,
    },
    edge,
    routes::Pattern,
    table::{Condition, EventMatch, Match, PathMatch, TypeMatch},
};

/// The most memory that one regular expression may need.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Reads a route's conditions, and what its requests bring to placeholders.
pub(super) fn read(
    written: &written::Match,
    spot: &Spot<'_>,
    around: &mut Around<'_, '_>,
    report: &mut Report,
) -> (Match, Brings) {
    let source = source(written, spot, around, report);
    let (path, brings) = path(written, spot, around, report);
    let matching = Match {
        listeners: listeners(written, spot, around, report),
        hosts: hosts(written, spot, report),
        path,
        methods: methods(written, spot, report),
        headers: header_conditions(written, &spot.field("headers"), report),
        query: query_conditions(written, &spot.field("query"), report),
        event: written.event.as_ref().map(|event| EventMatch {
            kind: event
                .kind
                .as_deref()
                .and_then(|kind| event_type(kind, &spot.field("event").field("type"), report)),
            filters: event.filters.clone().unwrap_or_default(),
        }),
        priority: written.priority.unwrap_or_default(),
        source,
    };
    (matching, brings)
}

/// The source whose events the route takes, which then takes no requests.
fn source(
    written: &written::Match,
    spot: &Spot<'_>,
    around: &mut Around<'_, '_>,
    report: &mut Report,
) -> Option<Name> {
    let name = written.source.as_ref()?;
    for field in ["listeners", "hosts", "path", "prefix", "regex", "methods", "headers", "query"] {
        if spot.has(field) {
            let message =
                format!("`{field}` is of a request, and this route takes events of a source");
            report.error(&spot.key(field), message, "leave it out");
        }
    }
    around.sources.find(name, &spot.field("source"), report)?;
    Some(name.clone())
}

/// Where an event route listens that has no path of its own.
fn at_events_path(written: &written::Match, spot: &Spot<'_>) -> bool {
    written.event.is_some() && !["path", "prefix", "regex"].iter().any(|key| spot.has(key))
}

fn path(
    written: &written::Match,
    spot: &Spot<'_>,
    around: &Around<'_, '_>,
    report: &mut Report,
) -> (PathMatch, Brings) {
    let event = written.event.is_some() || written.source.is_some();
    let mut brings = Brings { event, ..Brings::default() };
    let several: Vec<&str> =
        ["path", "prefix", "regex"].into_iter().filter(|key| spot.has(key)).collect();
    if let [first, second, ..] = several.as_slice() {
        let message = format!("`{second}` stands beside `{first}`");
        report.error(&spot.key(second), message, "write one of path, prefix and regex");
        brings.unsure = true;
        return (PathMatch::Any, brings);
    }
    // What was written and is not here was wrong in itself.
    brings.unsure = !several.is_empty();
    let path = if let Some(text) = &written.path {
        pattern(text, &spot.field("path"), &mut brings, report)
    } else if let Some(text) = &written.prefix {
        brings.rest = true;
        prefix(text, &spot.field("prefix"), report)
    } else if let Some(text) = &written.regex {
        let regex = regex(text, &spot.field("regex"), report);
        regex.map(|regex| PathMatch::Regex(Box::new(regex)))
    } else if written.source.is_some() {
        Some(PathMatch::Any)
    } else if at_events_path(written, spot) {
        around.events_path.and_then(|path| path.parse().ok()).map(PathMatch::Pattern)
    } else {
        Some(PathMatch::Any)
    };
    match path {
        Some(path) => {
            brings.unsure &= matches!(path, PathMatch::Any);
            (path, brings)
        }
        None => (PathMatch::Any, Brings { unsure: true, ..brings }),
    }
}

fn pattern(
    text: &str,
    spot: &Spot<'_>,
    brings: &mut Brings,
    report: &mut Report,
) -> Option<PathMatch> {
    let pattern: Pattern = text.parse().map_err(|error: String| report.said(spot, error)).ok()?;
    if let Some(why) = edge::fits_no_request(text) {
        report.error(spot, why, "write the path as it is after normalisation");
        return None;
    }
    for (name, many) in pattern.parameters() {
        brings.parameters.push(name.to_owned());
        brings.rest |= many;
    }
    Some(PathMatch::Pattern(pattern))
}

fn prefix(text: &str, spot: &Spot<'_>, report: &mut Report) -> Option<PathMatch> {
    let complaint: Option<(&str, String)> = if !text.starts_with('/') {
        Some(("does not begin with /", format!("write /{text}")))
    } else if text.contains(['{', '}', '*']) {
        Some(("a prefix has no parameters", "write `path` with {name*} at its end".to_owned()))
    } else if text.contains(['?', '#']) || !text.bytes().all(|b| b.is_ascii_graphic()) {
        Some(("has a character that no path has", "percent-encode it".to_owned()))
    } else if text.len() > 1 && text.ends_with('/') {
        let short = text.trim_end_matches('/');
        let short = if short.is_empty() { "/" } else { short };
        Some(("ends in /", format!("write {short}: it serves {short} and all that is below it")))
    } else {
        let why = edge::fits_no_request(text);
        why.map(|why| (why, "write the path as it is after normalisation".to_owned()))
    };
    match complaint {
        Some((message, remedy)) => {
            report.error(spot, message, remedy);
            None
        }
        None => Some(PathMatch::Prefix(text.to_owned())),
    }
}

/// A regular expression that the whole of a text must fit.
fn regex(text: &str, spot: &Spot<'_>, report: &mut Report) -> Option<Regex> {
    let plain = RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build();
    let whole =
        |_| RegexBuilder::new(&format!(r"\A(?:{text})\z")).size_limit(REGEX_BYTES_MAX).build();
    match plain.and_then(whole) {
        Ok(regex) => Some(regex),
        Err(regex::Error::CompiledTooBig(_)) => {
            report.error(spot, "is too large a regular expression", "write a smaller one");
            None
        }
        Err(error) => {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
            report.error(spot, format!("is no regular expression: {why}"), "");
            None
        }
    }
}

fn listeners(
    written: &written::Match,
    spot: &Spot<'_>,
    around: &Around<'_, '_>,
    report: &mut Report,
) -> Vec<Name> {
    let Some(listeners) = &written.listeners else { return Vec::new() };
    let items = spot.field("listeners").items(report);
    for (name, at) in listeners.as_slice().iter().zip(items) {
        if !around.listeners.iter().any(|(listener, _)| listener.name == *name) {
            let known = around.listeners.iter().map(|(listener, _)| listener.name.as_str());
            let remedy = did_you_mean(name, "listeners", known);
            report.error(&at, format!("there is no listener `{name}`"), remedy);
        }
    }
    listeners.as_slice().to_vec()
}

fn hosts(
    written: &written::Match,
    spot: &Spot<'_>,
    report: &mut Report,
) -> Vec<crate::routes::Host> {
    let items = spot.field("hosts").items(report);
    let hosts = written.hosts.iter().flatten().zip(items);
    hosts
        .filter_map(|(text, at)| text.parse().map_err(|error: String| report.said(&at, error)).ok())
        .collect()
}

fn methods(written: &written::Match, spot: &Spot<'_>, report: &mut Report) -> Vec<Method> {
    let mut methods: Vec<Method> = Vec::new();
    let items = spot.field("methods").items(report);
    for (text, at) in written.methods.iter().flatten().zip(items) {
        match Method::from_bytes(text.as_bytes()) {
            Ok(_) if text.chars().any(|c| c.is_ascii_lowercase()) => {
                let remedy = format!("write {}", text.to_ascii_uppercase());
                report.error(&at, format!("{text:?} is not a method: case counts"), remedy);
            }
            Ok(method) if methods.contains(&method) => {
                report.error(&at, format!("{method} is written twice"), "write it once");
            }
            Ok(method) => methods.push(method),
            Err(_) => {
                report.error(&at, format!("{text:?} is not a method"), "write one such as GET");
            }
        }
    }
    if at_events_path(written, spot) {
        if methods.iter().any(|method| method != Method::POST) {
            let message = "event routes at `events_path` take POST only";
            let remedy = "leave `methods` out, or give the route a `path`";
            report.error(&spot.field("methods"), message, remedy);
        }
        methods = vec![Method::POST];
    }
    methods
}

fn header_conditions(
    written: &written::Match,
    spot: &Spot<'_>,
    report: &mut Report,
) -> Vec<(HeaderName, Condition)> {
    conditions(&written.headers, spot, report)
        .into_iter()
        .filter_map(|(name, condition)| {
            let key = spot.key(&name);
            if name.eq_ignore_ascii_case("host") {
                report.error(&key, "`host` is matched by `match.hosts`", "write it there");
                return None;
            }
            Some((headers::known(&name, &key, report)?, condition))
        })
        .collect()
}

fn query_conditions(
    written: &written::Match,
    spot: &Spot<'_>,
    report: &mut Report,
) -> Vec<(String, Condition)> {
    conditions(&written.query, spot, report)
}

fn conditions(
    written: &Option<BTreeMap<String, TextOr<String, written::Condition>>>,
    spot: &Spot<'_>,
    report: &mut Report,
) -> Vec<(String, Condition)> {
    let all = written.iter().flatten();
    all.filter_map(|(name, written)| {
        let condition = match written {
            TextOr::Text(text) => Condition::Exact(text.clone()),
            TextOr::Form(form) => condition(form, &spot.field(name), report)?,
        };
        Some((name.clone(), condition))
    })
    .collect()
}

fn condition(
    written: &written::Condition,
    spot: &Spot<'_>,
    report: &mut Report,
) -> Option<Condition> {
    if spot.fields().len() != 1 {
        let message = "says more or less than one thing";
        report.error(spot, message, "write one of exact, prefix, regex and present");
        return None;
    }
    if let Some(text) = &written.regex {
        let regex = regex(text, &spot.field("regex"), report)?;
        return Some(Condition::Regex(Box::new(regex)));
    }
    match (&written.exact, &written.prefix, written.present) {
        (Some(text), _, _) => Some(Condition::Exact(text.clone())),
        (_, Some(text), _) => Some(Condition::Prefix(text.clone())),
        (_, _, Some(true)) => Some(Condition::Present),
        (_, _, Some(false)) => Some(Condition::Absent),
        (None, None, None) => None,
    }
}

fn event_type(text: &str, spot: &Spot<'_>, report: &mut Report) -> Option<TypeMatch> {
    let (before, star) = match text.strip_suffix('*') {
        Some(before) => (before, true),
        None => (text, false),
    };
    if before.contains('*') {
        report.error(spot, "has a * that is not its last character", "write one *, at the end");
        return None;
    }
    match (before, star) {
        ("", false) => {
            report.error(
                spot,
                "is empty, and no event has an empty type",
                "write a type, or leave it out",
            );
            None
        }
        (before, true) => Some(TypeMatch::Prefix(before.to_owned())),
        (before, false) => Some(TypeMatch::Exact(before.to_owned())),
    }
}
