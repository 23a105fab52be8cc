//! What Lambda itself says when it does not run a function, and what a function says that failed.
//!
//! The types are those of the API's model; what each means for a caller and for another try is one
//! table, [`told`]. A type that is not in it goes by its status.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use schemas::{Body, Class, Fault, Ran, Reply, ReplyHead, Verdict};
use serde::{Deserialize, Serialize};

use crate::http::incoming;

/// What an answer of the platform says of itself.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    /// The error's type, without what may stand around it.
    kind: String,
    /// The first line of what it says, for the log.
    message: String,
    retry_after: Option<Duration>,
    /// When it was said by the platform's clock.
    pub(super) date: Option<std::time::SystemTime>,
}

/// The body of an error. The message is spelled in two ways, and the type in three.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    #[serde(alias = "Message")]
    message: Option<String>,
    #[serde(rename = "__type", alias = "code", alias = "Code")]
    kind: Option<String>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    class: Class,
    ran: Ran,
    code: Option<&'static str>,
    detail: &'static str,
}

impl Told {
    /// The fault of it.
    fn fault(self) -> Fault {
        let Self { class, ran, code, detail } = self;
        Fault { ran, code, ..Fault::new(class, detail) }
    }
}

/// Bytes of an error's body that are read.
pub(super) const ERROR_BYTES_MAX: usize = 64 << 10;

impl Refusal {
    /// Reads it. `None` if it is the failure of a function after all: emulators answer one with 500
    /// and its error, where Lambda answers 200.
    pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let written: Written = serde_json::from_slice(body).unwrap_or_default();
        let named = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
        let kind = named.or(written.kind.as_deref());
        if status.is_server_error() && kind.is_none() && written.error_type.is_some() {
            return None;
        }
        // `TypeException:http://…` in the header, `com.amazon#TypeException` in the body.
        let kind = kind.unwrap_or_default().split(':').next().unwrap_or_default();
        let kind = kind.rsplit('#').next().unwrap_or_default();
        Some(Self {
            retry_after: incoming::retry_after(headers),
            date: headers
                .get(header::DATE)
                .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok()),
            ..Self::said(status, kind, written.message.as_deref().unwrap_or_default())
        })
    }

    /// What the SDK has read of it.
    pub(super) fn said(status: StatusCode, kind: &str, message: &str) -> Self {
        // Below its first line a signature that is refused is explained by the request that was
        // signed, and the session token is in there.
        let message = message.lines().next().unwrap_or_default().to_owned();
        Self { status, kind: kind.to_owned(), message, retry_after: None, date: None }
    }

    /// Whether fresh credentials, or the right time, may help.
    pub(super) fn is_about_credentials(&self) -> bool {
        matches!(self.status.as_u16(), 400 | 401 | 403)
            && matches!(
                self.kind.as_str(),
                "ExpiredToken"
                    | "ExpiredTokenException"
                    | "InvalidClientTokenId"
                    | "InvalidSignatureException"
                    | "SignatureDoesNotMatch"
                    | "RequestExpired"
                    | "RequestInTheFuture"
                    | "RequestTimeTooSkewed"
                    | "UnrecognizedClientException"
            )
    }

    /// What it means. `ours` says whether the payload was written here, and is not the caller's.
    pub(super) fn fault(self, ours: bool) -> Fault {
        let mut fault = told(&self.kind, self.status, ours).fault();
        fault.retry_after = self.retry_after;
        fault.because(Cause {
            status: self.status.as_u16(),
            kind: self.kind,
            message: self.message,
        })
    }
}

/// What the platform has said, for the log.
#[derive(Debug, thiserror::Error)]
#[error("lambda answered {status} {kind}: {message}")]
struct Cause {
    status: u16,
    kind: String,
    message: String,
}

