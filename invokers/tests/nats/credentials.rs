//! Who the gateway is to a server, and TLS.

use std::fs;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use invokers::Tools;
use nkeys::KeyPair;
use schemas::{Class, Invoker as _, Ran};
use serde_json::{Value, json};

use crate::support::{Secrets, Server, lane, on_core, publish, until_ok};

/// The upstream is let in; and refused, as an error of its own, with the second set of secrets.
fn check(server: &Server, written: &Value, good: &Tools, bad: &Tools) {
    on_core(async {
        lane(written.clone(), good.clone()).call(publish("t", "x")).await.unwrap();
        let fault = lane(written.clone(), bad.clone()).call(publish("t", "x")).await.unwrap_err();
        assert_eq!((fault.class, fault.ran), (Class::UpstreamAuth, Ran::No), "{fault:?}");
        let log = fs::read_to_string(server.file("log")).unwrap();
        assert!(!log.contains("hunter2") && !format!("{fault:?}").contains("hunter2"));
    });
}

#[test]
fn a_user_with_a_password_is_let_in() {
    let server = Server::start("authorization { user: u, password: hunter2 }");
    let written = json!({"url": server.url(), "username": "u", "password": {"env": "P"}});
    let good = Secrets::tools(&[("P", "hunter2")]);
    check(&server, &written, &good, &Secrets::tools(&[("P", "hunter3")]));
    // A secret that is not there is told like a wrong one.
    check(&server, &written, &good, &Secrets::tools(&[]));
}

#[test]
fn a_token_is_let_in() {
    let server = Server::start("authorization { token: hunter2 }");
    let written = json!({"url": server.url(), "token": {"env": "T"}});
    let bad = Secrets::tools(&[("T", "no")]);
    check(&server, &written, &Secrets::tools(&[("T", "hunter2")]), &bad);
}

#[test]
fn an_nkey_is_let_in() {
    let (user, other) = (KeyPair::new_user(), KeyPair::new_user());
    let config = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", user.public_key());
    let server = Server::start(&config);
    let written = json!({"url": server.url(), "nkey": {"env": "N"}});
    let seed = |pair: &KeyPair| Secrets::tools(&[("N", &pair.seed().unwrap())]);
    check(&server, &written, &seed(&user), &seed(&other));
    check(&server, &written, &seed(&user), &Secrets::tools(&[("N", "SUnonsense")]));
}

#[test]
fn a_credentials_file_is_let_in() {
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let (user, stranger) = (KeyPair::new_user(), KeyPair::new_user());
    let config = format!(
        "operator: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {} }}",
        token(&operator, &operator.public_key(), "operator"),
        account.public_key(),
        token(&operator, &account.public_key(), "account"),
    );
    let server = Server::start(&config);
    let file = server.file("user.creds");
    let write = |signer: &KeyPair| {
        let jwt = token(&account, &user.public_key(), "user");
        let seed = signer.seed().unwrap();
        let content = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        fs::write(&file, content).unwrap();
    };
    let written = json!({"url": server.url(), "credentials": {"file": file}});
    on_core(async {
        write(&user);
        lane(written.clone(), Secrets::tools(&[])).call(publish("t", "x")).await.unwrap();
        write(&stranger);
        let fault = lane(written, Secrets::tools(&[])).call(publish("t", "x")).await.unwrap_err();
        assert_eq!(fault.class, Class::UpstreamAuth);
    });
}

/// A JWT of the kind that NATS has, signed by `by`.
fn token(by: &KeyPair, subject: &str, kind: &str) -> String {
    let claims = json!({
        "jti": "t", "iat": 1_700_000_000, "iss": by.public_key(), "sub": subject, "name": kind,
        "nats": match kind {
            "account" => json!({
                "type": kind, "version": 2,
                "limits": {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
                           "wildcards": true, "conn": -1, "leaf": -1}
            }),
            "user" => json!({
                "type": kind, "version": 2, "subs": -1, "data": -1, "payload": -1
            }),
            _ => json!({"type": kind, "version": 2}),
        }
    });
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = encode(json!({"typ": "JWT", "alg": "ed25519-nkey"}));
    let signed = format!("{head}.{}", encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(by.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

#[test]
fn a_changed_secret_is_read_for_the_next_connection() {
    let mut server = Server::start("authorization { user: u, password: first }");
    let file = server.file("password");
    fs::write(&file, "first\n").unwrap();
    let written = json!({"url": server.url(), "username": "u", "password": {"file": file}});
    on_core(async {
        let lane = lane(written, Secrets::tools(&[]));
        lane.call(publish("t", "x")).await.unwrap();
        server.stop();
        let config = "authorization { user: u, password: second }";
        fs::write(server.file("nats.conf"), config).unwrap();
        server.restart();
        fs::write(&file, "second\n").unwrap();
        until_ok(&lane, || publish("t", "x")).await;
    });
}

#[test]
fn tls_is_verified_and_never_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (name, content) in [
        ("cert.pem", made.cert.pem()),
        ("key.pem", made.signing_key.serialize_pem()),
        ("other.pem", other.cert.pem()),
    ] {
        fs::write(dir.path().join(name), content).unwrap();
    }
    let config = r#"tls { cert_file: "DIR/cert.pem", key_file: "DIR/key.pem" }
        authorization { user: u, password: hunter2 }"#;
    let server = Server::start_in(dir, config);
    let plain = Server::start("");
    let written = |scheme: &str, port: u16, ca: &str| {
        json!({
            "url": format!("{scheme}://localhost:{port}"), "tls": {"ca": {"file": server.file(ca)}},
            "username": "u", "password": {"env": "P"}
        })
    };
    on_core(async {
        let tools = Secrets::tools(&[("P", "hunter2")]);
        for scheme in ["tls", "nats"] {
            let lane = lane(written(scheme, server.port, "cert.pem"), tools.clone());
            lane.call(publish("t", "x")).await.unwrap();
        }
        // An authority that did not sign it, a file that is none, a server that has no TLS.
        for (port, ca) in
            [(server.port, "other.pem"), (server.port, "key.pem"), (plain.port, "cert.pem")]
        {
            let lane = lane(written("tls", port, ca), tools.clone());
            let fault = lane.call(publish("t", "x")).await.unwrap_err();
            assert_eq!(fault.ran, Ran::No, "{ca}: {fault:?}");
            assert_ne!(fault.class, Class::UpstreamAuth, "{ca}: {fault:?}");
        }
    });
}
