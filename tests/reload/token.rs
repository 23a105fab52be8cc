//! An admin API that asks for a token.

use std::fs;

use crate::support::{Answer, Client, Gateway, eventually};

const CONFIG: &str = "version: 1
listen: 127.0.0.1:0
admin: { address: \"0.0.0.0:0\", token: { file: admin.token } }
routes: [{ name: only, respond: { body: one } }]
";

fn start() -> Gateway {
    Gateway::run_with(CONFIG, |folder| fs::write(folder.join("admin.token"), "first\n").unwrap())
}

fn ask(gateway: &Gateway, host: &str, path: &str, token: Option<&str>) -> Answer {
    let authorization =
        token.map_or_else(String::new, |t| format!("Authorization: Bearer {t}\r\n"));
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n");
    Client::connect(([127, 0, 0, 1], gateway.admin().port()).into()).round_trip(request)
}

#[test]
fn everything_but_health_and_the_bare_page_needs_the_token() {
    let gateway = start();
    for path in ["/api/v1/routes", "/metrics", "/api/v1/config", "/api/v1/openapi.json", "/nothing"]
    {
        let answer = ask(&gateway, "gateway.example.com", path, None);
        answer.problem(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"gusset\""), "{path}");
        ask(&gateway, "gateway.example.com", path, Some("wrong")).problem(401, "unauthorized");
    }
    for path in ["/healthz", "/readyz", "/", "/page.js"] {
        assert_eq!(ask(&gateway, "gateway.example.com", path, None).status, 200, "{path}");
    }
    assert_eq!(ask(&gateway, "10.0.0.7:8081", "/metrics", Some("first")).status, 200);
}

#[test]
fn a_new_token_counts_at_once_and_a_missing_one_opens_nothing() {
    let gateway = start();
    let file = gateway.folder().join("admin.token");
    fs::write(&file, "second, and longer\n").unwrap();
    eventually("the new token counts", || {
        (ask(&gateway, "a", "/metrics", Some("second, and longer")).status == 200).then_some(())
    });
    assert_eq!(ask(&gateway, "a", "/metrics", Some("first")).status, 401);
    fs::remove_file(&file).unwrap();
    for token in [None, Some(""), Some("second, and longer")] {
        assert_eq!(ask(&gateway, "a", "/metrics", token).status, 401);
    }
}

#[test]
fn the_command_line_brings_the_token_from_its_file() {
    let gateway = start();
    let admin = format!("http://127.0.0.1:{}", gateway.admin().port());
    let ran = gateway.gusset(&["routes", "--admin", &admin]).ends(1);
    assert!(ran.err.contains("needs its token"), "{}", ran.err);
    assert!(ran.err.contains("--token-file"), "{}", ran.err);
    let ran = gateway.gusset(&["routes", "--admin", &admin, "--token-file", "admin.token"]).ends(0);
    assert!(ran.out.contains("only"), "{}", ran.out);
    gateway.gusset(&["health", "--admin", &admin]).ends(0);
}
