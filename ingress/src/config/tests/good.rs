//! What good files become.

use std::fmt::Write as _;

use schemas::{Ack, Format};

use super::{Offer, file, lines, load, parse};
use crate::{
    Action, Route, Table,
    table::{Condition, HeaderRules, PathMatch, TypeMatch},
};

/// Compares a text with a golden file beside this one; with `BLESS=1` it is written anew.
fn golden(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name} differs; BLESS=1 writes it anew");
}

#[test]
fn a_whole_file_becomes_the_table_that_it_describes() {
    let loaded = load(include_str!("complete.yaml")).map_err(|problems| lines(&problems)).unwrap();
    assert_eq!(lines(&loaded.warnings), [""; 0]);
    golden("complete.txt", &show(&loaded.table));
}

#[test]
fn a_file_needs_no_more_than_its_version() {
    let table = load("version: 1\n").unwrap().table;
    assert_eq!(table.listeners[0].address.to_string(), "127.0.0.1:8080");
    assert_eq!(table.listeners[0].name.as_str(), "default");
    assert_eq!(table.admin.address.to_string(), "127.0.0.1:8081");
    assert_eq!(table.events_path, "/events");
    assert!(table.routes.is_empty() && table.upstreams.is_empty());
}

#[test]
fn what_is_left_out_is_decided_by_the_kind() {
    let table = load(
        "version: 1
upstreams:
  web: { kind: http, url: http://127.0.0.1:9000 }
  bus: { kind: nats, url: nats://127.0.0.1:4222 }
routes:
  - { name: both, match: { prefix: /a }, to: [{ to: web, strip_prefix: true }, bus/a] }
",
    )
    .unwrap()
    .table;
    let Action::Forward(targets) = &table.routes[0].action else { panic!("it forwards") };
    assert_eq!((targets[0].ack, targets[0].format), (Ack::Replied, Format::Auto));
    assert_eq!((targets[1].ack, targets[1].format), (Ack::Published, Format::Binary));
    assert!(targets[0].rewrite.is_some() && targets[1].rewrite.is_none());
}

#[test]
fn several_files_are_one_configuration() {
    let common = file(
        "a/common.yaml",
        "version: 1\nupstreams: { web: { kind: http, url: http://127.0.0.1:9000 } }\nlisten: [{ name: a, address: 127.0.0.1:0 }]\n",
    );
    let shop = file(
        "a/shop.yaml",
        "version: 1\nroutes: [{ name: shop, match: { prefix: /shop }, to: web, use: [slow] }]\nlisten: [{ name: b, address: 127.0.0.1:0 }]\n",
    );
    let more = file(
        "a/more.yaml",
        "routes: [{ name: more, match: { prefix: /more }, to: web }]\npolicies: { slow: { timeout: 1m } }\n",
    );
    let nothing = file("a/nothing.yaml", "# not yet\n");
    let files = [common, shop, more, nothing];
    let table =
        parse(&files, &Offer::default()).map_err(|problems| lines(&problems)).unwrap().table;
    assert_eq!(table.listeners.len(), 2);
    let routes: Vec<_> = table.routes.iter().map(|route| (&*route.label, &*route.place)).collect();
    assert_eq!(routes, [("shop", "a/shop.yaml:2:10"), ("more", "a/more.yaml:1:10")]);
    assert_eq!(table.routes[1].index, 1);
    let other = parse(&files[..1], &Offer::default()).unwrap().table;
    assert_ne!(table.version, other.version);
}

#[test]
fn what_two_files_say_differently_names_both_places() {
    let files = [
        file(
            "a.yaml",
            "version: 1\nadmin: 127.0.0.1:1\nupstreams:\n  web: { kind: http, url: http://127.0.0.1:9000 }\nroutes:\n  - { name: r, match: { path: /a }, to: web }\n",
        ),
        file(
            "b.yaml",
            "version: 2\nadmin: 127.0.0.1:2\nupstreams:\n  web: { kind: http, url: http://127.0.0.1:9000 }\nroutes:\n  - { name: r, match: { path: /b }, to: web }\n",
        ),
    ];
    let problems = parse(&files, &Offer::default()).unwrap_err();
    assert_eq!(
        lines(&problems),
        [
            "b.yaml:1:10: version: version \"2\" of the dialect is not known here; write `version: 1`",
            "b.yaml:2:8: admin: `admin` is written twice, first at a.yaml:2:8; write it once",
            "b.yaml:4:3: upstreams.web: the upstream `web` is written twice, first at a.yaml:4:3; write it once",
            "b.yaml:6:13: routes[0].name: the route `r` is written twice, first at a.yaml:6:13; write it once",
        ]
    );
}

#[test]
fn a_file_that_is_no_yaml_is_said_alone() {
    let files = [
        file("a.yaml", "version: 1\nroutes: [{ name: a, to: web }]\n"),
        file("b.yaml", "upstreams: {\n"),
        file("c.yaml", "policies: [\n"),
    ];
    let problems = parse(&files, &Offer::default()).unwrap_err();
    assert_eq!(
        lines(&problems),
        [
            "b.yaml:2:1: while parsing a node, did not find expected node content",
            "c.yaml:2:1: while parsing a node, did not find expected node content",
        ]
    );
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let loaded = load(
        "version: 1
upstreams:
  web: { kind: http, url: http://127.0.0.1:9000 }
  spare: { kind: http, url: http://127.0.0.1:9001 }
routes:
  - { name: a, match: { path: /a }, to: web, policy: { timeout: 1s, try_timeout: 2s } }
policies:
  slow: { timeout: 5s }
",
    )
    .unwrap();
    assert_eq!(
        lines(&loaded.warnings),
        [
            "gateway.yaml:4:3: upstreams.spare: no route uses the upstream `spare`",
            "gateway.yaml:6:82: routes[0].policy.try_timeout: is longer than `timeout`, 1s, so it never ends a try; write less, or leave it out",
            "gateway.yaml:8:3: policies.slow: no route uses the policy `slow`",
        ]
    );
}

#[test]
fn the_digest_of_an_upstream_changes_with_what_is_written_and_with_nothing_else() {
    let digest = |text: &str| load(text).unwrap().table.upstreams[0].digest;
    let one =
        digest("version: 1\nupstreams: { web: { kind: http, url: http://127.0.0.1:9000 } }\n");
    let same = digest(
        "version: 1\nadmin: 127.0.0.1:0\nupstreams:\n  web:\n    url: \"http://127.0.0.1:9000\"\n    kind: http\n",
    );
    let other =
        digest("version: 1\nupstreams: { web: { kind: http, url: http://127.0.0.1:9001 } }\n");
    assert_eq!(one, same);
    assert_ne!(one, other);
}

#[test]
fn a_problem_is_json_with_a_field_for_each_of_its_parts() {
    let problems = load("version: 1\nlisen: 0.0.0.0:8080\n").unwrap_err();
    let json = serde_json::to_value(&problems[0]).unwrap();
    assert_eq!((&json["line"], &json["column"]), (&2.into(), &1.into()));
    assert_eq!(json["message"], "unknown field `lisen`");
}

/// A table in the words of its file.
fn show(table: &Table) -> String {
    let mut out = String::new();
    for listener in &table.listeners {
        writeln!(out, "listen {} {}", listener.name, listener.address).unwrap();
    }
    writeln!(out, "admin {}\nevents_path {}", table.admin.address, table.events_path).unwrap();
    for upstream in &table.upstreams {
        let kind = upstream.target.kind();
        writeln!(out, "upstream {} {} {kind} {}", upstream.index, upstream.name, upstream.written)
            .unwrap();
    }
    for route in &table.routes {
        show_route(route, &mut out);
    }
    out
}

fn show_route(route: &Route, out: &mut String) {
    writeln!(out, "\nroute {} {} at {}", route.index, route.name, route.place).unwrap();
    let matching = &route.matching;
    let path = match &matching.path {
        PathMatch::Any => "any path".to_owned(),
        PathMatch::Pattern(pattern) => format!("pattern {pattern}"),
        PathMatch::Prefix(prefix) => format!("prefix {prefix}"),
        PathMatch::Regex(regex) => format!("regex {regex}"),
    };
    let hosts: Vec<String> = matching.hosts.iter().map(ToString::to_string).collect();
    let listeners: Vec<&str> = matching.listeners.iter().map(|name| name.as_str()).collect();
    writeln!(
        out,
        "  match {path}, hosts {hosts:?}, listeners {listeners:?}, methods {:?}, priority {}",
        matching.methods, matching.priority
    )
    .unwrap();
    for (name, condition) in &matching.headers {
        writeln!(out, "  header {name} {}", show_condition(condition)).unwrap();
    }
    for (name, condition) in &matching.query {
        writeln!(out, "  query {name} {}", show_condition(condition)).unwrap();
    }
    if let Some(event) = &matching.event {
        let kind = match &event.kind {
            None => "of any type".to_owned(),
            Some(TypeMatch::Exact(kind)) => format!("of type {kind}"),
            Some(TypeMatch::Prefix(prefix)) => format!("of types that begin with {prefix}"),
        };
        writeln!(out, "  event {kind}, {} filters", event.filters.len()).unwrap();
    }
    match &route.action {
        Action::Forward(targets) => {
            for target in targets {
                writeln!(
                    out,
                    "  to {} ({}), weight {}, {:?} -> {:?}, ack {}, fixed {:?}, timeout {:?}{}",
                    target.label,
                    target.upstream.name,
                    target.weight,
                    target.format,
                    target.reply_format,
                    target.ack.name(),
                    target.fixed,
                    target.timeout,
                    if target.preserve_host { ", host as it came" } else { "" },
                )
                .unwrap();
                if let Some(rewrite) = &target.rewrite {
                    writeln!(
                        out,
                        "    rewrite {}, keep query {}",
                        rewrite.path, rewrite.keep_query
                    )
                    .unwrap();
                }
                show_headers(&target.headers, out);
            }
        }
        Action::Respond { status, headers, body } => {
            writeln!(out, "  respond {status} {headers:?} {body:?}").unwrap();
        }
        Action::Redirect { to, status } => writeln!(out, "  redirect {to} {status}").unwrap(),
    }
    show_headers(&route.headers, out);
    for (name, value) in &route.set_event {
        writeln!(out, "  set_event {name} {value}").unwrap();
    }
    if !route.forward_headers.is_empty() {
        writeln!(out, "  forward_headers {:?}", route.forward_headers).unwrap();
    }
    if let Some(webhook) = &route.webhook {
        writeln!(out, "  {webhook:?}").unwrap();
    }
    writeln!(out, "  {:?}", route.policy).unwrap();
    let near = route.policy_from.iter().filter(|(_, from)| *from != "policies.default");
    for (leaf, from) in near {
        writeln!(out, "    {leaf} from {from}").unwrap();
    }
}

fn show_condition(condition: &Condition) -> String {
    match condition {
        Condition::Present => "is there".to_owned(),
        Condition::Absent => "is not there".to_owned(),
        Condition::Exact(text) => format!("is {text}"),
        Condition::Prefix(text) => format!("begins with {text}"),
        Condition::Regex(regex) => format!("fits {regex}"),
    }
}

fn show_headers(rules: &HeaderRules, out: &mut String) {
    for (way, changes) in [("request", &rules.request), ("response", &rules.response)] {
        for name in &changes.remove {
            writeln!(out, "    {way}: remove {name}").unwrap();
        }
        for (name, value) in &changes.set {
            writeln!(out, "    {way}: set {name}: {value}").unwrap();
        }
        for (name, value) in &changes.add {
            writeln!(out, "    {way}: add {name}: {value}").unwrap();
        }
    }
}
