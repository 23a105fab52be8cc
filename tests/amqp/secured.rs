//! Credentials: how the gateway shows who it is, and what the caller learns if that fails.

use super::gateway;
use crate::support::{
    Gateway,
    rabbit::{PASSWORD, USER, shared},
    shell,
};

#[test]
fn the_password_is_shown_to_the_broker_and_told_to_nobody() {
    let gateway = gateway(
        shared(),
        "queues: [{ name: g-secured }]",
        "  - { name: all, match: { path: /in }, to: rabbit//g-secured }\n",
    );
    assert_eq!(gateway.post("/in", &[], "x").status, 202);
    let told = gateway.ask_admin("/api/v1/upstreams").text().to_owned();
    assert!(!told.contains(PASSWORD), "{told}");
    assert!(told.contains(&shared().url()), "{told}");
}

#[test]
fn credentials_that_are_refused_are_502_and_not_the_callers_401() {
    let config = format!(
        "version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstreams: {{ rabbit: {{ kind: amqp, url: {}, username: {USER}, password: {{ file: wrong }} }} }}
routes: [{{ name: all, match: {{ path: /in }}, to: rabbit//x }}]
",
        shared().url()
    );
    let gateway = Gateway::run_with(&config, |folder| {
        std::fs::write(folder.join("wrong"), "guess-hunter3").unwrap();
    });
    let problem = gateway.post("/in", &[], "x").problem(502, "upstream_auth");
    assert_eq!(problem["ran"], "no");
    let said = gateway.stderr().join("\n") + &gateway.stdout().join("\n") + &problem.to_string();
    assert!(!said.contains("hunter"), "{said}");
}

#[test]
fn a_user_in_the_url_is_refused_with_the_field_to_use_and_live_asks_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), PASSWORD).unwrap();
    let check = |url: &str, more: &[&str]| {
        let file = folder.path().join("gateway.yaml");
        let text = format!(
            "version: 1
listen: 127.0.0.1:0
upstreams: {{ rabbit: {{ kind: amqp, url: \"{url}\", username: {USER}, password: {{ file: secret }} }} }}
routes: [{{ name: all, match: {{ path: /in }}, to: rabbit//x }}]
"
        );
        std::fs::write(&file, text).unwrap();
        let arguments = [&["check", "-c", file.to_str().unwrap()], more].concat();
        let ran = shell::gusset_run(&arguments);
        let said = format!("{}{}", ran.out, ran.err);
        assert!(!said.contains("hunter2"), "{said}");
        (ran.code, said)
    };
    let (code, said) = check("amqp://shop:s3cret-hunter2@127.0.0.1", &[]);
    assert!(code == Some(1) && said.contains("username and password"), "{said}");
    let (code, said) = check(&shared().url(), &["--live"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = check("amqp://127.0.0.1:1", &["--live"]);
    assert_ne!(code, Some(0), "{said}");
}
