//! The guards of an upstream as they are written, and as they are lived by.

use std::{fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use schemas::units::{Percent, Span};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::OrNone;
use crate::{breaker, permits};

/// What guards an upstream and its functions as a configuration writes it: on the upstream, or for
/// all of them in `policies.default`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuardsWritten {
    /// How many calls may be under way at once, over all cores: a number, or `{ max, queue }`.
    /// `none`: any number. Default: 10000.
    pub concurrency: Option<OrNone<ConcurrencyWritten>>,
    /// When a function that fails is left alone for a while; `none`: never. Default: never.
    pub breaker: Option<OrNone<BreakerWritten>>,
    /// How many retries there may be, as a share of the calls of the last ten seconds; ten in ten
    /// seconds are always free. `none`: any number. Default 20%.
    pub retry_budget: Option<OrNone<Percent>>,
}

/// How many calls may be under way at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConcurrencyWritten {
    /// How many; at least 1. A call counts until the last byte of its answer. Default 10000.
    pub max: Option<u32>,
    /// How many more may wait, each until its own time is up. Default: as many as `max`, at most
    /// 1000.
    pub queue: Option<u32>,
}

/// When a function that fails is left alone, and for how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Breaker")]
pub struct BreakerWritten {
    /// The share of failed calls at which it opens, 1% to 100%. Default 50%.
    pub failures: Option<Percent>,
    /// How long a call counts, 100ms to 1h. Default 10s.
    pub window: Option<Span>,
    /// With fewer calls in the window it stays closed. Default 20.
    pub min_calls: Option<u32>,
    /// How long it stays open before it lets probes through. Default 5s.
    pub open: Option<Span>,
    /// How many probes have to go well before it closes, 1 to 1000. Default 3.
    pub probes: Option<u16>,
}

/// What guards an upstream: every field decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardSettings {
    /// `None`: any number at once.
    pub permits: Option<permits::Settings>,
    /// `None`: its functions have no breaker.
    pub breaker: Option<breaker::Settings>,
    /// `None`: any number of retries.
    pub budget: Option<Percent>,
}

/// A limit that is reached by what has gone wrong, not by load: each call under way costs a
/// descriptor and some tens of KiB, so that this many are a machine's share, while a function of
/// 100 ms that is called 10000 times a second has 1000 under way.
const CONCURRENCY: u32 = 10_000;
const QUEUE_MOST: u32 = 1_000;

impl GuardsWritten {
    /// The names of its fields.
    pub const FIELDS: [&'static str; 3] = ["concurrency", "breaker", "retry_budget"];

    /// These laid over wider ones, leaf by leaf.
    #[must_use]
    pub fn over(&self, wider: &Self) -> Self {
        Self {
            concurrency: OrNone::over(&self.concurrency, &wider.concurrency, |near, far| {
                ConcurrencyWritten { max: near.max.or(far.max), queue: near.queue.or(far.queue) }
            }),
            breaker: OrNone::over(&self.breaker, &wider.breaker, |near, far| BreakerWritten {
                failures: near.failures.or(far.failures),
                window: near.window.or(far.window),
                min_calls: near.min_calls.or(far.min_calls),
                open: near.open.or(far.open),
                probes: near.probes.or(far.probes),
            }),
            retry_budget: self.retry_budget.clone().or_else(|| wider.retry_budget.clone()),
        }
    }

    /// The leaves that are written here, such as `breaker.open`; a field itself where it is on or
    /// off without more.
    #[must_use]
    pub fn leaves(&self) -> Vec<&'static str> {
        let concurrency = self.concurrency.as_ref().and_then(OrNone::is);
        let breaker = self.breaker.as_ref().and_then(OrNone::is);
        [
            ("concurrency", self.concurrency.is_some()),
            ("concurrency.max", concurrency.is_some_and(|written| written.max.is_some())),
            ("concurrency.queue", concurrency.is_some_and(|written| written.queue.is_some())),
            ("breaker", self.breaker.is_some()),
            ("breaker.failures", breaker.is_some_and(|written| written.failures.is_some())),
            ("breaker.window", breaker.is_some_and(|written| written.window.is_some())),
            ("breaker.min_calls", breaker.is_some_and(|written| written.min_calls.is_some())),
            ("breaker.open", breaker.is_some_and(|written| written.open.is_some())),
            ("breaker.probes", breaker.is_some_and(|written| written.probes.is_some())),
            ("retry_budget", self.retry_budget.is_some()),
        ]
        .into_iter()
        .filter_map(|(leaf, written)| written.then_some(leaf))
        .collect()
    }

