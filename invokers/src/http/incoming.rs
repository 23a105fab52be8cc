//! From the response to the reply: unchanged but for what concerns this hop alone.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use http1::hop;
use schemas::{Class, EndpointId, Fault, Ran, Reply, ReplyHead, Verdict};

use crate::client::Answered;

/// Makes the reply. `upgrade` says whether a change of protocol was asked for.
pub(crate) fn reply(
    answered: Answered,
    verdict: Verdict,
    id: EndpointId,
    upgrade: bool,
) -> Result<Reply, Fault> {
    let Answered { status, mut headers, body: data, tunnel } = answered;
    let switched = status == StatusCode::SWITCHING_PROTOCOLS;
    if switched && !upgrade {
        let what = "the upstream changed to a protocol that nobody asked for";
        return Err(Fault::new(Class::UpstreamProtocol, what).maybe().at(id));
    }
    if headers.keys().any(|name| hop::is_hop_by_hop(name.as_str())) {
        hop::strip_response(&mut headers, switched);
    }
    let head = ReplyHead { status, headers };
    Ok(Reply {
        head,
        data,
        verdict,
        later: None,
        receipt: None,
        upgrade: tunnel,
        endpoint: Some(id),
    })
}

/// What a status of an HTTP service says. 429 promises that nothing was done (RFC 6585, section
/// 4); a 5xx promises nothing: it may come from a proxy in between, after the function has run.
pub(crate) fn classify(status: StatusCode, headers: &HeaderMap) -> Verdict {
    let (class, ran) = match status.as_u16() {
        429 => (Class::Throttled, Ran::No),
        500..=599 => (Class::FunctionFailed, Ran::Maybe),
        _ => return Verdict::Ok,
    };
    let retry_after_ms =
        retry_after(headers).map(|wait| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
    Verdict::Failed { class, ran, retry_after_ms }
}

/// When an answer wants to be asked for again.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    retry_after_from(headers, SystemTime::now())
}

/// Reads `Retry-After`: seconds or a date (RFC 9110, section 10.2.3).
fn retry_after_from(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use schemas::{Body, Tunnel};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut headers = HeaderMap::new();
        headers.extend(pairs.iter().map(pair));
        headers
    }

    fn answered(status: u16, headers: HeaderMap) -> Answered {
        let status = StatusCode::from_u16(status).unwrap();
        let tunnel =
            (status == 101).then(|| Tunnel::new(bytes::BytesMut::new(), tokio::io::empty()));
        Answered { status, headers, body: Body::empty(), tunnel }
    }

    fn response(status: u16, pairs: &[(&'static str, &'static str)]) -> Reply {
        let answered = answered(status, headers(pairs));
        let verdict = classify(answered.status, &answered.headers);
        reply(answered, verdict, EndpointId(0), true).unwrap()
    }

    #[test]
    fn what_concerns_the_hop_alone_is_removed() {
        let reply = response(
            200,
            &[
                ("connection", "keep-alive, X-Hop, content-length"),
                ("keep-alive", "timeout=5"),
                ("proxy-authenticate", "Basic"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("x-hop", "1"),
                ("content-length", "5"),
                ("trailer", "x-sum"),
                ("x-kept", "2"),
            ],
        );
        let kept = [("content-length", "5"), ("trailer", "x-sum"), ("x-kept", "2")];
        assert_eq!(reply.head.headers, headers(&kept));
    }

    #[test]
    fn a_changed_protocol_keeps_its_name() {
        let reply = response(101, &[("connection", "upgrade"), ("upgrade", "websocket")]);
        assert_eq!(reply.head.headers, headers(&[("upgrade", "websocket")]));
        assert!(reply.upgrade.is_some());
    }

    #[test]
    fn a_protocol_that_nobody_asked_for_is_a_fault() {
        let switched = answered(101, HeaderMap::new());
        let fault = reply(switched, Verdict::Ok, EndpointId(3), false).unwrap_err();
        assert_eq!((fault.class, fault.ran), (Class::UpstreamProtocol, Ran::Maybe));
        assert_eq!(fault.endpoint, Some(EndpointId(3)));
    }

    #[test]
    fn the_status_decides_the_verdict() {
        for status in [200, 204, 304, 400, 401, 404, 499] {
            assert_eq!(response(status, &[]).verdict, Verdict::Ok, "{status}");
        }
        for status in [500, 502, 503, 504, 599] {
            let failed = Verdict::Failed {
                class: Class::FunctionFailed,
                ran: Ran::Maybe,
                retry_after_ms: None,
            };
            assert_eq!(response(status, &[]).verdict, failed, "{status}");
        }
        let throttled =
            Verdict::Failed { class: Class::Throttled, ran: Ran::No, retry_after_ms: Some(7_000) };
        assert_eq!(response(429, &[("retry-after", "7")]).verdict, throttled);
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let read = |text| retry_after_from(&headers(&[("retry-after", text)]), now);
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 06 Nov 1994 08:50:00 GMT"), Some(Duration::from_secs(23)));
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-1"), None);
        assert_eq!(read("99999999999999999999999"), None);
    }
}
