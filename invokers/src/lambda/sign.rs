//! Signatures (AWS Signature Version 4), by the official crate, of requests that the gateway's own
//! client sends.

use std::time::SystemTime;

use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        sign,
    },
    sign::v4,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use schemas::{Class, Fault};

use super::keys::Keys;

/// What stands in the signature's scope.
const SERVICE: &str = "lambda";

const INVOCATION_TYPE: HeaderName = HeaderName::from_static("x-amz-invocation-type");
const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// A request to be signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsigned<'a> {
    /// What `Host` will say.
    pub(super) host: &'a HeaderValue,
    /// Path and query as they will be written, encoded once.
    pub(super) path: &'a str,
    /// `RequestResponse` or `Event`.
    pub(super) invocation: &'static str,
    /// The trace that it belongs to, in X-Ray's form.
    pub(super) trace: Option<&'a HeaderValue>,
    pub(super) payload: &'a [u8],
}

/// Makes the headers of the signed request.
///
/// # Errors
/// If the credentials are such as nothing can be signed with.
pub(super) fn headers(
    unsigned: Unsigned<'_>,
    keys: &Keys,
    region: &str,
    now: SystemTime,
) -> Result<HeaderMap, Fault> {
    let Unsigned { host, path, invocation, trace, payload } = unsigned;
    let length = payload.len().to_string();
    let named = [
        ("content-length", length.as_str()),
        ("content-type", "application/octet-stream"),
        ("host", host.to_str().unwrap_or_default()),
        ("x-amz-invocation-type", invocation),
    ];
    let mut settings = SigningSettings::default();
    // The path is encoded a second time for the signature, as for all services but S3.
    settings.percent_encoding_mode = PercentEncodingMode::Double;
    settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    let parameters = v4::SigningParams::builder()
        .identity(keys.identity())
        .region(region)
        .name(SERVICE)
        .time(now)
        .settings(settings)
        .build()
        .map_err(unsignable)?
        .into();
    let body = SignableBody::Bytes(payload);
    let request = SignableRequest::new("POST", path, named.into_iter(), body);
    let signed = sign(request.map_err(unsignable)?, &parameters).map_err(unsignable)?;
    let (instructions, _) = signed.into_parts();

    let mut headers = http1::spare_map();
    headers.insert(header::CONTENT_TYPE, OCTETS);
    headers.insert(INVOCATION_TYPE, HeaderValue::from_static(invocation));
    if let Some(trace) = trace {
        headers.insert(TRACE_ID, trace.clone());
    }
    for one in instructions.into_parts().0 {
        let name = HeaderName::from_static(one.name());
        let mut value = HeaderValue::from_str(one.value()).map_err(unsignable)?;
        value.set_sensitive(one.sensitive());
        headers.insert(name, value);
    }
    Ok(headers)
}

/// The errors speak of what is malformed, and hold no key.
fn unsignable(error: impl std::error::Error + Send + Sync + 'static) -> Fault {
    Fault::new(Class::UpstreamAuth, "the call cannot be signed with the gateway's credentials")
        .code("unsignable")
        .because(error)
}

/// The trace in X-Ray's form (`X-Amzn-Trace-Id`): made of a W3C `traceparent`, or the one that came
/// where there is none.
pub(super) fn trace(headers: &HeaderMap) -> Option<HeaderValue> {
    let Some(parent) = headers.get("traceparent") else { return headers.get(TRACE_ID).cloned() };
    let mut parts = parent.to_str().ok()?.split('-').skip(1);
    let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
    let (time, random) = trace.split_at_checked(8)?;
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
    HeaderValue::try_from(format!("Root=1-{time}-{random};Parent={span};Sampled={sampled}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_w3c_trace_is_told_in_the_form_of_x_ray() {
        let mut headers = HeaderMap::new();
        assert_eq!(trace(&headers), None);
        headers
            .insert(TRACE_ID, HeaderValue::from_static("Root=1-5e1b4151-5ac6c58dc2a8f1a1b2c3d4e5"));
        assert_eq!(trace(&headers).unwrap(), "Root=1-5e1b4151-5ac6c58dc2a8f1a1b2c3d4e5");
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        headers.insert("traceparent", HeaderValue::from_static(parent));
        let told = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1";
        assert_eq!(trace(&headers).unwrap(), told);
        headers.insert("traceparent", HeaderValue::from_static("odd"));
        assert_eq!(trace(&headers), None);
    }
}
