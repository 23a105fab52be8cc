//! Credentials: where they come from, and that calls do not fail when they change.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use serde_json::json;

use super::{config, gateway, route};
use crate::support::{
    Client, Gateway, eventually,
    gateway::request,
    lambda::{Key, Lambda, Outcome, REGION},
};

fn answering() -> Lambda {
    Lambda::start(|_| Some(Outcome::json(&json!("done"))))
}

/// A gateway that has its credentials from the endpoint of a container.
fn in_container(lambda: &Lambda) -> Gateway {
    let upstream = format!("kind: lambda, region: {REGION}, endpoint: \"{}\"", lambda.url());
    Gateway::run_knowing(
        &config(&upstream, "", &route("orders", ", policy: { retry: { attempts: 1 } }")),
        &[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/credentials", lambda.url())),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/nonexistent"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
        ],
    )
}

/// Calls from several connections while something changes; how many calls failed, and how many there
/// were.
fn under_load(gateway: &Gateway, change: impl FnOnce()) -> (usize, usize) {
    let (stop, made, failed) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let mut client = Client::connect(gateway.address());
            let (stop, made, failed) = (Arc::clone(&stop), Arc::clone(&made), Arc::clone(&failed));
            thread::spawn(move || {
                while !stop.load(SeqCst) {
                    client.send(request("POST", "/", &[], b"x"));
                    let answer = client.answer();
                    if answer.status != 200 {
                        println!("{}", answer.text());
                        failed.fetch_add(1, SeqCst);
                    }
                    made.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    let some_more = || {
        let before = made.load(SeqCst);
        eventually("calls are made", || (made.load(SeqCst) >= before + 200).then_some(()));
    };
    some_more();
    change();
    some_more();
    stop.store(true, SeqCst);
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    (failed.load(SeqCst), made.load(SeqCst))
}

#[test]
fn no_call_fails_when_keys_are_rotated_or_end_and_each_time_they_are_looked_for_once() {
    let lambda = answering();
    let gateway = in_container(&lambda);
    let (failed, made) = under_load(&gateway, || lambda.rotate(Key::named("SECOND", true), false));
    assert_eq!((failed, lambda.given()), (0, 2), "of {made}");
    let (failed, made) = under_load(&gateway, || lambda.rotate(Key::named("THIRD", true), true));
    assert_eq!((failed, lambda.given()), (0, 3), "of {made}");
    assert!(lambda.refused() > 0, "the change was felt");
}

#[test]
fn no_call_fails_when_the_clock_is_off() {
    let lambda = answering();
    lambda.be_ahead(-1200);
    let gateway = in_container(&lambda);
    let (failed, made) = under_load(&gateway, || lambda.be_ahead(1800));
    assert_eq!((failed, lambda.given()), (0, 1), "of {made}");
    assert!(lambda.refused() > 0, "the change was felt");
}

#[test]
fn keys_from_files_are_read_again_when_they_are_refused() {
    let lambda = answering();
    let gateway = gateway(&lambda, "", &route("orders", ", policy: { retry: { attempts: 1 } }"));
    let (failed, made) = under_load(&gateway, || {
        let key = Key { token: Some("new".to_owned()), ..Key::named("SECOND", true) };
        for (name, value) in [
            ("access", &key.access),
            ("secret", &key.secret),
            ("token", key.token.as_ref().unwrap()),
        ] {
            std::fs::write(gateway.folder().join(name), value).unwrap();
        }
        lambda.rotate(key, true);
    });
    assert_eq!(failed, 0, "of {made}");
}

#[test]
fn a_role_is_assumed_with_what_was_found_and_again_when_its_session_ends() {
    let lambda = answering();
    let upstream = format!(
        "kind: lambda, region: {REGION}, endpoint: \"{}\", role: {{ arn: \
         \"arn:aws:iam::123456789012:role/gateway\", external_id: e-1 }}",
        lambda.url()
    );
    let gateway = Gateway::run_knowing(
        &config(&upstream, "", &route("orders", ", policy: { retry: { attempts: 1 } }")),
        &[
            ("AWS_ACCESS_KEY_ID", "AKIABASE"),
            ("AWS_SECRET_ACCESS_KEY", "base"),
            ("AWS_ENDPOINT_URL_STS", &format!("{}/sts", lambda.url())),
            ("AWS_CONFIG_FILE", "/nonexistent"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
        ],
    );
    assert_eq!(gateway.get("/").status, 200);
    lambda.rotate(Key::named("SECOND", true), true);
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(lambda.given(), 2);
}

#[test]
fn keys_that_stay_refused_are_our_fault_and_are_not_looked_for_with_every_call() {
    let lambda = answering();
    let gateway = in_container(&lambda);
    assert_eq!(gateway.get("/").status, 200);
    lambda.rotate(Key::named("FIRST", true), true);
    for _ in 0..20 {
        let problem = gateway.get("/").problem(502, "upstream_auth");
        assert_eq!(problem["ran"], "no");
    }
    assert!(lambda.given() <= 3, "{}", lambda.given());
}

#[test]
fn no_credentials_are_needed_to_start_and_a_call_without_any_is_told_so() {
    let lambda = answering();
    let gateway = gateway(&lambda, "", &route("orders", ""));
    assert_eq!(lambda.connections(), 0, "nothing is asked before the first call");
    assert_eq!(gateway.get("/").status, 200);

    let upstream = format!("kind: lambda, region: {REGION}, endpoint: \"{}\"", lambda.url());
    let none = Gateway::run_knowing(
        &config(&upstream, "", &route("orders", "")),
        &[
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/nonexistent"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
            ("HOME", "/nonexistent"),
        ],
    );
    let problem = none.get("/").problem(502, "no_credentials");
    assert_eq!(problem["ran"], "no");
}

#[test]
fn no_secret_is_in_records_problems_or_the_admin_api() {
    let lambda = answering();
    let gateway = gateway(&lambda, "", &route("orders", ", policy: { retry: { attempts: 1 } }"));
    assert_eq!(gateway.get("/").status, 200);
    let key = lambda.key();
    // Whose signature is wrong is told the request that it should have signed, token included.
    lambda.rotate(Key { secret: "another".to_owned(), ..key.clone() }, false);
    let said = gateway.get("/").problem(502, "upstream_auth").to_string();
    let listed = gateway.gusset(&["functions", "aws", "-c", "gateway.yaml"]).ends(1);
    assert!(listed.err.contains("canonical request"), "{}", listed.err);
    eventually("both calls are recorded", || {
        (gateway.stdout().iter().filter(|line| line.contains("request_id")).count() == 2)
            .then_some(())
    });
    let config = gateway.ask_admin("/api/v1/config").text().to_owned();
    let upstreams = gateway.ask_admin("/api/v1/upstreams").text().to_owned();
    let logs = [gateway.stdout().join("\n"), gateway.stderr().join("\n")].concat();
    let all = [said, listed.out, listed.err, config, upstreams, logs];
    for secret in [key.secret.as_str(), key.token.as_deref().unwrap(), "AWS4-HMAC"] {
        assert!(!all.iter().any(|text| text.contains(secret)), "{secret}");
    }
}
