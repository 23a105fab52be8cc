use super::*;
use crate::{edge::Network, glance::Glance};

const PROXY: &str = "10.0.0.1";
const STRANGER: &str = "203.0.113.9";

fn proxies() -> Proxies {
    ["10.0.0.0/8", "2001:db8::/32"]
        .map(|text| text.parse::<Network>().unwrap())
        .into_iter()
        .collect()
}

/// What becomes of these headers if they come from this peer: the client, and what is sent on.
fn pass(peer: &str, given: &[(&str, &str)]) -> Result<(String, Vec<String>), Fault> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    let (hop, proxies) = (Hop::new(peer.parse().unwrap()), proxies());
    let told = Glance::of(&headers).told;
    let mut origin = Origin::new(&hop, &proxies);
    origin.read(&mut headers, told, &proxies)?;
    origin.write(&mut headers, Some(HeaderValue::from_static("shop.test")));
    let mut sent: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    sent.sort_unstable();
    Ok((origin.client.to_string(), sent))
}

#[track_caller]
fn client(peer: &str, given: &[(&str, &str)], expected: &str) {
    assert_eq!(pass(peer, given).unwrap().0, expected, "{given:?}");
}

#[test]
fn what_a_stranger_says_is_replaced() {
    let lies = [
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-for", "10.0.0.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "bank.test"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-prefix", "/admin"),
        ("forwarded", "for=1.2.3.4;host=bank.test"),
        ("x-real-ip", "1.2.3.4"),
        ("x-original-url", "/admin"),
        ("x-rewrite-url", "/admin"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "a=b"),
        ("b3", "0"),
        ("x-kept", "1"),
    ];
    let (client, mut sent) = pass(STRANGER, &lies).unwrap();
    assert_eq!(client, STRANGER);
    // A trace of its own, sampled as was said.
    let at = sent.iter().position(|line| line.starts_with("traceparent: 00-")).unwrap();
    let trace = sent.remove(at);
    assert!(
        !trace.contains("0af7651916cd43dd8448eb211c80319c") && trace.ends_with("-01"),
        "{trace}"
    );
    let told = [
        "x-forwarded-for: 203.0.113.9",
        "x-forwarded-host: shop.test",
        "x-forwarded-proto: http",
        "x-kept: 1",
    ];
    assert_eq!(sent, told);
    assert_eq!(pass(STRANGER, &[("x-kept", "1")]).unwrap().1, told);
}

#[test]
fn what_a_trusted_proxy_says_is_extended() {
    let said = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-for", "10.0.0.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "bank.test"),
        ("x-forwarded-port", "443"),
        ("forwarded", "for=203.0.113.9"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "a=b"),
    ];
    let (client, sent) = pass(PROXY, &said).unwrap();
    assert_eq!(client, "203.0.113.9");
    assert_eq!(
        sent,
        [
            "forwarded: for=203.0.113.9, for=10.0.0.1;proto=http",
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "tracestate: a=b",
            "x-forwarded-for: 203.0.113.9, 10.0.0.7, 10.0.0.1",
            "x-forwarded-host: bank.test",
            "x-forwarded-port: 443",
            "x-forwarded-proto: https",
        ]
    );
    let (_, sent) = pass("2001:db8::7", &[("forwarded", "for=unknown")]).unwrap();
    assert_eq!(
        sent,
        [
            "forwarded: for=unknown, for=\"[2001:db8::7]\";proto=http",
            "x-forwarded-for: 2001:db8::7",
            "x-forwarded-host: shop.test",
            "x-forwarded-proto: http",
        ]
    );
}

#[test]
fn the_client_is_the_nearest_hop_that_is_no_trusted_proxy() {
    client(PROXY, &[], PROXY);
    client(PROXY, &[("x-forwarded-for", "1.2.3.4")], "1.2.3.4");
    client(PROXY, &[("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.2")], "1.2.3.4");
    client(
        PROXY,
        &[("x-forwarded-for", "6.6.6.6, 1.2.3.4"), ("x-forwarded-for", "10.1.1.1")],
        "1.2.3.4",
    );
    client(PROXY, &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3");
    client("::ffff:10.0.0.1", &[("x-forwarded-for", "1.2.3.4")], "1.2.3.4");
    client(PROXY, &[("x-forwarded-for", "::ffff:1.2.3.4")], "1.2.3.4");
    client(PROXY, &[("x-forwarded-for", "1.2.3.4:5678, 10.0.0.2:1")], "1.2.3.4");
    client(PROXY, &[("x-forwarded-for", "[2001:db9::1]:5678")], "2001:db9::1");
    client(PROXY, &[("x-forwarded-for", "2001:db9::1, 2001:db8::2")], "2001:db9::1");
}

#[test]
fn a_hop_that_hides_what_was_before_it_counts_itself() {
    client(PROXY, &[("x-forwarded-for", "1.2.3.4, unknown, 10.0.0.2")], "10.0.0.2");
    client(PROXY, &[("x-forwarded-for", "1.2.3.4, ")], PROXY);
    client(PROXY, &[("x-forwarded-for", "")], PROXY);
    client(PROXY, &[("x-forwarded-for", "1.2.3.4, 0x7f.1")], PROXY);
}

#[test]
fn forwarded_is_read_where_there_is_no_x_forwarded_for() {
    client(PROXY, &[("forwarded", "for=1.2.3.4;proto=https, for=10.0.0.2")], "1.2.3.4");
    client(PROXY, &[("forwarded", "proto=https;For=\"[2001:db9::1]:47\"")], "2001:db9::1");
    client(PROXY, &[("forwarded", "for=\"_hidden\"")], PROXY);
    client(PROXY, &[("forwarded", "for=1.2.3.4"), ("x-forwarded-for", "5.6.7.8")], "5.6.7.8");
}

#[test]
fn lists_of_hops_have_a_bound() {
    let list = |hops: usize| vec!["10.0.0.2"; hops].join(",");
    for name in ["x-forwarded-for", "forwarded"] {
        assert!(pass(PROXY, &[(name, &list(HOPS))]).is_ok());
        let fault = pass(PROXY, &[(name, &list(HOPS)), (name, "1.2.3.4")]).unwrap_err();
        assert_eq!(fault.code, Some("bad_forwarded"));
        // A stranger's is thrown away unread.
        assert!(pass(STRANGER, &[(name, &list(HOPS * 10))]).is_ok());
    }
}

#[test]
fn a_trace_that_cannot_be_read_is_dropped_whoever_sends_it() {
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (parent, kept) in [
        (good, true),
        ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", true),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", false),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
        ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
        ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
        ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false),
        ("00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01", false),
        ("", false),
        ("x", false),
    ] {
        let (_, sent) = pass(PROXY, &[("traceparent", parent), ("tracestate", "a=b")]).unwrap();
        assert_eq!(sent.iter().any(|line| line.starts_with("trace")), kept, "{parent}");
    }
    let (_, sent) = pass(PROXY, &[("traceparent", good), ("traceparent", good)]).unwrap();
    assert!(!sent.iter().any(|line| line.starts_with("trace")), "{sent:?}");
}
