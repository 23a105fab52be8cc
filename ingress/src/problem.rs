//! Problem documents (RFC 9457). The only file that names a status for a class.

use http::StatusCode;
use schemas::Class;

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
