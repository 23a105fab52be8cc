//! The policy as it is written, and as it is lived by.

use std::time::Duration;

use schemars::JsonSchema;
use schemas::units::{Size, Span};
use serde::{Deserialize, Serialize};

/// A policy as a configuration writes it. What is left out comes from the next wider one: the
/// route's `policy`, then `use` in order, then the upstream, then `policies.default`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// How long a caller waits for the head of the answer, all tries together. Default 15s.
    pub timeout: Option<Span>,
    /// How long one try may take. Default 10s.
    pub try_timeout: Option<Span>,
    /// How long a body may stand still, either way. Default 60s.
    pub idle_timeout: Option<Span>,
    /// When a call is sent again.
    pub retry: Option<RetryWritten>,
    /// How large requests may be.
    pub limits: Option<LimitsWritten>,
    /// Whether the function may be called twice for one request, so that a call which may have run
    /// can be sent again. Default: as the method says (GET, HEAD, OPTIONS, PUT, DELETE are).
    pub idempotent: Option<bool>,
}

/// When a call is sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryWritten {
    /// Every try counts, the first included: 1 never sends again. Default 2.
    pub attempts: Option<u32>,
    /// What is worth another try. Default connect and throttled.
    pub on: Option<Vec<On>>,
    /// How long to wait between tries.
    pub backoff: Option<BackoffWritten>,
    /// How much of a body is kept so that it can be sent again; a longer one is sent once.
    /// Default 64KiB.
    pub buffer: Option<Size>,
}

/// How long to wait between tries: a random time up to `base` doubled with every try, at most `max`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackoffWritten {
    /// The bound of the first wait. Default 50ms.
    pub base: Option<Span>,
    /// The bound of every wait. Default 2s.
    pub max: Option<Span>,
}

/// How large requests may be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsWritten {
    /// The body of a request that passes through. Default 10MiB.
    pub body: Option<Size>,
    /// An event that is read whole: structured, in a batch, or sent to a broker. Default 1MiB.
    pub event: Option<Size>,
    /// All headers of a request together. Default 64KiB.
    pub headers: Option<Size>,
}

/// What is worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum On {
    /// A kind of failure.
    Named(OnName),
    /// A status of the function's own answer, 500 to 599 or 429.
    Status(u16),
}

/// The kinds of failure that can be named in `retry.on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnName {
    /// No connection could be made, so nothing was sent.
    Connect,
    /// The platform asks for fewer calls.
    Throttled,
    /// The connection broke, or the answer was no answer.
    Reset,
    /// The try took longer than `try_timeout`.
    Timeout,
    /// The function ran and failed (any 5xx).
    Failed,
}

/// The policy that a route lives by: every field decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// From the request's arrival to the head of the answer.
    pub timeout: Duration,
    /// From sending to the head of the answer, for each try.
    pub try_timeout: Duration,
    /// The longest silence in a body.
    pub idle_timeout: Duration,
    /// When a call is sent again.
    pub retry: Retry,
    /// Bytes of a body that passes through.
    pub body_bytes_max: u64,
    /// Bytes of an event that is read whole.
    pub event_bytes_max: usize,
    /// Bytes of all headers together.
    pub header_bytes_max: usize,
    /// Whether a call that may have run may be sent again; `None`: as the method says.
    pub idempotent: Option<bool>,
}

/// When a call is sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Retry {
    /// Tries in all, the first included; at least 1.
    pub attempts: u32,
    /// What is worth another try.
    pub on: Vec<On>,
    /// The bound of the first wait.
    pub backoff_base: Duration,
    /// The bound of every wait.
    pub backoff_max: Duration,
    /// Bytes of a body that are kept so that it can be sent again.
    pub buffer_bytes: usize,
}

impl Written {
    /// This policy laid over a wider one, leaf by leaf: what is written here wins, lists replace.
    #[must_use]
    pub fn over(&self, wider: &Self) -> Self {
        let retry = match (&self.retry, &wider.retry) {
            (Some(near), Some(far)) => Some(RetryWritten {
                attempts: near.attempts.or(far.attempts),
                on: near.on.clone().or_else(|| far.on.clone()),
                backoff: match (&near.backoff, &far.backoff) {
                    (Some(near), Some(far)) => Some(BackoffWritten {
                        base: near.base.or(far.base),
                        max: near.max.or(far.max),
                    }),
                    (near, far) => near.clone().or_else(|| far.clone()),
                },
                buffer: near.buffer.or(far.buffer),
            }),
            (near, far) => near.clone().or_else(|| far.clone()),
        };
        let limits = match (&self.limits, &wider.limits) {
            (Some(near), Some(far)) => Some(LimitsWritten {
                body: near.body.or(far.body),
                event: near.event.or(far.event),
                headers: near.headers.or(far.headers),
            }),
            (near, far) => near.clone().or_else(|| far.clone()),
        };
        Self {
            timeout: self.timeout.or(wider.timeout),
            try_timeout: self.try_timeout.or(wider.try_timeout),
            idle_timeout: self.idle_timeout.or(wider.idle_timeout),
            retry,
            limits,
            idempotent: self.idempotent.or(wider.idempotent),
        }
    }

    /// Decides every field that is left out.
    #[must_use]
    pub fn decide(&self) -> Policy {
        let span =
            |written: Option<Span>, default: Duration| written.map_or(default, |span| span.0);
        let retry = self.retry.clone().unwrap_or_default();
        let backoff = retry.backoff.unwrap_or_default();
        let limits = self.limits.clone().unwrap_or_default();
        Policy {
            timeout: span(self.timeout, Duration::from_secs(15)),
            try_timeout: span(self.try_timeout, Duration::from_secs(10)),
            idle_timeout: span(self.idle_timeout, Duration::from_secs(60)),
            retry: Retry {
                attempts: retry.attempts.unwrap_or(2).max(1),
                on: retry.on.unwrap_or_else(|| {
                    vec![On::Named(OnName::Connect), On::Named(OnName::Throttled)]
                }),
                backoff_base: span(backoff.base, Duration::from_millis(50)),
                backoff_max: span(backoff.max, Duration::from_secs(2)),
                buffer_bytes: retry.buffer.unwrap_or(Size(64 << 10)).bytes(),
            },
            body_bytes_max: limits.body.unwrap_or(Size(10 << 20)).0,
            event_bytes_max: limits.event.unwrap_or(Size(1 << 20)).bytes(),
            header_bytes_max: limits.headers.unwrap_or(Size(64 << 10)).bytes(),
            idempotent: self.idempotent,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Written::default().decide()
    }
}
