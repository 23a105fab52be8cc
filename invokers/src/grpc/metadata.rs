//! Headers of HTTP become metadata of gRPC, and the way back. All pass but those that speak of the
//! HTTP message or of the connection, and those that are gRPC's own.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::status::Status;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// What stands in front of the names of trailers where they come before the body.
const TRAILER: &str = "grpc-trailer-";
/// The longest time that fits into eight digits of milliseconds.
const MILLIS_MAX: u128 = 99_999_999;

/// Whether a request's header is of the HTTP message, which a gRPC call is not.
fn is_of_request(name: &str) -> bool {
    name.starts_with("accept")
        || name.starts_with("content-")
        || name.starts_with("if-")
        || name.starts_with("grpc-")
        || name.starts_with("access-control-")
        || name.starts_with("sec-")
        || matches!(
            name,
            "host"
                | "te"
                | "expect"
                | "range"
                | "cache-control"
                | "pragma"
                | "upgrade-insecure-requests"
                | "transfer-encoding"
                | "connection"
        )
}

/// Makes metadata of a request's headers.
pub(super) fn request(headers: &mut HeaderMap) {
    let foreign: Vec<HeaderName> =
        headers.keys().filter(|name| is_of_request(name.as_str())).cloned().collect();
    for name in foreign {
        headers.remove(name);
    }
    speak_grpc(headers);
}

/// Says what every call says that is made here.
pub(super) fn speak_grpc(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, GRPC);
    // Whoever does not say so may be taken for a proxy that drops trailers.
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("identity,gzip"));
}

/// Tells the server how long its answer is waited for.
pub(super) fn timeout(headers: &mut HeaderMap, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let text = format!("{}m", left.as_millis().min(MILLIS_MAX));
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(GRPC_TIMEOUT, value);
    }
}

/// Whether compressed messages are gzip.
pub(super) fn is_gzip(headers: &HeaderMap) -> bool {
    headers.get(GRPC_ENCODING).is_some_and(|encoding| encoding == "gzip")
}

/// Takes the trailers out of a head that is the end of its answer, too ("Trailers-Only"), with the
/// status that makes it one.
pub(super) fn trailers_only(headers: &mut HeaderMap) -> Option<(Status, HeaderMap)> {
    let status = Status::read(headers)?;
    Some((status, std::mem::take(headers)))
}

/// Whether an answer's header is of the HTTP message, or gRPC's own.
fn is_of_reply(name: &HeaderName) -> bool {
    name.as_str().starts_with("grpc-")
        || name.as_str().starts_with("content-")
        || *name == header::TRAILER
}

/// Makes headers of what an answer began with.
pub(super) fn reply(headers: &mut HeaderMap) {
    let foreign: Vec<HeaderName> =
        headers.keys().filter(|name| is_of_reply(name)).cloned().collect();
    for name in foreign {
        headers.remove(name);
    }
}

/// Puts the status, and the trailers that came with it, in front of the body.
pub(super) fn trailers(headers: &mut HeaderMap, status: &Status, trailers: &HeaderMap) {
    status.write(headers);
    for (name, value) in trailers {
        if is_of_reply(name) || name == header::DATE {
            continue;
        }
        if let Ok(name) = HeaderName::try_from(format!("{TRAILER}{name}")) {
            headers.append(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    fn headers(names: &[&'static str]) -> HeaderMap {
        let pair = |name: &&'static str| (HeaderName::from_static(name), HeaderValue::from(1));
        names.iter().map(pair).collect()
    }

    #[test]
    fn headers_of_the_http_message_are_no_metadata() {
        let mut all = headers(&[
            "accept",
            "accept-encoding",
            "authorization",
            "content-length",
            "content-type",
            "cookie",
            "expect",
            "grpc-timeout",
            "host",
            "if-match",
            "traceparent",
            "user-agent",
            "x-request-id",
        ]);
        request(&mut all);
        let kept = [
            "authorization",
            "content-type",
            "cookie",
            "grpc-accept-encoding",
            "te",
            "traceparent",
            "user-agent",
            "x-request-id",
        ];
        assert_eq!(names(&all), kept);
        assert_eq!(all[header::CONTENT_TYPE], GRPC);
    }

    #[test]
    fn metadata_of_an_answer_becomes_headers_and_its_trailers_have_a_name_of_their_own() {
        let mut all = headers(&["content-type", "grpc-encoding", "x-answer", "date"]);
        reply(&mut all);
        let status = Status::new(super::super::status::Code::NotFound, "no");
        trailers(&mut all, &status, &headers(&["grpc-status", "x-cost"]));
        let expected = ["date", "grpc-message", "grpc-status", "grpc-trailer-x-cost", "x-answer"];
        assert_eq!(names(&all), expected);
    }

    #[test]
    fn a_head_that_is_the_end_has_trailers_alone() {
        let mut all = headers(&["content-type", "date", "grpc-encoding", "x-cost"]);
        assert_eq!(trailers_only(&mut all), None);
        all.insert("grpc-status", HeaderValue::from(5));
        let (status, rest) = trailers_only(&mut all).unwrap();
        assert!(all.is_empty());
        trailers(&mut all, &status, &rest);
        assert_eq!(names(&all), ["grpc-status", "grpc-trailer-x-cost"]);
    }

    #[test]
    fn a_deadline_is_told_in_milliseconds() {
        let mut all = HeaderMap::new();
        timeout(&mut all, Instant::now() + Duration::from_secs(60));
        let text = all[GRPC_TIMEOUT].to_str().unwrap().to_owned();
        assert!(text.ends_with('m') && text.len() == 6, "{text}");
        timeout(&mut all, Instant::now());
        assert_eq!(all[GRPC_TIMEOUT], "1m");
        timeout(&mut all, Instant::now() + Duration::from_secs(1 << 32));
        assert_eq!(all[GRPC_TIMEOUT], "99999999m");
    }
}