    /// Decides every field that is left out.
    #[must_use]
    pub fn decide(&self) -> GuardSettings {
        let span =
            |written: Option<Span>, default: Duration| written.map_or(default, |span| span.0);
        let permits = match self.concurrency.as_ref() {
            Some(OrNone::None) => None,
            written => {
                let ConcurrencyWritten { max, queue } =
                    written.and_then(OrNone::is).copied().unwrap_or_default();
                let max = max.unwrap_or(CONCURRENCY).max(1);
                Some(permits::Settings { max, queue: queue.unwrap_or(max.min(QUEUE_MOST)) })
            }
        };
        let breaker = self.breaker.as_ref().and_then(OrNone::is).map(|written| breaker::Settings {
            failures: written.failures.unwrap_or(Percent(50)),
            window: span(written.window, Duration::from_secs(10)),
            min_calls: written.min_calls.unwrap_or(20),
            open: span(written.open, Duration::from_secs(5)),
            probes: written.probes.unwrap_or(3).max(1),
        });
        let budget = match &self.retry_budget {
            None => Some(Percent(20)),
            Some(written) => written.is().copied(),
        };
        GuardSettings { permits, breaker, budget }
    }
}

impl GuardSettings {
    /// Each leaf and its value as it would be written.
    #[must_use]
    pub fn leaves(&self) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        match &self.permits {
            None => all.push(("concurrency", "none".to_owned())),
            Some(permits) => {
                all.push(("concurrency.max", permits.max.to_string()));
                all.push(("concurrency.queue", permits.queue.to_string()));
            }
        }
        match &self.breaker {
            None => all.push(("breaker", "none".to_owned())),
            Some(breaker) => {
                all.push(("breaker.failures", breaker.failures.to_string()));
                all.push(("breaker.window", Span(breaker.window).to_string()));
                all.push(("breaker.min_calls", breaker.min_calls.to_string()));
                all.push(("breaker.open", Span(breaker.open).to_string()));
                all.push(("breaker.probes", breaker.probes.to_string()));
            }
        }
        let budget = self.budget.map_or_else(|| "none".to_owned(), |share| share.to_string());
        all.push(("retry_budget", budget));
        all
    }
}

/// The long form.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Concurrency")]
struct Form {
    /// How many; at least 1. A call counts until the last byte of its answer. Default 10000.
    max: Option<u32>,
    /// How many more may wait, each until its own time is up. Default: as many as `max`, at most
    /// 1000.
    queue: Option<u32>,
}

// By hand, as an untagged enum would only say that nothing fits.
impl<'de> Deserialize<'de> for ConcurrencyWritten {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> de::Visitor<'de> for Reader {
            type Value = ConcurrencyWritten;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a whole number, { max, queue } or none")
            }

            fn visit_u64<E: de::Error>(self, max: u64) -> Result<Self::Value, E> {
                match u32::try_from(max) {
                    Ok(max) => Ok(ConcurrencyWritten { max: Some(max), queue: None }),
                    Err(_) => self.visit_str(&max.to_string()),
                }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let what = "write a whole number, { max: 100, queue: 50 } or none";
                Err(E::custom(format!("{text:?} is no number of calls; {what}")))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let Form { max, queue } =
                    Form::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(ConcurrencyWritten { max, queue })
            }
        }

        from.deserialize_any(Reader)
    }
}

impl JsonSchema for ConcurrencyWritten {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ConcurrencyWritten".into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        let form = schemas.subschema_for::<Form>();
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 1 }, form] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &str) -> GuardsWritten {
        serde_json::from_str(json).unwrap()
    }

    fn leaves(written: &GuardsWritten) -> String {
        let leaves = written.decide().leaves();
        leaves.iter().map(|(leaf, value)| format!("{leaf}={value}\n")).collect()
    }

    #[test]
    fn what_is_not_written_is_decided() {
        assert_eq!(
            leaves(&GuardsWritten::default()),
            "concurrency.max=10000\nconcurrency.queue=1000\nbreaker=none\nretry_budget=20%\n"
        );
        assert_eq!(
            leaves(&written(r#"{"breaker": {}, "concurrency": 7}"#)),
            "concurrency.max=7\nconcurrency.queue=7\nbreaker.failures=50%\nbreaker.window=10s\n\
             breaker.min_calls=20\nbreaker.open=5s\nbreaker.probes=3\nretry_budget=20%\n"
        );
    }

    #[test]
    fn the_nearest_wins_leaf_by_leaf_and_none_removes() {
        let wide = written(
            r#"{"concurrency": {"max": 10, "queue": 3}, "breaker": {"open": "9s", "probes": 1}, "retry_budget": "10%"}"#,
        );
        let near = written(r#"{"concurrency": 20, "breaker": {"probes": 2}}"#);
        assert_eq!(
            leaves(&near.over(&wide)),
            "concurrency.max=20\nconcurrency.queue=3\nbreaker.failures=50%\nbreaker.window=10s\n\
             breaker.min_calls=20\nbreaker.open=9s\nbreaker.probes=2\nretry_budget=10%\n"
        );
        assert_eq!(near.leaves(), ["concurrency", "concurrency.max", "breaker", "breaker.probes"]);
        let none = written(r#"{"concurrency": "none", "breaker": "none", "retry_budget": "none"}"#);
        let removed = "concurrency=none\nbreaker=none\nretry_budget=none\n";
        assert_eq!(leaves(&none.over(&wide)), removed);
        assert_eq!(leaves(&wide.over(&none)), leaves(&wide));
    }
}
