//! Which headers belong to one connection alone (RFC 9110, section 7.6.1), and which may stand
//! behind a body (section 6.5.1). The one list of each.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Trailers that one message may have, and their bytes, names and values together.
const TRAILERS: usize = 64;
const TRAILER_BYTES: usize = 16 << 10;

/// Whether a header of this name, in lower case, concerns one connection alone. `Trailer` does not:
/// it announces what comes after the body, and that passes on.
#[must_use]
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "te"
            | "upgrade"
            | "keep-alive"
            | "http2-settings"
            | "proxy-connection"
            | "transfer-encoding"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-authentication-info"
    )
}

/// Whether a header stays although Connection names it: framing, what routes and policies have
/// looked at already, and what the gateway itself says. Else a caller could have one thing looked at
/// and another sent, or take from a service what it trusts the gateway to tell.
fn stays(name: &str) -> bool {
    matches!(name, "host" | "authorization" | "cookie" | "set-cookie" | "forwarded")
        || ["content-", "ce-", "x-forwarded-", "x-request-id"].iter().any(|p| name.starts_with(p))
}

/// Takes the headers of one connection out of a request's, with those that Connection names. That
/// the caller takes trailers is said on: the gateway takes them too, and hands them through.
pub fn strip_request(headers: &mut HeaderMap) {
    let trailers = lists(headers, &header::TE, "trailers");
    strip(headers);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Takes the headers of one connection out of an answer's, with those that Connection names. A
/// connection that has `switched` keeps `Upgrade`, which says to what.
pub fn strip_response(headers: &mut HeaderMap, switched: bool) {
    let protocol = if switched { headers.remove(header::UPGRADE) } else { None };
    strip(headers);
    if let Some(protocol) = protocol {
        headers.insert(header::UPGRADE, protocol);
    }
}

fn strip(headers: &mut HeaderMap) {
    // What nearly everybody says of a connection names no header.
    let known = headers.keys().filter(|name| is_hop_by_hop(name.as_str())).count();
    if known == 1 && headers.get_all(header::CONNECTION).iter().eq(["keep-alive"]) {
        headers.remove(header::CONNECTION);
        return;
    }
    let named = headers.get_all(header::CONNECTION).iter();
    let named = named.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let named = named.filter_map(|name| name.trim().parse::<HeaderName>().ok());
    let named = named.filter(|name| !stays(name.as_str()));
    let known = headers.keys().filter(|name| is_hop_by_hop(name.as_str())).cloned();
    for name in named.chain(known).collect::<Vec<_>>() {
        headers.remove(name);
    }
}

/// Whether the header, a list of words, has this one.
#[must_use]
pub fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|listed| {
            // Parameters, such as the weight of a coding, are no part of the word.
            let listed = listed.split(';').next().unwrap_or_default();
            listed.trim().eq_ignore_ascii_case(word)
        })
    })
}

/// More trailers than a message may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyTrailers;

impl fmt::Display for TooManyTrailers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "more than {TRAILERS} trailers, or more than {TRAILER_BYTES} bytes of them")
    }
}

impl std::error::Error for TooManyTrailers {}

/// Drops every trailer that would mean something if whoever reads it next put it among the headers.
/// No one may be told who asks, for what, from where or how the message is framed after everybody
/// in between has looked at the headers (RFC 9110, section 6.5.1).
///
/// # Errors
/// If there are too many of them, or too large ones.
pub fn filter_trailers(trailers: &mut HeaderMap) -> Result<(), TooManyTrailers> {
    let bytes: usize = trailers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if trailers.len() > TRAILERS || bytes > TRAILER_BYTES {
        return Err(TooManyTrailers);
    }
    drop_unfit(trailers);
    Ok(())
}

/// Drops them whatever their number.
pub(crate) fn drop_unfit(trailers: &mut HeaderMap) {
    if trailers.keys().any(|name| !fits_trailer(name.as_str())) {
        let bad: Vec<HeaderName> =
            trailers.keys().filter(|name| !fits_trailer(name.as_str())).cloned().collect();
        for name in bad {
            trailers.remove(name);
        }
    }
}

