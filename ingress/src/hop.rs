//! Headers that belong to one connection alone (RFC 9110, section 7.6.1).

use http::{HeaderMap, HeaderName, HeaderValue, header};

const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// What a caller can not have removed by naming it in Connection.
const KEPT: [HeaderName; 3] = [header::HOST, header::AUTHORIZATION, header::CONTENT_LENGTH];

fn is_hop(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::TRANSFER_ENCODING
        || *name == header::TE
        || *name == header::UPGRADE
        || *name == KEEP_ALIVE
        || *name == PROXY_CONNECTION
        || *name == header::PROXY_AUTHORIZATION
        || *name == header::PROXY_AUTHENTICATE
}

/// Takes them out, with those that Connection names, but never framing, Host or Authorization. That
/// the caller takes trailers is said on: the gateway takes them too, and hands them through.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let mut go: Vec<HeaderName> = headers.keys().filter(|name| is_hop(name)).cloned().collect();
    for value in headers.get_all(header::CONNECTION) {
        go.extend(
            value
                .to_str()
                .unwrap_or_default()
                .split(',')
                .filter_map(|name| name.trim().parse::<HeaderName>().ok())
                .filter(|name| !KEPT.contains(name)),
        );
    }
    let trailers = headers.get_all(header::TE).iter().any(|value| {
        value
            .to_str()
            .unwrap_or_default()
            .split(',')
            .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
    });
    for name in go {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// The protocol that a request asks to change to, if it asks.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = headers.get(header::UPGRADE)?;
    let named = headers.get_all(header::CONNECTION).iter().any(|value| {
        value
            .to_str()
            .unwrap_or_default()
            .split(',')
            .any(|name| name.trim().eq_ignore_ascii_case("upgrade"))
    });
    named.then(|| wanted.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &[(&'static str, &'static str)], left: &[&str]) {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, left);
    }

    #[test]
    fn hop_by_hop_headers_go_and_framing_host_and_authorization_stay() {
        check(&[("host", "a"), ("accept", "b")], &["accept", "host"]);
        check(
            &[("connection", "close, X-Mine"), ("x-mine", "1"), ("te", "gzip"), ("a", "b")],
            &["a"],
        );
        check(&[("connection", "te"), ("te", "gzip, Trailers")], &["te"]);
        check(
            &[
                ("connection", "host, authorization, content-length"),
                ("host", "a"),
                ("authorization", "b"),
                ("content-length", "1"),
            ],
            &["authorization", "content-length", "host"],
        );
    }

    #[test]
    fn an_upgrade_is_asked_for_by_both_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", HeaderValue::from_static("websocket"));
        assert_eq!(upgrade(&headers), None);
        headers.insert("connection", HeaderValue::from_static("keep-alive, Upgrade"));
        assert_eq!(upgrade(&headers).unwrap(), "websocket");
    }
}
