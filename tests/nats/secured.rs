//! Credentials: how the gateway shows who it is, and what the caller learns if that fails.

use serde_json::json;

use crate::support::{Gateway, nats::Server, shell};

fn gateway(server: &Server, credentials: &str) -> Gateway {
    let config = format!(
        "version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstreams:
  bus: {{ kind: nats, url: {}, {credentials} }}
routes:
  - {{ name: all, match: {{ path: /in }}, to: bus/x }}
",
        server.url()
    );
    Gateway::run_with(&config, |folder| {
        std::fs::write(folder.join("secret"), "s3cret\n").unwrap();
        std::fs::write(folder.join("wrong"), "guess\n").unwrap();
    })
}

#[test]
fn a_user_and_a_token_are_shown_and_never_told() {
    let server = Server::start_with("authorization { user: shop, password: s3cret }");
    let mut subscriber = server.connect_as(&json!({ "user": "shop", "pass": "s3cret" }));
    subscriber.subscribe("x");
    let right = gateway(&server, "username: shop, password: { file: secret }");
    let answer = right.post("/in", &[], "hello");
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(subscriber.next().text(), "hello");
    let told = right.ask_admin("/api/v1/upstreams").text().to_owned();
    assert!(!told.contains("s3cret"), "{told}");

    let token = Server::start_with("authorization { token: s3cret }");
    assert_eq!(gateway(&token, "token: { file: secret }").post("/in", &[], "x").status, 202);
}

#[test]
fn credentials_that_are_refused_are_502_and_not_the_callers_401() {
    let server = Server::start_with("authorization { user: shop, password: s3cret }");
    let wrong = gateway(&server, "username: shop, password: { file: wrong }");
    let problem = wrong.post("/in", &[], "x").problem(502, "upstream_auth");
    assert_eq!(problem["ran"], "no");
    let said = wrong.stderr().join("\n") + &wrong.stdout().join("\n") + &problem.to_string();
    assert!(!said.contains("guess"), "{said}");
}

#[test]
fn a_password_in_the_url_is_refused_with_the_field_to_use() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    let text = "version: 1
listen: 127.0.0.1:0
upstreams: { bus: { kind: nats, url: \"nats://shop:s3cret@127.0.0.1:4222\" } }
routes: [{ name: all, match: { path: /in }, to: bus/x }]
";
    std::fs::write(&file, text).unwrap();
    let ran = shell::gusset_run(&["check", "-c", file.to_str().unwrap()]).ends(1);
    let said = ran.out + &ran.err;
    assert!(said.contains("password"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}
