//! The status of a call: its codes, how it travels in headers and trailers, and what it says of the
//! function (gRPC over HTTP/2, "Responses"; `google.rpc.Code`).

use std::time::Duration;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};
use schemas::{Class, Ran, Verdict};

use super::{frame::Bad, wire};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// How long a server wants to be left alone, in milliseconds (gRFC A6).
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// What a message's text may not hold as it is: all but printable ASCII, and `%`.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');
/// Binary metadata comes with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What became of an answer that cannot be read to its end.
pub(super) const BROKEN: Verdict =
    Verdict::Failed { class: Class::UpstreamProtocol, ran: Ran::Maybe, retry_after_ms: None };

/// The codes (`google.rpc.Code`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// It went well.
    Ok = 0,
    /// The caller wants it no more.
    Cancelled = 1,
    /// It failed, and nothing says how.
    Unknown = 2,
    /// The message is not fit, whatever the state.
    InvalidArgument = 3,
    /// The time was up.
    DeadlineExceeded = 4,
    /// There is no such thing.
    NotFound = 5,
    /// There is such a thing already.
    AlreadyExists = 6,
    /// The caller may not do it.
    PermissionDenied = 7,
    /// Too much of something was asked for.
    ResourceExhausted = 8,
    /// The state does not allow it.
    FailedPrecondition = 9,
    /// It was in the way of another call.
    Aborted = 10,
    /// It goes past the end of what there is.
    OutOfRange = 11,
    /// There is no such method.
    Unimplemented = 12,
    /// The server, or what it was told, is broken.
    Internal = 13,
    /// It cannot be done now, and may be soon.
    Unavailable = 14,
    /// Data is lost.
    DataLoss = 15,
    /// Nobody knows who calls.
    Unauthenticated = 16,
}

