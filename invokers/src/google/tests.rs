use serde_json::json;

use super::*;
use crate::platform::rows::row;

fn build(json: serde_json::Value) -> Result<Target, Vec<(String, String)>> {
    Target::build(&"gcp".parse().unwrap(), serde_json::from_value(json).unwrap())
}

fn wrong(json: serde_json::Value) -> Vec<String> {
    let all = build(json).unwrap_err();
    all.into_iter().map(|(path, _)| path).collect()
}

#[test]
fn every_row_of_the_table_means_what_it_says() {
    const PAGE: &str = "\n<html><head>\n<title>x</title></head>\n<body>\n<h1>Error: x</h1>\n";
    const OWN_PAGE: &str = "<html><head><title>my shop</title></head><body><h1>Sorry</h1>";
    for (status, headers, body, expected) in [
        (200, &[][..], "hi", "answer ok"),
        (204, &[], "", "answer ok"),
        (302, &[("location", "/x")], "", "answer ok"),
        (400, &[], "no such order", "answer ok"),
        (401, &[], PAGE, "refused"),
        (401, &[], OWN_PAGE, "answer ok"),
        (401, &[], "log in first", "answer ok"),
        (403, &[], PAGE, "fault upstream_auth no"),
        (403, &[], "not yours", "answer ok"),
        (404, &[], PAGE, "fault function_not_deployed no"),
        (404, &[], OWN_PAGE, "answer ok"),
        (404, &[], "", "answer ok"),
        (429, &[], "Rate exceeded.", "fault throttled no after 1s"),
        (429, &[("retry-after", "5")], "Rate exceeded.", "fault throttled no after 5s"),
        (429, &[], "yours is used up", "answer throttled no"),
        (500, &[("x-google-status", "crash")], "<html>", "fault function_failed maybe"),
        (500, &[("x-google-status", "error")], "", "fault function_failed maybe"),
        (500, &[], "Error: could not handle the request\n", "fault function_failed maybe"),
        (500, &[], "my own words", "answer function_failed maybe"),
        (502, &[], "mine", "answer function_failed maybe"),
        (503, &[], PAGE, "fault unavailable maybe"),
        (503, &[], "closed on Sundays", "answer function_failed maybe"),
        (504, &[], "upstream request timeout", "fault timeout maybe"),
        (504, &[], "mine", "answer function_failed maybe"),
    ] {
        assert_eq!(row(&Front, status, headers, body), expected, "{status} {headers:?} {body}");
    }
}

#[test]
fn everything_that_is_wrong_is_said_with_its_place() {
    let all = wrong(json!({
        "project": "Shop", "functions": {"a/b": "https://a", "c": "http://c.example.com"},
        "audience": "", "impersonate": {"account": "nobody", "url": "http://iam.example.com"},
        "connect_timeout": "0s", "endpoint": "http://api.example.com"
    }));
    let expected = [
        "endpoint",
        "endpoint",
        "region",
        "functions.a/b",
        "functions.c",
        "connect_timeout",
        "audience",
        "impersonate",
        "impersonate.url",
    ];
    assert_eq!(all, expected);
    assert_eq!(wrong(json!({})), ["project"]);
    assert_eq!(wrong(json!({"region": "europe-west1"})), ["project"]);
    assert_eq!(wrong(json!({"project": "shop", "region": "West"})), ["region"]);
    let all = json!({
        "functions": {"a": "http://a.example.com"}, "auth": "none", "credentials": "metadata",
        "impersonate": "a@b", "audience": "x"
    });
    assert_eq!(wrong(all), ["credentials", "impersonate", "audience"]);
    let open = json!({"functions": {"a": "http://a.example.com"}, "auth": "none"});
    assert!(build(open).is_ok());
}

#[test]
fn a_token_is_for_the_function_that_is_called_unless_it_is_said_for_whom() {
    let shop = json!({
        "project": "shop-1", "region": "europe-west1",
        "functions": {"thumbnail": "https://thumbnail-x.a.run.app"}
    });
    let target = build(shop).unwrap();
    let audience = |target: &Target, name: &str| target.audience_of(name).unwrap();
    let usual = "https://europe-west1-shop-1.cloudfunctions.net/resize";
    assert_eq!(audience(&target, "resize"), usual);
    assert_eq!(audience(&target, "thumbnail"), "https://thumbnail-x.a.run.app");
    let own = json!({"functions": {"a": "https://a"}, "audience": "https://internal"});
    assert_eq!(audience(&build(own).unwrap(), "a"), "https://internal");
    for bad in ["", "a/b", "a.b", "1a", "../x", "a?b"] {
        assert!(target.names(&bad.parse().unwrap()).is_err(), "{bad}");
    }
    let listed = build(json!({"functions": {"a": "https://a"}})).unwrap();
    assert!(listed.names(&"b".parse().unwrap()).unwrap_err().1.contains("`functions`"));
    assert_eq!(listed.names(&"{b}".parse().unwrap()), Ok(()));
}

#[test]
fn a_key_that_is_none_is_refused_without_a_word_of_what_is_in_it() {
    use super::key::{BadKey, Key};
    assert_eq!(Key::read("hunter2").unwrap_err(), BadKey::Json);
    let key = |kind: &str| {
        let json = json!({"type": kind, "client_email": "a@b", "private_key": "hunter2"});
        Key::read(&json.to_string())
    };
    assert_eq!(key("authorized_user").unwrap_err(), BadKey::Kind);
    let key = key("service_account").unwrap();
    assert_eq!(key.token_uri, "https://oauth2.googleapis.com/token");
    let now = std::time::SystemTime::now();
    assert_eq!(key.assertion(("scope", "x"), now).unwrap_err(), BadKey::Pem);
    assert!(!format!("{key:?} {}", BadKey::Pem).contains("hunter2"));
}

#[test]
fn callers_bring_no_token_of_the_gateways() {
    let mut headers = HeaderMap::new();
    headers.insert(BESIDE, "Bearer forged".parse().unwrap());
    headers.insert(AUTHORIZATION, "Bearer own".parse().unwrap());
    remove_reserved(&mut headers);
    assert!(headers.contains_key(AUTHORIZATION) && headers.len() == 1);
}
