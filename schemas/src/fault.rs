//! What went wrong, in the gateway's own words, and the one question that decides whether a call
//! may be sent again: may the function have run?

use std::{borrow::Cow, error::Error, fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Call;

/// May the function have run?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ran {
    /// Surely not: a refused connection, an open breaker, a documented throttle. Safe to send again.
    No,
    /// Perhaps: it was sent and no answer says otherwise.
    Maybe,
}

/// Every way in which a request can fail. Closed: a new one is a decision, and the file that turns
/// a class into a status (`ingress/src/problem.rs`) does not compile until it has decided too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The caller's request is malformed or breaks a rule of its format.
    BadRequest,
    /// The caller did not say who it is, or not credibly.
    Unauthorized,
    /// The caller may not do this.
    Forbidden,
    /// No route serves this request.
    NotFound,
    /// A route serves this path, but not with this method.
    MethodNotAllowed,
    /// The request took too long to arrive.
    RequestTimeout,
    /// The request contradicts what is there: an expectation of the caller's was not met.
    Conflict,
    /// A change must say which version it is meant for.
    PreconditionRequired,
    /// A change is meant for another version than the one that is there.
    PreconditionFailed,
    /// The request is well formed, and what it says is wrong.
    Unprocessable,
    /// The body, or the message made of it, is over a limit.
    TooLarge,
    /// The target of the request (path and query) is over a limit.
    UriTooLong,
    /// The head of the request is over a limit.
    HeadersTooLarge,
    /// The gateway does not read this format here.
    UnsupportedMedia,
    /// The caller has sent more than its rate allows.
    RateLimited,
    /// The gateway itself has no room now.
    Overloaded,
    /// There is no room on the gateway's disk for what it would have to keep.
    StorageFull,
    /// The circuit breaker of the function is open.
    BreakerOpen,
    /// No connection to the upstream could be made.
    ConnectFailed,
    /// The upstream's connection is down, and it is being made again.
    Unavailable,
    /// Nobody listens on the subject, or no stream takes it.
    NoResponders,
    /// The upstream refuses the gateway's own credentials.
    UpstreamAuth,
    /// The platform asks for fewer calls.
    Throttled,
    /// The upstream answered what cannot be understood, or broke off.
    UpstreamProtocol,
    /// The function ran and failed.
    FunctionFailed,
    /// The platform has no such function.
    FunctionNotDeployed,
    /// The gateway stopped waiting for the upstream.
    Timeout,
    /// The caller left before the answer.
    Cancelled,
    /// A fault of the gateway's own. Worth a bug report.
    Internal,
}

impl Class {
    /// Every class, in the order of its definition.
    pub const ALL: [Self; 29] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Conflict,
        Self::PreconditionRequired,
        Self::PreconditionFailed,
        Self::Unprocessable,
        Self::TooLarge,
        Self::UriTooLong,
        Self::HeadersTooLarge,
        Self::UnsupportedMedia,
        Self::RateLimited,
        Self::Overloaded,
        Self::StorageFull,
        Self::BreakerOpen,
        Self::ConnectFailed,
        Self::Unavailable,
        Self::NoResponders,
        Self::UpstreamAuth,
        Self::Throttled,
        Self::UpstreamProtocol,
        Self::FunctionFailed,
        Self::FunctionNotDeployed,
        Self::Timeout,
        Self::Cancelled,
        Self::Internal,
    ];

    /// The class as one lower-case word for metrics, records and problem codes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::Conflict => "conflict",
            Self::PreconditionRequired => "precondition_required",
            Self::PreconditionFailed => "precondition_failed",
            Self::Unprocessable => "unprocessable",
            Self::TooLarge => "too_large",
            Self::UriTooLong => "uri_too_long",
            Self::HeadersTooLarge => "headers_too_large",
            Self::UnsupportedMedia => "unsupported_media",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::StorageFull => "storage_full",
            Self::BreakerOpen => "breaker_open",
            Self::ConnectFailed => "connect_failed",
            Self::Unavailable => "unavailable",
            Self::NoResponders => "no_responders",
            Self::UpstreamAuth => "upstream_auth",
            Self::Throttled => "throttled",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::FunctionFailed => "function_failed",
            Self::FunctionNotDeployed => "function_not_deployed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

/// One endpoint of an upstream, by its place in the upstream's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EndpointId(pub u16);

/// A field of a request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Where it stands: `body`, `path` or `query`.
    #[serde(rename = "in")]
    pub place: &'static str,
    /// The field by its JSON names, such as `items[2].unitPrice`; empty for the whole.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
    /// The line of the body; the first is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column of that line; the first is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

/// A call that brought no reply. Its `detail` may be shown to the caller: it holds no inner name,
/// no address of the platform and no secret. The `cause` is for the log alone.
pub struct Fault {
    /// What kind of failure it is.
    pub class: Class,
    /// May the function have run?
    pub ran: Ran,
    /// A finer code for the problem document; the class's name if there is none.
    pub code: Option<&'static str>,
    /// A sentence for the caller: what happened, and what to do about it.
    pub detail: Cow<'static, str>,
    /// The endpoint that was tried, to be avoided by the next try.
    pub endpoint: Option<EndpointId>,
    /// When it makes sense to come again.
    pub retry_after: Option<Duration>,
    /// Which field of the request is wrong, if it is one.
    pub violation: Option<Box<Violation>>,
    /// The same would be refused again, whenever it comes.
    pub for_good: bool,
    /// What lies underneath, for the log. Boxed with the rest's size in mind: a fault is a return value.
    pub cause: Option<Box<dyn Error + Send + Sync>>,
    /// The call itself, if not a byte of it was written: it can be sent again although its body is
    /// a stream.
    pub unsent: Option<Box<Call>>,
}

impl Fault {
    /// Makes a fault that surely did not run the function.
    #[must_use]
    pub fn new(class: Class, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            class,
            ran: Ran::No,
            code: None,
            detail: detail.into(),
            endpoint: None,
            retry_after: None,
            violation: None,
            for_good: false,
            cause: None,
            unsent: None,
        }
    }

    /// Says that the function may have run.
    #[must_use]
    pub fn maybe(mut self) -> Self {
        self.ran = Ran::Maybe;
        self
    }

    /// Gives the problem document a finer code than the class's name.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Names the endpoint that failed.
    #[must_use]
    pub fn at(mut self, endpoint: EndpointId) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Names the field that is wrong.
    #[must_use]
    pub fn violates(mut self, violation: Violation) -> Self {
        self.violation = Some(Box::new(violation));
        self
    }

    /// Says when to come again.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Says that the same would be refused again, where the class alone does not say so.
    #[must_use]
    pub fn for_good(mut self) -> Self {
        self.for_good = true;
        self
    }

    /// Keeps what lies underneath, for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Hands the call back: not a byte of it was written.
    #[must_use]
    pub fn unsent(mut self, call: Call) -> Self {
        self.unsent = Some(Box::new(call));
        self
    }

    /// The code of the problem document.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.code.unwrap_or(self.class.name())
    }

    /// The whole chain of causes in one line, for the log.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut said = format!("{}: {}", self.name(), self.detail);
        let mut cause = self.cause.as_deref().map(|cause| cause as &dyn Error);
        while let Some(one) = cause {
            said.push_str(": ");
            said.push_str(&one.to_string());
            cause = one.source();
        }
        said
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Fault({}, ran: {:?}", self.chain(), self.ran)?;
        if let Some(wait) = self.retry_after {
            write!(out, ", retry after {wait:?}")?;
        }
        out.write_str(")")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.detail)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &dyn Error)
    }
}