fn fits_trailer(name: &str) -> bool {
    // Many a server reads `_` as `-`.
    let dashed;
    let name = if name.contains('_') {
        dashed = name.replace('_', "-");
        &dashed
    } else {
        name
    };
    let at_the_head = matches!(
        name,
        "host"
            | "age"
            | "date"
            | "vary"
            | "range"
            | "allow"
            | "cookie"
            | "expect"
            | "origin"
            | "pragma"
            | "expires"
            | "location"
            | "refresh"
            | "trailer"
            | "warning"
            | "forwarded"
            | "x-real-ip"
            | "set-cookie"
            | "set-cookie2"
            | "retry-after"
            | "max-forwards"
            | "authorization"
            | "cache-control"
            | "idempotency-key"
            | "www-authenticate"
            | "x-http-method-override"
            | "strict-transport-security"
    );
    !at_the_head
        && !is_hop_by_hop(name)
        && !["content-", "if-", "ce-", "x-forwarded-", "x-request-id", "access-control-", "sec-"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[track_caller]
    fn check(given: &[(&'static str, &'static str)], left: &[&str]) {
        let mut headers = map(given);
        strip_request(&mut headers);
        assert_eq!(names(&headers), left);
    }

    #[test]
    fn hop_by_hop_headers_go_with_those_that_connection_names() {
        check(&[("host", "a"), ("accept", "b")], &["accept", "host"]);
        check(&[("connection", "keep-alive"), ("accept", "b")], &["accept"]);
        check(&[("connection", "keep-alive"), ("keep-alive", "timeout=5")], &[]);
        check(
            &[("connection", "close, X-Mine"), ("x-mine", "1"), ("te", "gzip"), ("a", "b")],
            &["a"],
        );
        check(&[("connection", "x-a"), ("connection", "x-b"), ("x-a", "1"), ("x-b", "1")], &[]);
        check(&[("connection", "te"), ("te", "gzip, Trailers;q=0.5")], &["te"]);
    }

    #[test]
    fn connection_cannot_take_framing_nor_what_was_looked_at() {
        let kept = [
            "authorization",
            "ce-type",
            "content-length",
            "content-type",
            "cookie",
            "forwarded",
            "host",
            "x-forwarded-for",
            "x-request-id",
        ];
        let mut headers = map(&kept.map(|name| (name, "1")));
        headers.insert("connection", HeaderValue::try_from(kept.join(", ")).unwrap());
        strip_request(&mut headers);
        assert_eq!(names(&headers), kept);
    }

    #[test]
    fn an_answer_keeps_upgrade_only_if_the_protocol_has_changed() {
        for (switched, left) in [(true, &["upgrade"][..]), (false, &[])] {
            let mut headers = map(&[("connection", "upgrade"), ("upgrade", "websocket")]);
            strip_response(&mut headers, switched);
            assert_eq!(names(&headers), left);
        }
    }

    #[test]
    fn trailers_that_would_mean_something_as_headers_are_dropped() {
        let mut trailers = map(&[
            ("grpc-status", "0"),
            ("x-sum", "1"),
            ("server-timing", "a"),
            ("host", "evil"),
            ("content-length", "5"),
            ("content_length", "5"),
            ("transfer-encoding", "chunked"),
            ("transfer_encoding", "chunked"),
            ("authorization", "Basic x"),
            ("cookie", "a=b"),
            ("set-cookie", "a=b"),
            ("connection", "close"),
            ("x-forwarded-for", "1.2.3.4"),
            ("ce-type", "a"),
            ("if-match", "*"),
            ("trailer", "x"),
        ]);
        filter_trailers(&mut trailers).unwrap();
        assert_eq!(names(&trailers), ["grpc-status", "server-timing", "x-sum"]);
    }

    #[test]
    fn trailers_have_a_bound() {
        let mut many = HeaderMap::new();
        for at in 0..=TRAILERS {
            many.append("x-many", HeaderValue::from(at));
        }
        assert_eq!(filter_trailers(&mut many), Err(TooManyTrailers));
        let mut large = HeaderMap::new();
        large.insert("x-large", HeaderValue::try_from("x".repeat(TRAILER_BYTES)).unwrap());
        assert_eq!(filter_trailers(&mut large), Err(TooManyTrailers));
    }
}
