//! One look over a request's headers. Asking the map for each name that matters would hash a dozen
//! names, of which nearly all are absent; a request has a handful of headers, and one pass sees them
//! all.

use http::{HeaderMap, HeaderValue};
use http1::hop;

use crate::edge::Told;

/// What the steps need to know of a request's headers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Glance {
    /// Names and values together, with the four bytes that separate them on the wire.
    pub(crate) bytes: usize,
    /// How many Host headers there are.
    pub(crate) hosts: usize,
    /// Whether one of them is not text.
    pub(crate) odd_host: bool,
    /// Whether any header belongs to the connection alone.
    pub(crate) hop: bool,
    /// Whether a change of protocol may be asked for.
    pub(crate) upgrade: bool,
    /// Whether the request brings an id.
    pub(crate) request_id: bool,
    /// Whether it may be an event; if not, it is a plain request for sure.
    pub(crate) event: bool,
    /// Whether it speaks gRPC, or gRPC-Web.
    pub(crate) grpc: bool,
    /// Whether its body is messages that may come one by one, and need not end.
    pub(crate) streams: bool,
    /// What strangers may not say.
    pub(crate) told: Told,
    /// The length that is announced for the body.
    pub(crate) content_length: Option<u64>,
}

impl Glance {
    /// Looks.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for (name, value) in headers {
            let name = name.as_str();
            seen.bytes += name.len() + value.len() + 4;
            match name {
                "host" => {
                    seen.hosts += 1;
                    seen.odd_host |= value.to_str().is_err();
                }
                "content-length" => seen.content_length = number(value),
                "content-type" => {
                    seen.event |= starts(value, b"application/cloudevents");
                    seen.grpc |= starts(value, b"application/grpc");
                    seen.streams |= seen.grpc
                        || starts(value, b"application/x-ndjson")
                        || starts(value, b"application/jsonl");
                }
                "x-request-id" => seen.request_id = true,
                "upgrade" => {
                    seen.hop = true;
                    seen.upgrade = true;
                }
                name if hop::is_hop_by_hop(name) => seen.hop = true,
                _ => {
                    seen.event |= name.starts_with("ce-");
                    seen.told.look(name);
                }
            }
        }
        seen
    }
}

fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

/// Whether a media type begins so.
fn starts(value: &HeaderValue, with: &[u8]) -> bool {
    let value = value.as_bytes().trim_ascii_start();
    value.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&'static str, &'static str)]) -> Glance {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        Glance::of(&map)
    }

    #[test]
    fn a_plain_request_is_seen_as_one() {
        let seen = of(&[("host", "a"), ("accept", "*/*"), ("content-type", "application/json")]);
        assert!(!seen.event && !seen.hop && !seen.upgrade && !seen.request_id);
        assert_eq!((seen.hosts, seen.bytes), (1, 9 + 13 + 32));
    }

    #[test]
    fn whatever_may_be_an_event_is_looked_at_more_closely() {
        assert!(of(&[("ce-id", "1")]).event);
        assert!(of(&[("content-type", " Application/CloudEvents-Batch+json")]).event);
        assert!(!of(&[("content-type", "application/cloud")]).event);
    }

    #[test]
    fn grpc_is_seen_by_its_media_type() {
        assert!(of(&[("content-type", "application/grpc+proto")]).grpc);
        assert!(of(&[("content-type", "Application/gRPC-Web-Text")]).grpc);
        assert!(!of(&[("content-type", "application/json")]).grpc);
    }

    #[test]
    fn hosts_hop_by_hop_headers_and_lengths_are_seen() {
        let seen = of(&[("host", "a"), ("host", "b"), ("upgrade", "x"), ("content-length", "12")]);
        assert!(seen.hop && seen.upgrade);
        assert_eq!((seen.hosts, seen.content_length), (2, Some(12)));
        assert!(of(&[("x-forwarded-for", "1")]).told.forwarded && of(&[("b3", "0")]).told.trace);
        assert!(of(&[("a_b", "1")]).told.underscore && !of(&[("accept", "_")]).told.underscore);
        assert_eq!(of(&[("content-length", "1, 2")]).content_length, None);
        assert!(of(&[("te", "trailers")]).hop);
    }
}