impl Code {
    const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// Reads a code; one that is not known means UNKNOWN.
    fn parse(value: &[u8]) -> Self {
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<usize>().ok());
        number.and_then(|number| Self::ALL.get(number)).copied().unwrap_or(Self::Unknown)
    }

    /// What an HTTP status stands for that an intermediary answered in the server's place ("HTTP to
    /// gRPC Status Code Mapping").
    fn of_http(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502 | 503 | 504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// The status of HTTP that says the same. What a server got wrong is 502 to whoever asks a gateway.
    pub(super) fn http(self) -> StatusCode {
        match self {
            Self::Ok => StatusCode::OK,
            // Nobody reads it; the number is the one that logs know for it.
            Self::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::InvalidArgument | Self::FailedPrecondition | Self::OutOfRange => {
                StatusCode::BAD_REQUEST
            }
            Self::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::AlreadyExists | Self::Aborted => StatusCode::CONFLICT,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Self::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unknown | Self::Internal | Self::DataLoss => StatusCode::BAD_GATEWAY,
        }
    }

    /// As it is written in a header.
    pub(super) fn value(self) -> HeaderValue {
        HeaderValue::from(u16::from(self as u8))
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: Code,
    pub(super) message: String,
    /// A `google.rpc.Status` in wire format; empty if there is none.
    pub(super) details: Bytes,
    /// When the server wants to be asked again.
    pub(super) retry_after: Option<Duration>,
}

impl Status {
    /// One of ours.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Bytes::new(), retry_after: None }
    }

    /// Reads it from trailers, or from the head of an answer that has nothing else. None if there
    /// is no status.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let code = Code::parse(headers.get(GRPC_STATUS)?.as_bytes());
        if code == Code::Ok {
            return Some(Self::new(code, ""));
        }
        let message = headers
            .get(GRPC_MESSAGE)
            .map(|value| percent_decode(value.as_bytes()).decode_utf8_lossy().into_owned());
        let details = headers.get(GRPC_DETAILS).and_then(|value| BASE64.decode(value).ok());
        let details = Bytes::from(details.unwrap_or_default());
        let pushback = headers.get(PUSHBACK).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = pushback.map(Duration::from_millis).or_else(|| retry_info(&details));
        Some(Self { code, message: message.unwrap_or_default(), details, retry_after })
    }

    /// What an answer with this HTTP status says that has no status of gRPC's.
    pub(super) fn of_http(status: StatusCode) -> Self {
        let message = format!("the server answered HTTP {} without a gRPC status", status.as_u16());
        Self::new(Code::of_http(status), message)
    }

    /// An answer that ended without a status.
    pub(super) fn missing() -> Self {
        Self::new(Code::Unknown, "the server ended its answer without a gRPC status")
    }

    /// What a caller is told of an answer's message that may not pass.
    pub(super) fn of_bad(bad: &Bad) -> Self {
        match bad {
            Bad::TooLarge { .. } => {
                Self::new(Code::ResourceExhausted, format!("{bad}, the upstream's max_message"))
            }
            bad => Self::new(Code::Internal, bad.to_string()),
        }
    }

    /// Writes it into trailers, or into the head of an answer that has nothing else.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(GRPC_STATUS, self.code.value());
        if !self.message.is_empty() {
            let message = utf8_percent_encode(&self.message, ENCODED).to_string();
            if let Ok(value) = HeaderValue::from_str(&message) {
                headers.insert(GRPC_MESSAGE, value);
            }
        }
    }

    /// What it says of the function. `untouched`: no message has come before it.
    ///
    /// What is the caller's doing, as a 4xx is of an HTTP service, is an answer like any other.
    /// UNAVAILABLE in place of an answer is what servers and their proxies say before a method has
    /// run; a server that wants to be asked again (RetryInfo, pushback) says that it has done
    /// nothing yet.
    pub(super) fn verdict(&self, untouched: bool) -> Verdict {
        let (class, ran) = match self.code {
            Code::Ok
            | Code::Cancelled
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unauthenticated => return Verdict::Ok,
            Code::ResourceExhausted if self.retry_after.is_some() && untouched => {
                (Class::Throttled, Ran::No)
            }
            Code::ResourceExhausted => (Class::Throttled, Ran::Maybe),
            Code::Unavailable if untouched => (Class::Unavailable, Ran::No),
            Code::Unavailable => (Class::Unavailable, Ran::Maybe),
            Code::DeadlineExceeded => (Class::Timeout, Ran::Maybe),
            Code::Unimplemented => (Class::FunctionNotDeployed, Ran::Maybe),
            Code::Unknown | Code::Internal | Code::DataLoss => (Class::FunctionFailed, Ran::Maybe),
        };
        let wait = self.retry_after.map(|wait| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
        Verdict::Failed { class, ran, retry_after_ms: wait }
    }
}

/// Says in the head of an answer, which has nothing else, that a call was refused (gRPC over HTTP/2,
/// "Trailers-Only").
pub fn refuse(headers: &mut HeaderMap, code: Code, message: &str, retry_after: Option<Duration>) {
    Status::new(code, message).write(headers);
    if let Some(wait) = retry_after {
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        headers.insert(PUSHBACK, HeaderValue::from(millis));
    }
}

