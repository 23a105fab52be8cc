use serde_json::{Value, json};

use super::{ROUTES, both, in_front_of};
use crate::support::grpc::Server;

#[test]
fn a_request_finds_its_method_by_the_services_own_rules() {
    let Some((_server, gateway)) = both() else { return };
    let body = r#"{"to":"b","amountCents":"12345678901","kind":"KIND_FAST","tags":["x","y"]}"#;
    let answer = gateway.post("/v1/accounts/a%20b/transfers", &[], body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-ledger"), Some("main"));
    assert_eq!(answer.header("grpc-trailer-x-cost"), Some("7"));
    let expected = json!({
        "id": "t1",
        "request": {
            "from": "a b",
            "to": "b",
            "amountCents": "12345678901",
            "kind": "KIND_FAST",
            "tags": ["x", "y"],
        },
    });
    assert_eq!(answer.json(), expected);

    let answer = gateway.get("/v1/accounts/a/transfers/c?amount_cents=3&tags=1&tags=2");
    let request = answer.json()["request"].clone();
    let expected = json!({ "from": "a", "to": "c", "amountCents": "3", "tags": ["1", "2"] });
    assert_eq!(request, expected);

    // Nested parameters; a verb with a field for the body and one for the answer; a custom method.
    let answer =
        gateway.get("/v1/accounts/a/transfers/c?bounds.most=3&bounds.reasons=x&bounds.reasons=y");
    let bounds = json!({ "most": 3, "reasons": ["x", "y"] });
    assert_eq!(answer.json()["request"]["bounds"], bounds);
    let answer = gateway.post("/v1/accounts/a:move?to=b", &[], bounds.to_string());
    assert_eq!(answer.json(), json!({ "from": "accounts/a", "to": "b", "bounds": bounds }));
    let answer = gateway.send("MOVE /v1/accounts/a?to=b HTTP/1.1\r\nHost: gateway.test\r\n\r\n");
    assert_eq!(answer.json()["request"], json!({ "from": "a", "to": "b" }));

    assert_eq!(gateway.get("/v1/nothing").status, 404);
    assert_eq!(gateway.post("/v1/accounts/a/entries", &[], "{}").status, 405);
}

#[test]
fn a_method_by_its_name_takes_the_body_the_path_and_the_query() {
    let Some((_server, gateway)) = both() else { return };
    let answer = gateway.post("/move/a?kind=1", &[], r#"{"to":"b"}"#);
    let expected = json!({ "from": "a", "to": "b", "kind": "KIND_FAST" });
    assert_eq!(answer.json()["request"], expected);

    // A name that the request brings has to be one that the route allows.
    assert_eq!(gateway.post("/any/Transfer", &[], "{}").status, 200);
    gateway.post("/any/Fail", &[], "{}").problem(400, "placeholder_invalid");
}

#[test]
fn a_status_becomes_a_status_with_its_details() {
    let Some((_server, gateway)) = both() else { return };
    for (code, status) in [
        (1, 499),
        (2, 502),
        (3, 400),
        (4, 504),
        (5, 404),
        (6, 409),
        (7, 403),
        (8, 429),
        (9, 400),
        (10, 409),
        (11, 400),
        (12, 501),
        (13, 502),
        (14, 503),
        (15, 502),
        (16, 401),
    ] {
        let answer = gateway.get(&format!("/v1/fail/{code}"));
        assert_eq!(answer.status, status, "code {code}");
        let said = answer.json();
        assert_eq!(said["code"], code);
        assert_eq!(said["message"], "as asked: café");
        assert_eq!(said["details"][0]["reason"], "ASKED_FOR", "{said}");
        assert_eq!(answer.header("grpc-status"), Some(code.to_string().as_str()));
        assert_eq!(answer.header("grpc-trailer-x-cost"), Some("7"));
    }
}

#[test]
fn headers_become_metadata_and_the_deadline_goes_along() {
    let Some((_server, gateway)) = both() else { return };
    let headers = ["X-Who: me", "Accept: application/json", "Grpc-Timeout: 1n"];
    let said = gateway.post("/metadata", &headers, "{}").json();
    let metadata = &said["metadata"];
    assert_eq!(metadata["x-who"], "me");
    assert_eq!(metadata.get("accept"), None);
    assert_eq!(said["hasDeadline"], true);

    // As the server understands it: what the route gives a call, and by default a try.
    let remaining = |path: &str| {
        let said = gateway.post(path, &[], "{}").json();
        said["remainingMs"].as_str().unwrap().parse::<u32>().unwrap()
    };
    let (hurried, default) = (remaining("/hurried"), remaining("/metadata"));
    assert!((1..=5000).contains(&hurried), "{hurried}");
    assert!((5001..=10_000).contains(&default), "{default}");
}

#[test]
fn what_surely_has_not_run_is_sent_again_and_what_may_have_is_not() {
    let Some((_server, gateway)) = both() else { return };
    let calls = |code: u8, status: u16| {
        let failed = || gateway.get("/seen").json()["failed"].as_u64().unwrap_or(0);
        let before = failed();
        let answer = gateway.post(&format!("/again/{code}"), &[], "{}");
        assert_eq!(answer.status, status, "{}", answer.text());
        failed() - before
    };
    // UNAVAILABLE in place of an answer, and UNKNOWN.
    assert_eq!(calls(14, 503), 3);
    assert_eq!(calls(2, 502), 1);
}

#[test]
fn an_answer_over_the_limit_is_refused() {
    let Some((_server, gateway)) = both() else { return };
    gateway.get("/watch?count=1&size=5000000").problem(502, "upstream_protocol");
    let answer = gateway.get("/watch?count=1&size=4000000");
    assert_eq!(answer.status, 200);
}

#[test]
fn descriptors_come_from_files_too_and_what_is_wrong_with_them_is_shown() {
    let Some(server) = Server::start() else { return };
    let file = server.descriptors();
    for descriptors in [
        format!("{{ file: {} }}", file.display()),
        format!(
            "{{ proto: [ledger.proto], include: [{}/tests/grpc] }}",
            crate::support::root().display()
        ),
    ] {
        let ledger = format!(
            "{}, descriptors: {descriptors}, json: {{ names: original, enums: numbers }}",
            server.written()
        );
        let gateway = in_front_of(&ledger, ROUTES);
        let request = gateway.get("/v1/accounts/a/transfers/c?amountCents=3&kind=1").json();
        let expected = json!({ "from": "a", "to": "c", "amount_cents": "3", "kind": 1 });
        assert_eq!(request["request"], expected);
    }
}

#[test]
fn the_command_line_and_the_admin_api_know_the_methods() {
    let Some((_server, gateway)) = both() else { return };
    let upstreams = gateway.ask_admin("/api/v1/upstreams").json();
    let ledger = upstreams.as_array().unwrap().iter().find(|one| one["name"] == "ledger").unwrap();
    assert_eq!(ledger["descriptors"]["from"], "reflection v1alpha", "{ledger}");
    let down = upstreams.as_array().unwrap().iter().find(|one| one["name"] == "down").unwrap();
    assert!(down["descriptors"]["problem"].as_str().unwrap().contains("connect_failed"), "{down}");
    let ran =
        gateway.gusset(&["invoke", "ledger/ledger.v1.Ledger/Transfer", "-d", r#"{"to":"b"}"#]);
    let ran = ran.ends(0);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(said["request"]["to"], "b");
    let listed = gateway.gusset(&["functions", "ledger", "-o", "json"]).ends(0);
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    let function = |address: &str| {
        let all = listed.as_array().unwrap().iter();
        all.clone().find(|one| one["address"] == address).unwrap().clone()
    };
    let watch = function("ledger/ledger.v1.Ledger/Watch");
    assert_eq!(watch["state"], "server streaming");
    assert_eq!(
        watch["about"],
        "GET /v1/accounts/{account}/entries { account: string, count: int32, fail: bool, size: int32 }"
    );
    assert_eq!(watch["routes"], json!(["watch"]));
    assert_eq!(function("ledger/grpc.health.v1.Health/Check")["about"], "{ service: string }");
    let document = gateway.ask_admin("/api/v1/upstreams/ledger/openapi.json");
    assert_eq!(document.status, 200);
    assert_eq!(gateway.ask_admin("/api/v1/upstreams/down/openapi.json").status, 503);
    assert_eq!(gateway.ask_admin("/api/v1/upstreams/none/openapi.json").status, 404);
}
