//! The policy as it is written, and as it is lived by.

mod guards;

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use schemas::units::{Rate, Size, Span};
use serde::{Deserialize, Deserializer, Serialize, de};

pub use self::guards::{BreakerWritten, ConcurrencyWritten, GuardSettings, GuardsWritten};
pub use schemas::OrNone;

/// A policy as a configuration writes it. What is left out comes from the next wider one: the
/// route's `policy`, then `use` in order, then the upstream, then `policies.default`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Policy")]
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
    /// How many requests the route takes; a request has to pass each of these limits. `none`
    /// removes those of a wider policy. Default: no limit.
    pub rate_limit: Option<OrNone<Vec<RateLimitWritten>>>,
    /// Who may call. Authentication is not built yet, so `none` is the only word, and it says what
    /// is so anyhow: anybody may. It needs `public: true` beside it.
    pub auth: Option<Auth>,
    /// Says that anybody may call, and that this is meant; beside `auth: none`.
    pub public: Option<bool>,
}

/// One rate limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RateLimit")]
pub struct RateLimitWritten {
    /// How many requests in a second, a minute or an hour: `10/s`.
    pub rate: Rate,
    /// How many of them may come at once. Default: as many as the rate names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Who shares the limit: `address` (the caller's), or what the request brings, such as
    /// `"{header.x-tenant}"`. Default: all requests of the route together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Anybody.
    None,
}

/// When a call is sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Retry")]
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
#[schemars(rename = "Backoff")]
pub struct BackoffWritten {
    /// The bound of the first wait. Default 50ms.
    pub base: Option<Span>,
    /// The bound of every wait. Default 2s.
    pub max: Option<Span>,
}

/// How large requests may be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Limits")]
pub struct LimitsWritten {
    /// The body of a request that passes through. Default 10MiB.
    pub body: Option<Size>,
    /// An event that is read whole: structured, in a batch, or sent to a broker. Default 1MiB.
    pub event: Option<Size>,
    /// All headers of a request together. Default 64KiB.
    pub headers: Option<Size>,
}

/// What is worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
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
    /// No connection could be made, so nothing was sent; or the upstream said that it is unavailable,
    /// and nothing more.
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
            rate_limit: self.rate_limit.clone().or_else(|| wider.rate_limit.clone()),
            auth: self.auth.or(wider.auth),
            public: self.public.or(wider.public),
        }
    }

    /// The leaves that are written here, such as `retry.attempts`.
    #[must_use]
    pub fn leaves(&self) -> Vec<&'static str> {
        let retry = self.retry.as_ref();
        let backoff = retry.and_then(|retry| retry.backoff.as_ref());
        let limits = self.limits.as_ref();
        [
            ("timeout", self.timeout.is_some()),
            ("try_timeout", self.try_timeout.is_some()),
            ("idle_timeout", self.idle_timeout.is_some()),
            ("retry.attempts", retry.is_some_and(|retry| retry.attempts.is_some())),
            ("retry.on", retry.is_some_and(|retry| retry.on.is_some())),
            ("retry.backoff.base", backoff.is_some_and(|backoff| backoff.base.is_some())),
            ("retry.backoff.max", backoff.is_some_and(|backoff| backoff.max.is_some())),
            ("retry.buffer", retry.is_some_and(|retry| retry.buffer.is_some())),
            ("limits.body", limits.is_some_and(|limits| limits.body.is_some())),
            ("limits.event", limits.is_some_and(|limits| limits.event.is_some())),
            ("limits.headers", limits.is_some_and(|limits| limits.headers.is_some())),
            ("idempotent", self.idempotent.is_some()),
            ("rate_limit", self.rate_limit.is_some()),
            ("auth", self.auth.is_some()),
            ("public", self.public.is_some()),
        ]
        .into_iter()
        .filter_map(|(leaf, written)| written.then_some(leaf))
        .collect()
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

impl Policy {
    /// The same, but that nothing is sent a second time.
    #[must_use]
    pub fn once(&self) -> Self {
        let retry = Retry { attempts: 1, ..self.retry.clone() };
        Self { retry, ..self.clone() }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Written::default().decide()
    }
}

// By hand, as an untagged enum would only say that nothing fits.
impl<'de> Deserialize<'de> for On {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl de::Visitor<'_> for Reader {
            type Value = On;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a kind of failure such as connect, or a status")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<On, E> {
                OnName::deserialize(de::value::StrDeserializer::new(word)).map(On::Named)
            }

            fn visit_u64<E: de::Error>(self, status: u64) -> Result<On, E> {
                match u16::try_from(status) {
                    Ok(status @ (429 | 500..=599)) => Ok(On::Status(status)),
                    _ => Err(E::custom(format!(
                        "{status} is not a failure to repeat; write 429, or a status from 500 to 599"
                    ))),
                }
            }
        }

        from.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &str) -> Written {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_nearest_wins_leaf_by_leaf_and_lists_replace() {
        let wide = written(
            r#"{"timeout": "15s", "retry": {"attempts": 3, "on": ["connect", 503], "backoff": {"base": "50ms"}}}"#,
        );
        let near = written(
            r#"{"timeout": "5s", "retry": {"on": ["timeout"], "backoff": {"max": "1s"}}, "limits": {"event": "2MiB"}}"#,
        );
        let policy = near.over(&wide).decide();
        assert_eq!(policy.timeout, Duration::from_secs(5));
        assert_eq!(policy.try_timeout, Duration::from_secs(10));
        assert_eq!(policy.retry.attempts, 3);
        assert_eq!(policy.retry.on, [On::Named(OnName::Timeout)]);
        assert_eq!(policy.retry.backoff_base, Duration::from_millis(50));
        assert_eq!(policy.retry.backoff_max, Duration::from_secs(1));
        assert_eq!(policy.event_bytes_max, 2 << 20);
        assert_eq!(policy.body_bytes_max, 10 << 20);
        assert_eq!(near.leaves(), ["timeout", "retry.on", "retry.backoff.max", "limits.event"]);
    }

    #[test]
    fn every_leaf_of_the_schema_is_a_leaf_of_the_code() {
        let all = written(
            r#"{"timeout": "1s", "try_timeout": "1s", "idle_timeout": "1s", "idempotent": true,
                "rate_limit": [{"rate": "1/s"}], "auth": "none", "public": true,
                "retry": {"attempts": 1, "on": [], "backoff": {"base": "1s", "max": "1s"}, "buffer": "1B"},
                "limits": {"body": "1B", "event": "1B", "headers": "1B"}}"#,
        );
        fn leaves(value: &serde_json::Value, path: &str, out: &mut Vec<String>) {
            for (key, value) in value.as_object().unwrap() {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                if value.is_object() { leaves(value, &path, out) } else { out.push(path) }
            }
        }
        let mut expected = Vec::new();
        leaves(&serde_json::to_value(&all).unwrap(), "", &mut expected);
        let mut found: Vec<String> = all.leaves().into_iter().map(str::to_owned).collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_status_that_is_no_failure_is_not_repeated() {
        for word in ["200", "404", "600", "70000", "-1", "\"always\"", "true"] {
            assert!(serde_json::from_str::<On>(word).is_err(), "{word}");
        }
        for word in ["429", "500", "599", "\"connect\"", "\"failed\""] {
            assert!(serde_json::from_str::<On>(word).is_ok(), "{word}");
        }
    }
}
