//! The command line, as a shell sees it: what is printed where, and the exit codes.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::support::{
    Gateway, Peer, read,
    shell::{Ran, gusset_in, gusset_run},
};

/// A file with this text in a folder of its own.
fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    fs::write(&file, text).unwrap();
    (folder, file)
}

fn check(text: &str, more: &[&str]) -> Ran {
    let (folder, _) = written(text);
    let args = [&["check", "-c", "gateway.yaml"], more].concat();
    gusset_in(folder.path(), &args, &[])
}

const GOOD: &str = "version: 1
listen: 127.0.0.1:0
upstreams: { web: { kind: http, url: http://127.0.0.1:1 } }
routes: [{ name: shop, match: { path: \"/orders/{id}\", methods: [POST] }, to: web }]
";

#[test]
fn check_says_yes_no_or_cannot_by_its_exit_code() {
    check(GOOD, &[]).ends(0);
    check(&GOOD.replace("to: web", "to: wep"), &[]).ends(1);
    gusset_run(&["check", "-c", "no/such/file.yaml"]).ends(2);
}

#[test]
fn check_tells_every_error_with_its_place_and_what_to_write() {
    let text = "version: 1
listen: 127.0.0.1:0
upstreams:
  web: { kind: http, url: http://127.0.0.1:1, health: {} }
  far: { kind: kafka, url: x }
routes:
  - { name: a, match: { path: /a }, to: wep }
  - { name: b, match: { path: /b }, to: web, policy: { timeout: 5 } }
  - { name: c, match: { path: /c }, too: web }
archive: []
";
    let ran = check(text, &[]).ends(1);
    let said = ran.out + &ran.err;
    for place in [
        "gateway.yaml:4:",
        "gateway.yaml:5:",
        "gateway.yaml:7:",
        "gateway.yaml:8:",
        "gateway.yaml:9:",
        "gateway.yaml:10:",
    ] {
        assert!(said.contains(place), "{place} is missing in:\n{said}");
    }
    assert!(said.contains("`health` is not built yet"), "{said}");
    assert!(said.contains("`archive` is not built yet"), "{said}");
    assert!(said.contains("`kafka` is not built yet"), "{said}");
    assert!(said.contains("250ms or 5s"), "what to write is missing:\n{said}");
}

#[test]
fn check_speaks_json_to_programs() {
    let ran = check(&GOOD.replace("to: web", "to: wep"), &["--format", "json"]).ends(1);
    let told: Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|fault| panic!("{fault}: {}", ran.out));
    let text = told.to_string();
    assert!(text.contains("\"line\":4"), "{text}");
}

#[test]
fn check_warns_of_what_is_hardly_meant_and_lists_what_is_open() {
    let text = "version: 1
listen: 127.0.0.1:18999
upstreams: { web: { kind: http, url: http://127.0.0.1:18999 } }
routes:
  - { name: a, match: { path: /a }, to: web, policy: { auth: none, public: true } }
  - { name: b, match: { path: /b }, respond: { status: 200 } }
";
    let ran = check(text, &["--unauthenticated"]).ends(0);
    for line in [
        "warning: gateway.yaml:5:",
        "`a` leads back to this gateway",
        "`a`: anybody may call it, as route says",
        "gateway.yaml:6:5: `b`: anybody may call it, and nothing says that this is meant",
    ] {
        assert!(ran.out.contains(line), "{line} is missing in:\n{}", ran.out);
    }
    let ran = check(text, &["--unauthenticated", "--format", "json"]).ends(0);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["unauthenticated"][0]["said_by"], "route");
    assert_eq!(told["unauthenticated"][1]["route"], "b");
    assert_eq!(told["unauthenticated"][1]["said_by"], Value::Null);
    assert_eq!(told["warnings"].as_array().unwrap().len(), 1);
}

#[test]
fn what_init_writes_passes_check() {
    for kind in ["http", "nats", "amqp", "lambda"] {
        let ran = gusset_run(&["init", kind]).ends(0);
        assert!(ran.out.starts_with("# yaml-language-server: $schema="), "{}", ran.out);
        check(&ran.out, &[]).ends(0);
    }
    gusset_run(&["init", "kafka"]).ends(2);
}

#[test]
fn the_schema_is_the_one_that_is_committed() {
    let printed: Value = serde_json::from_str(&gusset_run(&["schema"]).ends(0).out).unwrap();
    let committed: Value = serde_json::from_str(&read("schemas/config.schema.json")).unwrap();
    assert!(printed == committed, "run `cargo xtask bless` and look at the difference");
}

#[test]
fn the_examples_of_the_command_line_are_there_for_every_command() {
    let help = gusset_run(&["--help"]).ends(0).out;
    for command in [
        "run",
        "dev",
        "check",
        "init",
        "routes",
        "upstreams",
        "explain",
        "invoke",
        "publish",
        "subscribe",
        "schema",
        "completions",
        "health",
    ] {
        assert!(help.contains(&format!("  {command}")), "{command} is missing in:\n{help}");
        let own = gusset_run(&[command, "--help"]).ends(0).out;
        assert!(own.contains(&format!("gusset {command}")), "{own}");
    }
    gusset_run(&["rutes"]).ends(2);
}

#[test]
fn completions_come_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(gusset_run(&["completions", shell]).ends(0).out.contains("gusset"), "{shell}");
    }
}

#[test]
fn explain_says_which_route_and_why_the_others_lost() {
    let (_folder, file) = written(
        &format!("{GOOD}  # another one\n")
            .replace("}]", "}, { name: rest, match: { prefix: / }, respond: { body: x } }]"),
    );
    let file = file.to_str().unwrap();
    let ran = gusset_run(&["explain", "POST", "http://shop.test/orders/7", "-c", file]).ends(0);
    assert!(ran.out.contains("shop") && ran.out.contains("rest"), "{}", ran.out);
    assert!(ran.out.contains("15s"), "no policy was shown: {}", ran.out);
}

#[test]
fn a_running_gateway_tells_its_routes_upstreams_and_health() {
    let peer = Peer::answering("pong");
    let gateway = Gateway::start(&format!(
        "upstreams: {{ web: {{ kind: http, url: {} }} }}\nroutes: [{{ name: shop, to: web }}]\n",
        peer.url()
    ));
    gateway.gusset(&["health"]).ends(0);
    assert!(gateway.gusset(&["routes"]).ends(0).out.contains("shop"));
    assert!(gateway.gusset(&["upstreams"]).ends(0).out.contains("web"));
    for command in ["routes", "upstreams"] {
        let told = gateway.gusset(&[command, "-o", "json"]).ends(0).out;
        assert!(serde_json::from_str::<Value>(&told).is_ok(), "{told}");
    }
    let invoked = gateway.gusset(&["invoke", "web", "-d", "hello"]).ends(0);
    assert!(invoked.out.contains("pong"), "{invoked:?}");
    assert_eq!(peer.only().body, b"hello");
}

#[test]
fn health_of_a_gateway_that_is_not_there_is_a_failure_that_says_what_to_do() {
    let port = crate::support::free_port();
    let ran = gusset_run(&["health", "--admin", &format!("http://127.0.0.1:{port}")]);
    assert!(matches!(ran.code, Some(1 | 2)), "{ran:?}");
    assert!(!ran.err.is_empty());
}
