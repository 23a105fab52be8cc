use serde_json::json;

use super::*;
use crate::platform::rows::row;

fn build(json: serde_json::Value) -> Result<Target, Vec<(String, String)>> {
    Target::build(&"kn".parse().unwrap(), serde_json::from_value(json).unwrap())
}

fn wrong(json: serde_json::Value) -> Vec<String> {
    let all = build(json).unwrap_err();
    all.into_iter().map(|(path, _)| path).collect()
}

#[test]
fn every_row_of_a_services_table_means_what_it_says() {
    const ENVOY: (&str, &str) = ("server", "envoy");
    const BEHIND: (&str, &str) = ("x-envoy-upstream-service-time", "3");
    for (event, status, headers, body, expected) in [
        (false, 200, &[][..], "hi", "answer ok"),
        (false, 204, &[], "", "answer ok"),
        (false, 302, &[("location", "/x")], "", "answer ok"),
        (false, 404, &[ENVOY], "", "fault function_not_deployed no"),
        (false, 404, &[("server", "istio-envoy")], "", "fault function_not_deployed no"),
        (false, 404, &[ENVOY, BEHIND], "", "answer ok"),
        (false, 404, &[ENVOY], "no such order", "answer ok"),
        (false, 404, &[], "", "answer ok"),
        (false, 425, &[], "", "answer ok"),
        (true, 425, &[], "", "answer unprocessable no"),
        (false, 429, &[("retry-after", "7")], "", "answer throttled no"),
        (false, 500, &[], "", "answer function_failed maybe"),
        (false, 502, &[], "dial tcp 10.0.0.9:8012", "answer function_failed maybe"),
        (false, 503, &[], "pending request queue full\n", "fault throttled no after 1s"),
        (false, 503, &[ENVOY], "no healthy upstream", "fault unavailable no"),
        (false, 503, &[ENVOY, BEHIND], "no healthy upstream", "answer function_failed maybe"),
        (false, 503, &[], "context deadline exceeded\n", "answer function_failed maybe"),
        (false, 503, &[], "closed on Sundays", "answer function_failed maybe"),
        (false, 504, &[], "request timeout", "fault timeout maybe"),
        (false, 504, &[], "activator request timeout", "fault timeout maybe"),
        (false, 504, &[ENVOY], "upstream request timeout", "fault timeout maybe"),
        (false, 504, &[], "mine", "answer function_failed maybe"),
        (false, 504, &[], "", "answer function_failed maybe"),
    ] {
        let said = row(&Service { event }, status, headers, body);
        assert_eq!(said, expected, "{status} {headers:?} {body}");
    }
}

/// The whole table of the data plane contract, and whether the contract wants another try.
#[test]
fn every_row_of_the_data_plane_contract_means_what_it_says() {
    const EVENT: &[(&str, &str)] = &[("ce-id", "1"), ("ce-specversion", "1.0")];
    let receipt = |status: u16| {
        format!(
            "{{\"ack\":\"published\",\"guarantee\":\"broker-memory\",\"duplicate\":false,\
             \"receipt\":{{\"to\":\"broker:default\",\"status\":{status}}}}}"
        )
    };
    let function = "broker:default";
    for replies in [false, true] {
        let sink = Sink { function, replies };
        for status in [201, 202, 204, 299] {
            assert_eq!(row(&sink, status, EVENT, "a reply?"), receipt(status), "{status}");
        }
        for (status, headers, expected) in [
            (300, &[][..], "fault upstream_protocol no for good"),
            (302, &[("location", "/x")], "fault upstream_protocol no for good"),
            (400, &[], "fault bad_request no for good"),
            (401, &[], "fault upstream_auth no for good"),
            (403, &[], "fault upstream_auth no for good"),
            (404, &[], "fault function_not_deployed no"),
            (405, &[], "fault unprocessable no for good"),
            (408, &[], "fault timeout maybe"),
            (409, &[], "fault unavailable maybe"),
            (410, &[], "fault unprocessable no for good"),
            (413, &[], "fault too_large no for good"),
            (415, &[], "fault unsupported_media no for good"),
            (422, &[], "fault unprocessable no for good"),
            (425, &[], "fault unprocessable no for good"),
            (429, &[], "fault throttled no after 1s"),
            (429, &[("retry-after", "9")], "fault throttled no after 9s"),
            (500, &[], "fault function_failed maybe"),
            (502, &[], "fault function_failed maybe"),
            (503, &[("retry-after", "3")], "fault unavailable maybe after 3s"),
            (504, &[], "fault timeout maybe"),
            (599, &[], "fault function_failed maybe"),
        ] {
            assert_eq!(row(&sink, status, headers, "why"), expected, "{status} {headers:?}");
        }
    }
    assert_eq!(row(&Sink { function, replies: true }, 200, EVENT, "{}"), "answer ok");
    assert_eq!(row(&Sink { function, replies: false }, 200, EVENT, "{}"), receipt(200));
}

