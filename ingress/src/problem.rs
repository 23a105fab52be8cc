//! Problem documents (RFC 9457). The only file that names a status for a class.

use http::StatusCode;
use invokers::grpc::Code;
use schemas::{Class, Fault, Ran};

/// The status that a caller gets for a failure of this class.
#[must_use]
pub fn status(class: Class) -> StatusCode {
    match class {
        Class::BadRequest => StatusCode::BAD_REQUEST,
        Class::Unauthorized => StatusCode::UNAUTHORIZED,
        Class::Forbidden => StatusCode::FORBIDDEN,
        Class::NotFound => StatusCode::NOT_FOUND,
        Class::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Class::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Class::Conflict => StatusCode::CONFLICT,
        Class::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
        Class::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Class::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        Class::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Class::UriTooLong => StatusCode::URI_TOO_LONG,
        Class::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Class::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Class::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Class::Overloaded
        | Class::BreakerOpen
        | Class::Unavailable
        | Class::NoResponders
        | Class::Throttled => StatusCode::SERVICE_UNAVAILABLE,
        Class::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        // What the upstream, or our own credentials, got wrong is never the caller's 401 or 403.
        Class::ConnectFailed
        | Class::UpstreamAuth
        | Class::UpstreamProtocol
        | Class::FunctionFailed
        | Class::FunctionNotDeployed => StatusCode::BAD_GATEWAY,
        Class::Timeout => StatusCode::GATEWAY_TIMEOUT,
        // Nobody reads it; the number is the one that logs know for it.
        Class::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Class::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The code that a caller who speaks gRPC gets for a failure of this class. UNAVAILABLE is what its
/// client may send again, so it is said only of what surely did nothing.
#[must_use]
pub fn grpc_code(class: Class) -> Code {
    match class {
        Class::BadRequest | Class::Unprocessable | Class::UnsupportedMedia => Code::InvalidArgument,
        Class::Unauthorized => Code::Unauthenticated,
        Class::Forbidden => Code::PermissionDenied,
        // To a client of gRPC a path is a method.
        Class::NotFound | Class::MethodNotAllowed | Class::FunctionNotDeployed => {
            Code::Unimplemented
        }
        Class::RequestTimeout | Class::Timeout => Code::DeadlineExceeded,
        Class::Conflict => Code::Aborted,
        Class::PreconditionRequired | Class::PreconditionFailed => Code::FailedPrecondition,
        Class::TooLarge
        | Class::UriTooLong
        | Class::HeadersTooLarge
        | Class::RateLimited
        | Class::StorageFull
        | Class::Throttled => Code::ResourceExhausted,
        Class::Overloaded
        | Class::BreakerOpen
        | Class::ConnectFailed
        | Class::Unavailable
        | Class::NoResponders => Code::Unavailable,
        Class::UpstreamAuth | Class::UpstreamProtocol | Class::Internal => Code::Internal,
        Class::FunctionFailed => Code::Unknown,
        Class::Cancelled => Code::Cancelled,
    }
}

/// The class in a few words, the same in every problem of its kind.
#[must_use]
pub fn title(class: Class) -> &'static str {
    match class {
        Class::BadRequest => "The request is malformed",
        Class::Unauthorized => "Authentication is needed",
        Class::Forbidden => "This is not allowed",
        Class::NotFound => "No route serves this request",
        Class::MethodNotAllowed => "The method is not allowed here",
        Class::RequestTimeout => "The request took too long to arrive",
        Class::Conflict => "The request is in conflict with what is there",
        Class::PreconditionRequired => "The change must say what it is meant for",
        Class::PreconditionFailed => "The change is meant for another version",
        Class::Unprocessable => "What the request says is wrong",
        Class::TooLarge => "The request is too large",
        Class::UriTooLong => "The request's target is too long",
        Class::HeadersTooLarge => "The request's headers are too large",
        Class::UnsupportedMedia => "The format is not supported here",
        Class::RateLimited => "Too many requests",
        Class::Overloaded => "The gateway is overloaded",
        Class::StorageFull => "The gateway's disk is full",
        Class::BreakerOpen => "The function's circuit breaker is open",
        Class::ConnectFailed => "The upstream cannot be reached",
        Class::Unavailable => "The upstream is unavailable",
        Class::NoResponders => "Nobody takes this message",
        Class::UpstreamAuth => "The upstream refuses the gateway's credentials",
        Class::Throttled => "The upstream asks for fewer requests",
        Class::UpstreamProtocol => "The upstream gave no valid answer",
        Class::FunctionFailed => "The function failed",
        Class::FunctionNotDeployed => "The function is not deployed",
        Class::Timeout => "The upstream took too long",
        Class::Cancelled => "The caller left",
        Class::Internal => "The gateway failed",
    }
}

/// Whether the same request may be sent again: `safe` when it surely did nothing and might do
/// better, `same-id-only` when it may have run (the same id lets the target tell), `no` when it
/// would fail in the same way.
#[must_use]
pub fn retry(fault: &Fault) -> &'static str {
    if fault.for_good {
        return "no";
    }
    match (fault.class, fault.ran) {
        (_, Ran::Maybe) => "same-id-only",
        (
            Class::RequestTimeout
            | Class::RateLimited
            | Class::Overloaded
            | Class::StorageFull
            | Class::BreakerOpen
            | Class::ConnectFailed
            | Class::Unavailable
            | Class::NoResponders
            | Class::Throttled
            | Class::Timeout
            | Class::UpstreamAuth
            | Class::FunctionNotDeployed,
            Ran::No,
        ) => "safe",
        _ => "no",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_an_error_to_the_caller_and_none_of_our_credentials_is_theirs() {
        for class in Class::ALL {
            assert!(status(class).as_u16() >= 400, "{class:?}");
            assert_ne!(grpc_code(class), Code::Ok, "{class:?}");
            assert!(!title(class).is_empty());
        }
        assert_eq!(status(Class::UpstreamAuth), StatusCode::BAD_GATEWAY);
        assert_eq!(status(Class::ConnectFailed), StatusCode::BAD_GATEWAY);
        assert_eq!(status(Class::Timeout), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(status(Class::Overloaded), StatusCode::SERVICE_UNAVAILABLE);
    }
}
