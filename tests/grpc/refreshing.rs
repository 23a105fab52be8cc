use serde_json::{Value, json};

use super::both;
use crate::support::{Gateway, eventually, gateway::HEAD, grpc::Server, read, tonic::Tonic};

fn known(gateway: &Gateway) -> Value {
    let upstreams = gateway.ask_admin("/api/v1/upstreams").json();
    let all = upstreams.as_array().unwrap();
    all.iter().find(|one| one["name"] == "ledger").unwrap()["descriptors"].clone()
}

#[test]
fn a_method_that_is_deployed_later_appears_and_what_was_good_last_is_kept_meanwhile() {
    let Some((server, gateway)) = both() else { return };
    assert_eq!(known(&gateway)["services"], 2, "{}", known(&gateway));
    gateway.get("/v1/audits/7").problem(404, "no_method");

    // The server ends. Whoever asks for what nobody knows makes the gateway look, and that fails.
    let url = server.url();
    drop(server);
    eventually("a look has failed", || {
        gateway.get("/v1/audits/7").problem(404, "no_method");
        known(&gateway)["problem"].as_str().map(str::to_owned)
    });
    assert_eq!(known(&gateway)["services"], 2);
    let listed = gateway.gusset(&["upstreams"]).ends(0);
    assert!(listed.out.contains("by reflection v1alpha; connect_failed: "), "{}", listed.out);
    let ready = gateway.ask_admin("/readyz").json();
    let ledger = ready["descriptors"].as_array().unwrap().iter();
    let ledger = ledger.clone().find(|one| one["upstream"] == "ledger").unwrap();
    assert_eq!(ledger, &json!({ "upstream": "ledger", "known": true, "fresh": false }));
    // Its methods are known still: what is told is that it cannot be reached.
    gateway.post("/move/a", &[], "{}").problem(502, "connect_failed");

    let server = Server::next_version(&url);
    let answer = eventually("the method is known", || {
        let answer = gateway.get("/v1/audits/7");
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(answer.json(), json!({ "id": "7" }));
    assert_eq!(known(&gateway)["services"], 3);
    assert_eq!(known(&gateway)["from"], "reflection v1");
    assert_eq!(known(&gateway).get("problem"), None);

    // A rule that contradicts another one is kept out, and the reason is shown.
    let refused = known(&gateway)["refused"].clone();
    assert_eq!(refused.as_array().unwrap().len(), 1, "{refused}");
    let reason = refused[0].as_str().unwrap();
    assert!(reason.starts_with("/audit.v1.Audit/Peek"), "{reason}");
    let listed = gateway.gusset(&["upstreams"]).ends(0);
    assert!(
        listed.out.contains(&format!("by reflection v1; left out: {reason}")),
        "{}",
        listed.out
    );
    drop(server);
}

#[test]
fn files_that_break_leave_what_was_good_last_and_tell_where_they_are_broken() {
    let server = Tonic::start();
    let good = read("tests/grpc/ledger.proto");
    let config = format!(
        "{HEAD}upstreams: {{ ledger: {{ kind: grpc, {}, descriptors: {{ proto: [ledger.proto] }} }} }}
routes: [{{ name: rules, match: {{ prefix: /v1 }}, to: ledger }}]
",
        server.written()
    );
    let gateway = Gateway::run_with(&config, |folder| {
        std::fs::write(folder.join("ledger.proto"), &good).unwrap();
        let events = read("tests/grpc/cloudevents.proto");
        std::fs::write(folder.join("cloudevents.proto"), events).unwrap();
    });
    let write = |text: &str| {
        let new = gateway.folder().join("new.proto");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, gateway.folder().join("ledger.proto")).unwrap();
    };
    let status = |path: &str| gateway.get(path).status;
    eventually("the methods are known", || (status("/v1/fail/7") == 403).then_some(()));

    write(&good.replacen("message Entry {", "message Entry", 1));
    // Whoever asks for what nobody knows makes the gateway look.
    let problem = eventually("a look has failed", || {
        gateway.get("/v1/late/5").problem(404, "no_method");
        known(&gateway)["problem"].as_str().map(str::to_owned)
    });
    let line = good.lines().position(|line| line == "message Entry {").unwrap() + 2;
    assert!(problem.starts_with(&format!("ledger.proto:{line}:")), "{problem}");
    assert_eq!(gateway.get("/v1/fail/5").json()["code"], 5);

    write(&good.replacen("/v1/fail/{code}", "/v1/late/{code}", 1));
    eventually("the rule of the new file is served", || {
        (status("/v1/late/7") == 403).then_some(())
    });
    assert_eq!(known(&gateway).get("problem"), None);
    gateway.get("/v1/fail/5").problem(404, "no_method");
}
