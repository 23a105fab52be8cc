//! What a hostile or broken file can do: be refused.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{lines, load};
use crate::config::yaml::FILE_BYTES_MAX;

fn first(text: &str) -> String {
    lines(&load(text).unwrap_err()).swap_remove(0)
}

#[test]
fn a_billion_laughs_are_not_laughed() {
    let mut text = "version: 1\nlol0: &lol0 [ha, ha]\n".to_owned();
    for level in 1..30 {
        let below = level - 1;
        writeln!(text, "lol{level}: &lol{level} [*lol{below}, *lol{below}, *lol{below}]").unwrap();
    }
    let said = first(&text);
    assert!(said.contains("aliases expanded"), "{said}");
}

#[test]
fn an_alias_of_itself_is_refused() {
    let said = first("version: 1\nupstreams: &all { web: *all }\n");
    assert!(said.contains("an alias inside of what it stands for"), "{said}");
}

#[test]
fn an_alias_that_stands_for_something_is_read() {
    let table = load(
        "version: 1
upstreams:
  a: &server { kind: http, url: http://127.0.0.1:9000 }
  b: *server
",
    )
    .unwrap()
    .table;
    assert_eq!(table.upstreams[0].written, table.upstreams[1].written);
}

#[test]
fn what_is_too_deep_or_too_large_is_refused() {
    for (open, close) in [("[", "]"), ("{ a: ", "}"), ("- ", "")] {
        let deep =
            format!("version: 1\nroutes:\n  {}a{}\n", open.repeat(5_000), close.repeat(5_000));
        let said = first(&deep);
        assert!(said.contains("nests deeper") || said.contains("recursion"), "{said}");
    }
    let said = first(&format!("version: 1\n# {}\n", "x".repeat(FILE_BYTES_MAX)));
    assert!(said.contains("larger than 4 MiB"), "{said}");
}

#[test]
fn many_mistakes_in_one_element_come_to_an_end() {
    let mut text = "version: 1\nroutes:\n  - name: a\n    respond: {}\n".to_owned();
    for index in 0..2_000 {
        writeln!(text, "    wrong{index}: 1").unwrap();
    }
    let problems = load(&text).unwrap_err();
    assert!((50..200).contains(&problems.len()), "{}", problems.len());
}

#[test]
fn ten_thousand_routes_load_within_seconds() {
    let mut text =
        "version: 1\nupstreams: { web: { kind: http, url: http://127.0.0.1:9000 } }\nroutes:\n"
            .to_owned();
    for index in 0..10_000 {
        writeln!(
            text,
            "  - {{ name: r{index}, match: {{ path: /r/{index}, methods: [GET] }}, to: web }}"
        )
        .unwrap();
    }
    let begin = std::time::Instant::now();
    assert_eq!(load(&text).unwrap().table.routes.len(), 10_000);
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
}

/// Words that mean something somewhere, so that random trees reach deep into the checks.
const WORDS: &[&str] = &[
    "version",
    "listen",
    "admin",
    "events_path",
    "upstreams",
    "routes",
    "policies",
    "name",
    "address",
    "kind",
    "http",
    "nats",
    "embedded",
    "lambda",
    "url",
    "endpoints",
    "tls",
    "token",
    "env",
    "file",
    "jetstream",
    "stream",
    "match",
    "path",
    "prefix",
    "regex",
    "hosts",
    "methods",
    "headers",
    "query",
    "event",
    "type",
    "filters",
    "exact",
    "present",
    "listeners",
    "priority",
    "to",
    "weight",
    "rewrite",
    "strip_prefix",
    "preserve_host",
    "format",
    "reply_format",
    "ack",
    "respond",
    "status",
    "body",
    "redirect",
    "use",
    "policy",
    "set_event",
    "forward_headers",
    "request",
    "response",
    "set",
    "add",
    "remove",
    "timeout",
    "try_timeout",
    "retry",
    "attempts",
    "on",
    "backoff",
    "base",
    "max",
    "limits",
    "concurrency",
    "queue",
    "breaker",
    "failures",
    "window",
    "probes",
    "retry_budget",
    "20%",
    "rate_limit",
    "rate",
    "10/s",
    "burst",
    "key",
    "{header.x-tenant}",
    "auth",
    "public",
    "none",
    "default",
    "web",
    "bus",
    "web/x",
    "bus/a.{id}",
    "/a/{id}",
    "/shop",
    "{rest}",
    "*",
    "1",
    "0",
    "-1",
    "true",
    "5s",
    "64KiB",
    "GET",
    "127.0.0.1:0",
    "nats://127.0.0.1:4222",
    "http://127.0.0.1:9000",
    "",
    "ü",
    "not",
    "all",
    "sql",
];

/// A random value in flow style, made of words that mean something.
fn value() -> impl Strategy<Value = String> {
    let word = prop::sample::select(WORDS).prop_map(|word| format!("{word:?}"));
    let plain = prop::sample::select(&["1", "true", "null", "5s", "web", "1.5", "~", "a: b"][..])
        .prop_map(str::to_owned);
    prop_oneof![4 => word, 1 => plain].prop_recursive(6, 60, 6, |inner| {
        let key = prop::sample::select(WORDS);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((key, inner), 0..6).prop_map(|entries| {
                let entries: Vec<String> =
                    entries.iter().map(|(key, value)| format!("{key:?}: {value}")).collect();
                format!("{{{}}}", entries.join(", "))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(load(&String::from_utf8_lossy(&bytes)));
    }

    #[test]
    fn random_yaml_letters_never_panic(text in "[a-c0-9 \\n:\\-\\[\\]{},*&!|>'\"#%@`?~.\\t/]{0,120}") {
        drop(load(&format!("version: 1\n{text}")));
    }

    #[test]
    fn random_trees_never_panic(value in value()) {
        drop(load(&value));
    }

    #[test]
    fn random_sections_never_panic(
        upstream in value(), route in value(), policy in value(), matching in value(), target in value(),
    ) {
        drop(load(&format!(
            "version: 1
upstreams: {{ web: {{ kind: http, url: http://127.0.0.1:9000 }}, bus: {{ kind: nats, url: nats://127.0.0.1:4222 }}, x: {upstream} }}
routes: [{route}, {{ name: a, match: {matching}, to: web }}, {{ name: b, match: {{ path: /a }}, to: {target} }}]
policies: {{ default: {policy} }}
"
        )));
    }

    #[test]
    fn a_good_file_with_a_piece_cut_out_never_panics(from in 0usize..3000, length in 0usize..40) {
        let whole: Vec<char> = include_str!("complete.yaml").chars().collect();
        let from = from.min(whole.len());
        let to = (from + length).min(whole.len());
        let cut: String = whole[..from].iter().chain(&whole[to..]).collect();
        drop(load(&cut));
    }
}
