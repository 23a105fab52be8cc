//! Headers by their names: which ones only a proxy may say, and which spellings only look like
//! another header. Many a server (CGI, WSGI, Rack) reads `_` as `-`, so that `x_forwarded_for` is
//! `X-Forwarded-For` to it and none to the gateway.

use http::HeaderMap;
use http1::hop;
use schemas::{Class, Fault};

/// Whether a header of this name tells where a request comes from, which only a proxy knows.
pub(crate) fn is_forwarded(name: &str) -> bool {
    match name.as_bytes().first() {
        Some(b'f') => name == "forwarded",
        Some(b'x') => {
            name.starts_with("x-forwarded-")
                || name.starts_with("x-original-")
                || matches!(name, "x-real-ip" | "x-rewrite-url")
        }
        _ => false,
    }
}

/// Refuses a request with a header whose name becomes another's where `_` is read as `-`, if that
/// one frames the message, says who asks, or is told by proxies. All other names with `_` pass.
///
/// # Errors
/// 400 `bad_header`.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Fault> {
    for name in headers.keys().filter(|name| name.as_str().contains('_')) {
        let meant = name.as_str().replace('_', "-");
        if is_guarded(&meant) {
            let detail = format!("the header {name} can be taken for {meant}; write it with -");
            return Err(Fault::new(Class::BadRequest, detail).code("bad_header"));
        }
    }
    Ok(())
}

fn is_guarded(name: &str) -> bool {
    hop::is_hop_by_hop(name)
        || is_forwarded(name)
        || name.starts_with("content-")
        || name.starts_with("ce-")
        || matches!(
            name,
            "host"
                | "cookie"
                | "expect"
                | "trailer"
                | "tracestate"
                | "traceparent"
                | "x-request-id"
                | "authorization"
                | "idempotency-key"
                | "x-http-method-override"
        )
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_name_that_looks_like_a_header_that_matters_is_refused_and_others_pass() {
        let given = |name: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
            check(&headers)
        };
        for name in [
            "transfer_encoding",
            "content_length",
            "content_type",
            "x_forwarded_for",
            "x-forwarded_for",
            "x_real_ip",
            "x_request_id",
            "proxy_authorization",
            "keep_alive",
            "ce_type",
        ] {
            assert_eq!(given(name).expect_err(name).code, Some("bad_header"));
        }
        for name in ["x_tenant", "user_id", "a_b", "_", "_host", "host_", "forwarded_by"] {
            given(name).expect(name);
        }
    }

    #[test]
    fn what_only_a_proxy_knows_is_known() {
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-prefix", "x-real-ip"] {
            assert!(is_forwarded(name), "{name}");
        }
        for name in ["forward", "x-forward", "x-request-id", "from", "x-requested-with"] {
            assert!(!is_forwarded(name), "{name}");
        }
    }
}
