//! Case 23: what a stranger says of where a request comes from is replaced, and what a trusted proxy
//! says is extended.

use super::{through, through_with};
use crate::support::{Gateway, Strict};

const LIES: &str = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\n\
X-Forwarded-Host: bank.test\r\nX-Forwarded-Port: 443\r\nForwarded: for=6.6.6.6;host=bank.test\r\n\
X-Real-IP: 6.6.6.6\r\nX-Original-URL: /admin\r\nX-Request-Id: chosen\r\n\
traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=b\r\n";

fn ask(gateway: &Gateway, headers: &str) -> String {
    let answer = gateway.send(format!("GET /x HTTP/1.1\r\nHost: shop.test\r\n{headers}\r\n"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-request-id").unwrap().to_owned()
}

#[test]
fn what_a_stranger_says_is_replaced_even_on_loopback() {
    let service = Strict::start();
    let gateway = through(&service.url());
    let id = ask(&gateway, LIES);
    assert_eq!(id, "chosen", "an id names a request, and proves nothing");
    let heard = service.heard().remove(0);
    assert_eq!(heard.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(heard.all("x-forwarded-proto"), ["http"]);
    assert_eq!(heard.all("x-forwarded-host"), ["shop.test"]);
    assert_eq!(heard.all("x-request-id"), [id.as_str()]);
    for gone in ["x-forwarded-port", "forwarded", "x-real-ip", "x-original-url", "tracestate"] {
        assert!(heard.all(gone).is_empty(), "{gone} got through");
    }
    let [parent] = heard.all("traceparent")[..] else { panic!("{heard:?}") };
    assert!(parent.starts_with("00-") && parent.ends_with("-01"), "{parent}");
    assert!(!parent.contains("0af7651916cd43dd8448eb211c80319c"), "{parent}");
    assert!(!parent.contains("b7ad6b7169203331"), "{parent}");
    assert_eq!(gateway.record(&id)["peer"], "127.0.0.1");
}

#[test]
fn what_a_trusted_proxy_says_is_believed_and_extended() {
    let service = Strict::start();
    let gateway = through_with(&service.url(), "trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]", "");
    let id = ask(
        &gateway,
        &LIES.replace("6.6.6.6\r\nX-Forwarded-For", "6.6.6.6, 203.0.113.9\r\nX-Forwarded-For"),
    );
    assert_eq!(id, "chosen");
    let heard = service.heard().remove(0);
    assert_eq!(heard.all("x-forwarded-for"), ["6.6.6.6, 203.0.113.9, 10.0.0.1, 127.0.0.1"]);
    assert_eq!(heard.all("x-forwarded-proto"), ["https"]);
    assert_eq!(heard.all("x-forwarded-host"), ["bank.test"]);
    assert_eq!(heard.all("x-forwarded-port"), ["443"]);
    assert_eq!(heard.all("forwarded"), ["for=6.6.6.6;host=bank.test, for=127.0.0.1;proto=http"]);
    assert_eq!(heard.all("tracestate"), ["a=b"]);
    // The nearest that is no trusted proxy; what stands before it may be a lie.
    assert_eq!(gateway.record("chosen")["peer"], "203.0.113.9");
}

#[test]
fn connection_cannot_take_out_what_the_gateway_says() {
    let service = Strict::start();
    let gateway = through(&service.url());
    ask(&gateway, "Connection: close, X-Forwarded-For, X-Forwarded-Proto, X-Request-Id, Host\r\n");
    let heard = service.heard().remove(0);
    for kept in ["x-forwarded-for", "x-forwarded-proto", "x-request-id", "host"] {
        assert_eq!(heard.all(kept).len(), 1, "{kept}");
    }
}

#[test]
fn a_lie_is_no_condition_and_no_placeholder_either() {
    let service = Strict::start();
    let gateway = Gateway::start(&format!(
        "upstreams: {{ web: {{ kind: http, url: {} }} }}
routes:
  - name: inside
    match: {{ prefix: /, headers: {{ x-forwarded-proto: https }} }}
    respond: {{ body: fooled }}
  - name: all
    match: {{ prefix: / }}
    to: web
    headers: {{ request: {{ set: {{ x-seen: \"{{header.x-forwarded-for:-none}}\" }} }} }}
",
        service.url()
    ));
    ask(&gateway, LIES);
    assert_eq!(service.heard().remove(0).all("x-seen"), ["none"]);
}

#[test]
fn a_list_of_too_many_hops_is_refused() {
    let service = Strict::start();
    let gateway = through_with(&service.url(), "trusted_proxies: [127.0.0.1]", "");
    let hops = vec!["10.0.0.1"; 40].join(", ");
    gateway
        .send(format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: {hops}\r\n\r\n"))
        .problem(400, "bad_forwarded");
    assert!(service.heard().is_empty());
}

#[test]
fn a_limit_by_address_counts_the_client_behind_a_trusted_proxy_and_nobody_it_makes_up() {
    let service = Strict::start();
    let limit = "    policy: { rate_limit: [{ rate: 1/m, key: address }] }\n";
    let ask = |gateway: &Gateway, hops: &str| {
        let request = format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: {hops}\r\n\r\n");
        gateway.send(request).status
    };
    let behind = through_with(&service.url(), "trusted_proxies: [127.0.0.1]", limit);
    let said = ["1.1.1.1", "1.1.1.1", "9.9.9.9, 1.1.1.1", "2.2.2.2"].map(|hops| ask(&behind, hops));
    assert_eq!(said, [200, 429, 429, 200]);
    let open = through_with(&service.url(), "", limit);
    assert_eq!(["1.1.1.1", "2.2.2.2"].map(|hops| ask(&open, hops)), [200, 429]);
}
