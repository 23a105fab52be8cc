use serde_json::json;

use super::*;
use crate::platform::rows::row;

fn build(json: serde_json::Value) -> Result<Target, Vec<(String, String)>> {
    Target::build(&"az".parse().unwrap(), serde_json::from_value(json).unwrap())
}

#[test]
fn every_row_of_the_table_means_what_it_says() {
    const PAGE: (&str, &str) = ("content-type", "Text/HTML; charset=utf-8");
    for (status, headers, body, expected) in [
        (200, &[][..], "hi", "answer ok"),
        (202, &[("location", "/runtime/x")], "{}", "answer ok"),
        (401, &[], "", "refused"),
        (401, &[], "log in first", "answer ok"),
        (401, &[], "You do not have permission to view this directory or page.", "refused"),
        (403, &[], "", "fault upstream_auth no"),
        (403, &[PAGE], "<html>Ip Forbidden", "fault upstream_auth no"),
        (403, &[], "not yours", "answer ok"),
        (404, &[], "", "answer ok"),
        (404, &[], "no such order", "answer ok"),
        (429, &[("x-function-scaleout", "1")], "", "fault throttled no after 1s"),
        (
            429,
            &[("x-function-scaleout", "1"), ("retry-after", "9")],
            "",
            "fault throttled no after 9s",
        ),
        (429, &[], "yours is used up", "answer throttled no"),
        (500, &[], "", "fault function_failed maybe"),
        (500, &[], "my own words", "answer function_failed maybe"),
        (502, &[PAGE], "<html>", "fault upstream_protocol maybe"),
        (502, &[], "", "fault upstream_protocol maybe"),
        (502, &[], "mine", "answer function_failed maybe"),
        (503, &[], "Function host is not running.", "fault unavailable no"),
        (503, &[PAGE], "<html>app_offline", "fault unavailable no"),
        (503, &[], "closed on Sundays", "answer function_failed maybe"),
        (504, &[], "mine", "answer function_failed maybe"),
    ] {
        assert_eq!(row(&Host, status, headers, body), expected, "{status} {headers:?} {body}");
    }
}

#[test]
fn every_row_of_what_starts_a_function_means_what_it_says() {
    let published =
        r#"{"ack":"published","guarantee":"none","duplicate":false,"receipt":{"function":"f"}}"#;
    for (status, headers, body, expected) in [
        (202, &[][..], "", published),
        (400, &[], "", "fault upstream_protocol no"),
        (401, &[], "", "refused"),
        (401, &[], "who are you", "refused"),
        (403, &[], "", "fault upstream_auth no"),
        (404, &[], "", "fault function_not_deployed no"),
        (413, &[], "", "fault too_large no"),
        (429, &[], "", "fault throttled no after 1s"),
        (500, &[], "", "fault upstream_protocol maybe"),
        (502, &[], "<html>", "fault upstream_protocol maybe"),
        (503, &[("retry-after", "9")], "", "fault unavailable no after 9s"),
        (200, &[], "", "fault upstream_protocol maybe"),
    ] {
        let admin = Admin { function: "f".to_owned() };
        assert_eq!(row(&admin, status, headers, body), expected, "{status} {body}");
    }
}

#[test]
fn everything_that_is_wrong_is_said_with_its_place() {
    let all = build(json!({
        "url": "http://az.example.com", "key": {"env": "K"}, "keys": {"a/b": {"env": "K"}},
        "master_key": {"env": "M"}, "route_prefix": "../x", "connect_timeout": "0s"
    }))
    .unwrap_err();
    let places: Vec<_> = all.iter().map(|(path, _)| path.as_str()).collect();
    let expected = ["route_prefix", "keys.a/b", "connect_timeout", "key", "keys", "master_key"];
    assert_eq!(places, expected);
    for (written, field) in [
        (json!({}), "app"),
        (json!({"app": "a", "url": "https://a"}), "url"),
        (json!({"app": "a.b"}), "app"),
        (json!({"url": "https://a?code=x"}), "url"),
        (json!({"app": "a", "entra": {"scope": "api://x"}}), "entra.scope"),
        (
            json!({"app": "a", "entra": {"scope": "api://x/.default", "tenant": "a/b"}}),
            "entra.tenant",
        ),
        (
            json!({"app": "a", "entra": {"scope": "api://x/.default",
                "client_secret": {"env": "S"}, "assertion": {"env": "A"}}}),
            "entra.assertion",
        ),
        (
            json!({"app": "a", "entra": {"scope": "api://x/.default", "authority": "http://a.b"}}),
            "entra.authority",
        ),
        (json!({"url": "http://a.b", "entra": {"scope": "api://x/.default"}}), "entra"),
    ] {
        let wrong = build(written.clone()).unwrap_err();
        assert_eq!(wrong.len(), 1, "{written}: {wrong:?}");
        assert_eq!(wrong[0].0, field, "{written}");
    }
}

#[test]
fn a_function_is_below_the_prefix_of_its_app() {
    let target = build(json!({"app": "shop"})).unwrap();
    assert_eq!(target.origin.url(), "https://shop.azurewebsites.net");
    assert_eq!(target.path("resize").unwrap(), "/api/resize");
    for (prefix, path) in [("", "/resize"), ("api/v1", "/api/v1/resize")] {
        let target = build(json!({"app": "shop", "route_prefix": prefix})).unwrap();
        assert_eq!(target.path("resize").unwrap(), path);
    }
    assert!(target.path("../admin/functions").is_err());
    for bad in ["", "a/b", "a.b", "1a", "a?code=x"] {
        assert!(Target::names(&bad.parse().unwrap()).is_err(), "{bad}");
    }
}