/// The table: what each type of error means.
fn told(kind: &str, status: StatusCode, ours: bool) -> Told {
    let (class, ran, code, detail) = match kind.strip_suffix("Exception").unwrap_or(kind) {
        "InvalidRequestContent" if !ours => (
            Class::BadRequest,
            Ran::No,
            Some("invalid_payload"),
            "the function takes JSON only; send JSON, or let the route put the request into an envelope",
        ),
        "InvalidParameterValue"
        | "InvalidRequestContent"
        | "ModeNotSupported"
        | "NoPublishedVersion"
        | "RecursiveInvocation"
        | "DurableExecutionAlreadyStarted" => (
            Class::UpstreamProtocol,
            Ran::No,
            Some("call_refused"),
            "the platform refuses this way of calling the function",
        ),
        "ServiceQuotaExceeded" => (
            Class::Unavailable,
            Ran::No,
            Some("quota_exceeded"),
            "the platform's account has used up a quota",
        ),
        "ExpiredToken"
        | "InvalidClientTokenId"
        | "InvalidSignature"
        | "SignatureDoesNotMatch"
        | "RequestExpired"
        | "RequestInTheFuture"
        | "RequestTimeTooSkewed"
        | "UnrecognizedClient"
        | "AccessDenied"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "OptInRequired" => (
            Class::UpstreamAuth,
            Ran::No,
            None,
            "the platform refuses the gateway's own credentials",
        ),
        "ResourceNotFound" => (
            Class::FunctionNotDeployed,
            Ran::No,
            None,
            "the platform has no such function, version or alias",
        ),
        "SnapStartTimeout"
        | "EFSMountTimeout"
        | "EFSMountConnectivity"
        | "S3FilesMountTimeout"
        | "S3FilesMountConnectivity" => (
            Class::Timeout,
            Ran::No,
            Some("function_start_timeout"),
            "the function did not start in time",
        ),
        "TooManyRequests" | "EC2Throttled" | "Throttling" => {
            (Class::Throttled, Ran::No, None, "the platform asks for fewer calls of the function")
        }
        "ResourceConflict"
        | "SnapStartNotReady"
        | "CodeArtifactUserPending"
        | "ResourceNotReady"
        | "ENINotReady"
        | "EC2Unexpected" => (
            Class::Throttled,
            Ran::No,
            Some("function_not_ready"),
            "the function is not ready yet; come again later",
        ),
        "RequestTooLarge" | "RequestEntityTooLarge" | "SerializedRequestEntityTooLarge" => {
            (Class::TooLarge, Ran::No, None, "the request is larger than the platform takes")
        }
        "UnsupportedMediaType" => (
            Class::UnsupportedMedia,
            Ran::No,
            None,
            "the platform does not take this type of content",
        ),
        "Service" | "ServiceUnavailable" | "InternalFailure" | "InternalServerError" => (
            Class::UpstreamProtocol,
            Ran::Maybe,
            Some("platform_failed"),
            "the platform failed while it called the function",
        ),
        // It mounts and reads while the function runs.
        "EFSIO" => (
            Class::FunctionFailed,
            Ran::Maybe,
            Some("function_cannot_run"),
            "the function lost its file system",
        ),
        "EFSMountFailure"
        | "S3FilesMountFailure"
        | "EC2AccessDenied"
        | "ENILimitReached"
        | "InvalidRuntime"
        | "InvalidSecurityGroupID"
        | "InvalidSubnetID"
        | "InvalidZipFile"
        | "KMSAccessDenied"
        | "KMSDisabled"
        | "KMSInvalidState"
        | "KMSNotFound"
        | "SnapStart"
        | "SnapStartRegenerationFailure"
        | "SubnetIPAddressLimitReached"
        | "CodeArtifactUserDeleted"
        | "CodeArtifactUserFailed" => (
            Class::FunctionFailed,
            Ran::No,
            Some("function_cannot_run"),
            "the platform cannot start the function as it is set up",
        ),
        _ => by_status(status),
    };
    Told { class, ran, code, detail }
}

/// What an error means whose type nobody knows: something between here and the platform may have
/// said it.
fn by_status(status: StatusCode) -> (Class, Ran, Option<&'static str>, &'static str) {
    match status.as_u16() {
        401 | 403 => (
            Class::UpstreamAuth,
            Ran::No,
            None,
            "the platform refuses the gateway's own credentials",
        ),
        404 => (
            Class::FunctionNotDeployed,
            Ran::No,
            None,
            "the platform has no such function, version or alias",
        ),
        408 => (Class::Timeout, Ran::Maybe, None, "the platform waited too long"),
        413 => (Class::TooLarge, Ran::No, None, "the request is larger than the platform takes"),
        429 => (Class::Throttled, Ran::No, None, "the platform asks for fewer calls"),
        504 => (Class::Timeout, Ran::Maybe, None, "the function has not answered in time"),
        _ => (
            Class::UpstreamProtocol,
            Ran::Maybe,
            Some("platform_failed"),
            "the platform gave an answer that says nothing of the function",
        ),
    }
}

/// What a function says that failed: all of it but where in its code.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
struct Failure {
    error_type: Option<String>,
    error_message: Option<String>,
}

/// The answer of a function that failed (`X-Amz-Function-Error`). Lambda names no status for it: a
/// function that ran out of time is 504, any other 502. Its stack trace stays here.
pub(super) fn failed(payload: &[u8]) -> Reply {
    let mut failure: Failure = serde_json::from_slice(payload).unwrap_or_default();
    let kind = failure.error_type.get_or_insert_with(|| "Unhandled".to_owned());
    let message = failure.error_message.get_or_insert_default();
    let timed_out = kind == "Sandbox.Timedout" || message.contains("Task timed out after");
    let (status, class) = if timed_out {
        (StatusCode::GATEWAY_TIMEOUT, Class::Timeout)
    } else {
        (StatusCode::BAD_GATEWAY, Class::FunctionFailed)
    };
    let said = serde_json::to_vec(&failure).unwrap_or_default();
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Reply {
        head: ReplyHead { status, headers },
        data: Body::from(Bytes::from(said)),
        verdict: Verdict::Failed { class, ran: Ran::Maybe, retry_after_ms: None },
        ..Reply::ok(status, HeaderMap::new(), Body::empty())
    }
}

#[cfg(test)]
mod tests;
