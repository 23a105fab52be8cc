//! The change of protocol that a request asks for (RFC 9110, section 7.8).

use http::{HeaderMap, HeaderValue, header};
use http1::hop;

/// The protocol that a request asks to change to, if it asks.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = headers.get(header::UPGRADE)?;
    hop::lists(headers, &header::CONNECTION, "upgrade").then(|| wanted.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_is_asked_for_by_both_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", HeaderValue::from_static("websocket"));
        assert_eq!(upgrade(&headers), None);
        headers.insert("connection", HeaderValue::from_static("keep-alive, Upgrade"));
        assert_eq!(upgrade(&headers).unwrap(), "websocket");
    }
}
