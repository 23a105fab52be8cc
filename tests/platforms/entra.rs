use std::{
    thread,
    time::{Duration, Instant},
};

use super::revoked_under_load;
use crate::support::{
    Gateway,
    entra::{ASSERTION, CLIENT, Entra, HEADER, SCOPE, SECRET, TENANT},
    eventually,
    gateway::HEAD,
};

/// A gateway's configuration, with these fields of `entra` beside the scope.
fn config(entra: &Entra, fields: &str) -> String {
    format!(
        "{HEAD}upstreams:
  az:
    kind: azure-functions
    url: {}
    key: {{ file: key }}
    follow: true
    entra: {{ scope: \"{SCOPE}\"{fields} }}
routes:
  - {{ name: call, match: {{ path: \"/call/{{f}}\" }}, rewrite: {{ path: / }}, to: \"az/{{f}}\", allow: [\"*\"] }}
",
        entra.front.url()
    )
}

fn gateway(entra: &Entra) -> Gateway {
    let authority = entra.authority.url();
    let fields = format!(
        ", tenant: {TENANT}, client_id: {CLIENT}, client_secret: {{ file: secret }}, authority: \"{authority}\""
    );
    Gateway::run_with(&config(entra, &fields), |folder| {
        std::fs::write(folder.join("secret"), SECRET).unwrap();
        std::fs::write(folder.join("key"), "a-key").unwrap();
    })
}

#[test]
fn an_app_is_called_with_a_token_for_it_beside_the_key() {
    let entra = Entra::start();
    let gateway = gateway(&entra);
    for _ in 0..5 {
        let answer = gateway.post("/call/echo", &["Authorization: Bearer own"], "hi");
        assert_eq!((answer.status, answer.text()), (200, "hi"));
    }
    let seen = entra.front.seen();
    assert_eq!(seen[0].head.all("authorization").len(), 1, "the caller's own is not the app's");
    assert!(seen[0].header("authorization").unwrap().starts_with("Bearer e30."));
    assert_eq!(seen[0].header("x-functions-key"), Some("a-key"));
    let cores = thread::available_parallelism().unwrap().get();
    assert!(entra.minted() <= cores, "{} tokens", entra.minted());
    assert_eq!(entra.refused(), 0);
    // What the app has started is asked for with the token too.
    let done = gateway.post("/call/start", &[], "");
    assert_eq!((done.status, done.text()), (200, "\"done\""));
}

#[test]
fn tokens_come_by_what_the_environment_shows() {
    let entra = Entra::start();
    let authority = entra.authority.url();
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [("key", "a-key"), ("token", ASSERTION)] {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let token = folder.path().join("token");
    let endpoint = format!("{authority}/msi/token");
    let registered = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_AUTHORITY_HOST", &authority),
    ];
    let cluster = [&registered[..], &[("AZURE_FEDERATED_TOKEN_FILE", token.to_str().unwrap())]];
    let by_secret = [&registered[..], &[("AZURE_CLIENT_SECRET", SECRET)]];
    let machine = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", HEADER)];
    for variables in [cluster.concat(), by_secret.concat(), machine.to_vec()] {
        let key = folder.path().join("key");
        let text = config(&entra, "").replace("file: key", &format!("file: {}", key.display()));
        let gateway = Gateway::run_knowing(&text, &variables);
        let answer = gateway.post("/call/echo", &[], "hi");
        assert_eq!((answer.status, answer.text()), (200, "hi"), "{variables:?}");
    }
    assert_eq!((entra.refused(), entra.minted()), (0, 3));
}

#[test]
fn tokens_that_are_refused_under_load_cost_no_call() {
    let entra = Entra::start();
    let gateway = gateway(&entra);
    revoked_under_load(&gateway, &entra.front, || entra.revoke(), || entra.minted());
}

#[test]
fn a_token_is_followed_by_another_before_it_ends() {
    let entra = Entra::start();
    entra.mint_for(3);
    let gateway = gateway(&entra);
    let from = Instant::now();
    while from.elapsed() < Duration::from_secs(5) {
        assert_eq!(gateway.post("/call/echo", &[], "x").status, 200);
    }
    assert!(entra.minted() >= 2, "it had to be followed");
    assert_eq!(entra.refused(), 0, "none was used after its end");
}

#[test]
fn a_secret_that_is_refused_is_the_gateways_fault_and_is_not_shown() {
    let entra = Entra::start();
    let gateway = gateway(&entra);
    std::fs::write(gateway.folder().join("secret"), "hunter2-of-nobody").unwrap();
    let answer = gateway.post("/call/echo", &[], "x");
    assert_eq!(answer.problem(502, "upstream_auth")["ran"], "no");
    assert!(entra.front.seen().is_empty(), "nothing is sent without a token");
    std::fs::write(gateway.folder().join("secret"), SECRET).unwrap();
    eventually("the secret is read again", || {
        (gateway.post("/call/echo", &[], "x").status == 200).then_some(())
    });
    let problem = answer.problem(502, "upstream_auth");
    let record = gateway.record(problem["request_id"].as_str().unwrap()).to_string();
    assert!(record.contains("AADSTS7000215"), "the log says why: {record}");
    assert!(!record.contains("hunter2") && !answer.text().contains("hunter2"), "{record}");
    assert!(!answer.text().contains(TENANT) && !answer.text().contains("AADSTS"));
}