#[test]
fn everything_that_is_wrong_is_said_with_its_place() {
    let all = wrong(json!({
        "ingress": "http://kourier/path", "domain": "Example.com", "namespace": "A",
        "services": {"hello": "hello", "a/b": "http://a"}, "brokers": {"x": "http://u:p@b"},
        "connect_timeout": "0s"
    }));
    let expected = [
        "namespace",
        "domain",
        "ingress",
        "services.a/b",
        "services.hello",
        "brokers.x",
        "connect_timeout",
    ];
    assert_eq!(all, expected);
    assert_eq!(wrong(json!({})), ["ingress"]);
    assert_eq!(wrong(json!({"ingress": "http://a"})), ["domain"]);
    assert_eq!(wrong(json!({"domain": "a.b"})), ["ingress"]);
    let twice = json!({"brokers": {"a": "http://a", "a.default": "http://a"}});
    assert_eq!(wrong(twice), ["brokers.a.default"]);
}

#[test]
fn what_has_no_url_is_no_function() {
    let target = build(json!({
        "services": {"hello": "https://hello.example.com/base"}, "namespace": "shop",
        "brokers": {"default": "http://ingress/shop/default", "audit.other": "http://audit"}
    }))
    .unwrap();
    let names = |text: &str| target.names(&text.parse().unwrap());
    let good =
        ["hello", "hello.shop", "broker:default", "broker:audit.other", "{a}", "order-{a}.shop"];
    for good in good {
        assert_eq!(names(good), Ok(()), "{good}");
    }
    for (bad, remedy) in [
        ("", "broker:name"),
        ("{role}:default", "broker:name"),
        ("a/b", "broker:name"),
        ("hello.other", "`services`"),
        ("broker:audit", "`brokers`"),
        ("channel:default", "`channels`"),
    ] {
        assert!(names(bad).unwrap_err().1.contains(remedy), "{bad}");
    }
    let url = |text| target.url(&Function::parse(text).unwrap());
    assert_eq!(url("hello"), "https://hello.example.com/base");
    assert_eq!(url("broker:default"), "http://ingress/shop/default");
    assert_eq!(url("broker:audit.other"), "http://audit/");
}

#[test]
fn an_ingress_knows_services_by_their_hosts() {
    let target =
        build(json!({"ingress": "http://127.0.0.1:8080", "domain": "example.com"})).unwrap();
    let tools = Tools { secrets: Arc::new(schemas::secret::NoSecrets), outbox: Default::default() };
    let lane = Lane::new(Arc::new(target), &tools);
    assert_eq!(lane.host("hello").unwrap(), "hello.default.example.com");
    assert_eq!(lane.host("hello.shop").unwrap(), "hello.shop.example.com");
    assert!(lane.host("hello/../x").is_err());
}

#[test]
fn a_dead_letter_says_where_it_was_to_go_and_what_came_of_it() {
    let target = build(json!({"brokers": {"default": "http://b/shop/default"}})).unwrap();
    let body = [b'x'; 2000];
    let words = |ended: &Ended<'_>| {
        let words = target.words("broker:default", ended);
        words.into_iter().map(|(name, value)| (name, value.text().into_owned())).collect::<Vec<_>>()
    };
    let refused = words(&Ended::Answered(http::StatusCode::UNPROCESSABLE_ENTITY, &body));
    let dest = ("knativeerrordest", "http://b/shop/default".to_owned());
    assert_eq!(refused[..2], [dest.clone(), ("knativeerrorcode", "422".to_owned())]);
    assert_eq!((refused[2].0, refused[2].1.len()), ("knativeerrordata", 1024));
    let silent = words(&Ended::Answered(http::StatusCode::CONFLICT, b""));
    assert_eq!(silent, [dest.clone(), ("knativeerrorcode", "409".to_owned())]);
    let fault = Fault::new(Class::ConnectFailed, "refused");
    assert_eq!(
        words(&Ended::Failed(&fault))[1..],
        [
            ("knativeerrorcode", "500".to_owned()),
            ("knativeerrordata", "ZGlzcGF0Y2ggZXJyb3I6IHJlZnVzZWQ=".to_owned()),
        ]
    );
    let status = http::StatusCode::UNAUTHORIZED;
    let told = fault.because(said::Answered { status, start: b"who?".to_vec() });
    let code = ("knativeerrorcode", "401".to_owned());
    let data = ("knativeerrordata", "d2hvPw==".to_owned());
    assert_eq!(words(&Ended::Failed(&told)), [dest, code, data]);
}

#[test]
fn callers_bring_no_fields_of_knatives_own() {
    let mut headers = HeaderMap::new();
    for name in ["k-network-probe", "K-Proxy-Request", "knative-serving-tag", "kn", "x-k-a"] {
        headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), REPLY);
    }
    remove_reserved(&mut headers);
    let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["kn", "x-k-a"]);
}
