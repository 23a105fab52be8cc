use super::*;
use crate::platform::rows::row;

fn build(json: serde_json::Value) -> Result<Target, Vec<(String, String)>> {
    Target::build(&"faas".parse().unwrap(), serde_json::from_value(json).unwrap())
}

#[track_caller]
fn check(json: serde_json::Value, field: &str, said: &str) {
    let wrong = build(json.clone()).unwrap_err();
    assert!(wrong.iter().any(|(at, what)| at == field && what.contains(said)), "{json}: {wrong:?}");
}

#[test]
fn every_row_of_the_table_means_what_it_says() {
    const DOG: (&str, &str) = ("x-openfaas-internal", "of-watchdog");
    const PROXY: (&str, &str) = ("x-openfaas-internal", "proxy");
    const RAN: (&str, &str) = ("x-duration-seconds", "0.01");
    for (status, headers, body, expected) in [
        (200, &[RAN][..], "hi", "answer ok"),
        (
            404,
            &[],
            "error finding function nope.openfaas-fn: not found",
            "fault function_not_deployed no",
        ),
        (404, &[], "no such order", "answer ok"),
        (404, &[RAN], "error finding function is what I say myself", "answer ok"),
        (502, &[], "", "fault upstream_protocol maybe"),
        (502, &[], "Can't reach service for: nodeinfo.", "fault upstream_protocol maybe"),
        (502, &[], "my own words", "answer function_failed maybe"),
        (500, &[], "Can't reach service for: nodeinfo.", "fault upstream_protocol maybe"),
        (500, &[], "my own words", "answer function_failed maybe"),
        (503, &[], "No endpoints available for: nodeinfo.", "fault unavailable no"),
        (503, &[PROXY], "in other words", "fault unavailable no"),
        (503, &[], "closed on Sundays", "answer function_failed maybe"),
        (503, &[("retry-after", "7")], "", "fault unavailable no after 7s"),
        (503, &[RAN], "closed on Sundays", "answer function_failed maybe"),
        (504, &[DOG, RAN], "", "fault timeout maybe"),
        (504, &[RAN], "mine", "answer function_failed maybe"),
        (500, &[DOG, RAN], "", "fault function_failed maybe"),
        (500, &[PROXY], "Can't reach service for: nodeinfo.", "fault function_failed maybe"),
        (500, &[RAN], "mine", "answer function_failed maybe"),
        (429, &[DOG], "", "fault throttled no after 1s"),
        (429, &[("retry-after", "3")], "", "fault throttled no after 3s"),
        (429, &[RAN], "mine", "answer throttled no"),
        (401, &[], "who are you", "answer ok"),
        (418, &[], "", "answer ok"),
    ] {
        assert_eq!(row(&Now, status, headers, body), expected, "{status} {headers:?} {body}");
    }
}

#[test]
fn every_answer_of_the_queue_means_what_it_says() {
    let later = Later { function: "a.b".into(), id: None };
    let taken = row(&later, 202, &[("x-call-id", "c1")], "");
    assert_eq!(
        taken,
        r#"{"ack":"published","guarantee":"broker-memory","duplicate":false,"receipt":{"function":"a.b","call_id":"c1"}}"#
    );
    let own = Later { function: "a".into(), id: Some(HeaderValue::from_static("mine")) };
    assert!(row(&own, 202, &[], "").contains(r#""call_id":"mine""#));
    for (status, body, expected) in [
        (404, "404 page not found", "fault unavailable no"),
        (400, "parse", "fault upstream_protocol no"),
        (401, "", "refused"),
        (413, "", "fault too_large no"),
        (429, "", "fault throttled no after 1s"),
        (500, "Error queuing request", "fault unavailable maybe"),
    ] {
        assert_eq!(row(&later, status, &[], body), expected, "{status} {body}");
    }
}

#[test]
fn everything_that_is_wrong_is_said_with_its_place() {
    use serde_json::json;
    let all = build(json!({
        "url": "faas", "username": "a:b", "password": {"env": "P"}, "namespace": "A",
        "callback": {"url": "http://user:hunter2@x"}, "connect_timeout": "0s"
    }))
    .unwrap_err();
    let places: Vec<_> = all.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(places, ["username", "namespace", "callback.url", "url", "connect_timeout"]);
    assert!(!format!("{all:?}").contains("hunter2"));
    check(json!({"url": "http://a", "username": "u"}), "password", "missing");
    check(json!({"url": "http://a", "password": {"env": "P"}}), "username", "missing");
    let open = json!({"url": "http://faas.example.com", "username": "u", "password": {"env": "P"}});
    check(open.clone(), "password", "plain text");
    let mut allowed = open;
    allowed["allow_plaintext_credentials"] = true.into();
    assert!(build(allowed).is_ok());
}

#[test]
fn a_function_has_a_name_and_perhaps_a_namespace() {
    for good in ["nodeinfo", "nodeinfo.staging", "order-{id}", "{a}.staging"] {
        assert_eq!(Target::names(&good.parse().unwrap()), Ok(()), "{good}");
    }
    for bad in ["", "a.b.c", "../system", "a/b", "A", "a.", "a?x", "a b"] {
        assert!(Target::names(&bad.parse().unwrap()).is_err(), "{bad}");
    }
    let target = build(serde_json::json!({"url": "http://a", "namespace": "fn"})).unwrap();
    assert_eq!(target.whole_name("a").unwrap(), "a.fn");
    assert_eq!(target.whole_name("a.b").unwrap(), "a.b");
    assert!(target.whole_name("a/../b").is_err());
}

#[test]
fn no_secret_is_shown() {
    let value = basic("admin", "hunter2").unwrap();
    assert!(value.is_sensitive());
    assert!(!format!("{value:?}").contains("aHVudGVyMg"));
    let target = build(serde_json::json!({
        "url": "http://127.0.0.1", "username": "admin", "password": {"env": "PASSWORD"}
    }));
    assert!(format!("{:?}", target.unwrap()).contains("PASSWORD"), "only its reference");
}