/// The delay of a `google.rpc.RetryInfo` among the details of a `google.rpc.Status`.
fn retry_info(status: &[u8]) -> Option<Duration> {
    const RETRY_INFO: &[u8] = b"google.rpc.RetryInfo";
    // Status.details = 3, Any { type_url = 1, value = 2 }, RetryInfo.retry_delay = 1.
    let all = wire::fields(status).filter(|field| field.number == 3);
    let mut found = all.filter_map(|field| {
        let any = field.bytes()?;
        let url = wire::bytes(any, 1)?;
        let name = url.rsplit(|byte| *byte == b'/').next()?;
        (name == RETRY_INFO).then(|| wire::bytes(any, 2).unwrap_or_default())
    });
    let delay = wire::bytes(found.next()?, 1)?;
    // Duration { seconds = 1, nanos = 2 }.
    let nanos = u32::try_from(wire::number(delay, 2).unwrap_or(0)).ok()?;
    let seconds = wire::number(delay, 1).unwrap_or(0);
    // A negative one is a large number on the wire.
    (i64::try_from(seconds).is_ok() && nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, &'static str)]) -> Option<Status> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Status::read(&headers)
    }

    #[test]
    fn a_status_is_read_and_written_alike() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("grpc-status", "0")]), Some(Status::new(Code::Ok, "")));
        let status = read(&[("grpc-status", "5"), ("grpc-message", "no%20caf%C3%A9 100%25")]);
        let status = status.unwrap();
        assert_eq!((status.code, status.message.as_str()), (Code::NotFound, "no café 100%"));
        let mut written = HeaderMap::new();
        status.write(&mut written);
        assert_eq!(written[GRPC_MESSAGE], "no caf%C3%A9 100%25");
        assert_eq!(Status::read(&written), Some(status));
        for unknown in ["17", "-1", "x", ""] {
            assert_eq!(read(&[("grpc-status", unknown)]).unwrap().code, Code::Unknown);
        }
    }

    #[test]
    fn every_code_has_its_verdict() {
        use Class::{FunctionFailed, FunctionNotDeployed, Throttled, Timeout, Unavailable};
        let verdicts: Vec<_> = Code::ALL
            .iter()
            .map(|code| {
                let status = Status::new(*code, "");
                match (status.verdict(true), status.verdict(false)) {
                    (Verdict::Failed { class, ran, .. }, Verdict::Failed { ran: after, .. }) => {
                        assert_eq!(after, Ran::Maybe, "{code:?}");
                        Some((class, ran))
                    }
                    _ => None,
                }
            })
            .collect();
        let expected = [
            None,
            None,
            Some((FunctionFailed, Ran::Maybe)),
            None,
            Some((Timeout, Ran::Maybe)),
            None,
            None,
            None,
            Some((Throttled, Ran::Maybe)),
            None,
            None,
            None,
            Some((FunctionNotDeployed, Ran::Maybe)),
            Some((FunctionFailed, Ran::Maybe)),
            Some((Unavailable, Ran::No)),
            Some((FunctionFailed, Ran::Maybe)),
            None,
        ];
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn a_server_says_when_it_wants_to_be_asked_again() {
        let throttled = |ms| {
            Some(Verdict::Failed {
                class: Class::Throttled,
                ran: Ran::No,
                retry_after_ms: Some(ms),
            })
        };
        let told = read(&[("grpc-status", "8"), ("grpc-retry-pushback-ms", "1500")]);
        assert_eq!(told.map(|status| status.verdict(true)), throttled(1500));
        // google.rpc.Status { code: 8, details: [RetryInfo { retry_delay: 2.5s }] }
        let [mut delay, mut info, mut any, mut status] = [const { Vec::new() }; 4];
        wire::put_number(&mut delay, 1, 2);
        wire::put_number(&mut delay, 2, 500_000_000);
        wire::put(&mut info, 1, &delay);
        wire::put(&mut any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
        wire::put(&mut any, 2, &info);
        wire::put_number(&mut status, 1, 8);
        wire::put(&mut status, 3, &any);
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_STATUS, HeaderValue::from_static("8"));
        headers.insert(GRPC_DETAILS, BASE64.encode(status).parse().unwrap());
        assert_eq!(Status::read(&headers).map(|status| status.verdict(true)), throttled(2500));
        headers.insert(GRPC_DETAILS, HeaderValue::from_static("!"));
        let verdict = Status::read(&headers).unwrap().verdict(true);
        assert!(matches!(verdict, Verdict::Failed { ran: Ran::Maybe, retry_after_ms: None, .. }));
    }

    #[test]
    fn an_intermediarys_answer_stands_for_a_code() {
        for (status, code) in [
            (400, Code::Internal),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (404, Code::Unimplemented),
            (429, Code::Unavailable),
            (502, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::Unavailable),
            (500, Code::Unknown),
            (200, Code::Unknown),
        ] {
            assert_eq!(Code::of_http(StatusCode::from_u16(status).unwrap()), code, "{status}");
        }
    }
}
