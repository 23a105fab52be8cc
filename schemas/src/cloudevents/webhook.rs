//! The webhook handshake (CloudEvents HTTP webhooks, section 4): a sender asks with OPTIONS whether
//! it may deliver here, and how often.

use std::num::NonZeroU32;

use http::{HeaderMap, HeaderName, HeaderValue, header::ALLOW};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which senders may deliver events to a route by webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// The origins that may deliver, such as `eventgrid.azure.net`, compared exactly; `*` allows
    /// every origin.
    pub origins: Vec<String>,
    /// How many requests a minute a sender is told that it may make; none: it is told `*`, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<NonZeroU32>,
}

/// Answers the handshake: the headers of the answer to an OPTIONS request, or `None` if the request
/// is no handshake. Consent is `WebHook-Allowed-Origin` and `WebHook-Allowed-Rate` together; without
/// them the sender is denied, as it is where its origin is missing from `allowed`, there is no
/// `allowed`, or it names two origins.
///
/// An asynchronous grant (`WebHook-Request-Callback`) is never given: a caller would choose which
/// address is called from here.
#[must_use]
pub fn answer(request: &HeaderMap, allowed: Option<&Allowed>) -> Option<HeaderMap> {
    let mut origins = request.get_all(&REQUEST_ORIGIN).iter();
    let origin = origins.next()?;
    let mut answer = HeaderMap::from_iter([(ALLOW, HeaderValue::from_static("POST"))]);
    let known = |allowed: &&Allowed| {
        let known = |known: &String| known == "*" || known.as_bytes() == origin.as_bytes();
        allowed.origins.iter().any(known)
    };
    if let Some(allowed) = allowed.filter(known)
        && origins.next().is_none()
        && !origin.is_empty()
    {
        let rate = allowed.rate.map_or(HeaderValue::from_static("*"), |rate| rate.get().into());
        answer.insert(ALLOWED_ORIGIN.clone(), origin.clone());
        answer.insert(ALLOWED_RATE.clone(), rate);
    }
    Some(answer)
}

static REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
static ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
static ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks with these origins and a rate; shows the answer's headers.
    fn ask(origins: &[&'static str], allowed: &str) -> Option<Vec<String>> {
        let mut request = HeaderMap::new();
        request.insert("webhook-request-rate", HeaderValue::from_static("120"));
        for origin in origins {
            request.append(&REQUEST_ORIGIN, HeaderValue::from_static(origin));
        }
        let allowed: Option<Allowed> = serde_json::from_str(allowed).unwrap();
        let headers = answer(&request, allowed.as_ref())?;
        let show = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        Some(headers.iter().map(show).collect())
    }

    fn granted(origin: &str, rate: &str) -> Option<Vec<String>> {
        Some(vec![
            "allow: POST".to_owned(),
            format!("webhook-allowed-origin: {origin}"),
            format!("webhook-allowed-rate: {rate}"),
        ])
    }

    #[test]
    fn a_known_origin_is_granted_with_the_rate() {
        let both = r#"{"origins": ["a.example.com", "b.example.com"], "rate": 100}"#;
        assert_eq!(ask(&["b.example.com"], both), granted("b.example.com", "100"));
        assert_eq!(ask(&["a"], r#"{"origins": ["a"]}"#), granted("a", "*"));
        assert_eq!(ask(&["any"], r#"{"origins": ["*"]}"#), granted("any", "*"));
    }

    #[test]
    fn an_origin_is_compared_exactly() {
        let denied = Some(vec!["allow: POST".to_owned()]);
        let one = r#"{"origins": ["example.com"], "rate": 1}"#;
        for origin in ["example.com.evil.org", "a.example.com", "example", "EXAMPLE.com", "*", ""] {
            assert_eq!(ask(&[origin], one), denied, "{origin}");
        }
        assert_eq!(ask(&["example.com", "example.com"], one), denied);
        assert_eq!(ask(&["example.com"], r#"{"origins": []}"#), denied);
        assert_eq!(ask(&["example.com"], "null"), denied);
        assert_eq!(ask(&[""], r#"{"origins": ["*"]}"#), denied);
    }

    #[test]
    fn a_request_without_an_origin_is_no_handshake() {
        assert_eq!(ask(&[], r#"{"origins": ["*"]}"#), None);
    }

    #[test]
    fn a_rate_of_nothing_and_unknown_fields_are_refused() {
        for text in [r#"{"origins": ["a"], "rate": 0}"#, r#"{"origins": [], "x": 1}"#, "{}"] {
            assert!(serde_json::from_str::<Allowed>(text).is_err(), "{text}");
        }
    }
}
