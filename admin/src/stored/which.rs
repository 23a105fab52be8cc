//! Which records are meant: what is asked for, read once, before anything is looked at.

use std::{borrow::Cow, fmt, str::FromStr};

use ::outbox::{Filter, Id, Letter, Millis, State, record::Told};
use ingress::filters::cesql::Expression;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use schemas::{Class, units::Span};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Problem;

/// How many records a request may ask for.
const LIMIT_MAX: u32 = 1000;

/// Which records are meant. What is not said is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "OutboxFilter")]
pub struct Which {
    /// In this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Of this route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// For this target, by its address as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Events of this type; a `*` at the end makes it a prefix.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Accepted then or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<When>,
    /// Accepted before then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<When>,
    /// The event's own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// A CESQL expression over the event's attributes.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// Only records with a number above this one: where the request before has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Only records with a number up to this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to: Option<u64>,
    /// How many at most. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
}

/// A point in time: in RFC 3339, or how long ago, such as `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When(pub Millis);

/// What is asked for, read.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) filter: Filter,
    pub(super) after: Option<Id>,
    pub(super) limit: usize,
    up_to: Option<Id>,
    expression: Option<Expression>,
}

impl Which {
    /// Whether it asks for all records that there are.
    #[must_use]
    pub fn is_all(&self) -> bool {
        let Self { state, route, target, kind, since, until, event_id, expression, .. } = self;
        state.is_none()
            && [route, target, kind, event_id, expression].iter().all(|one| one.is_none())
            && [since, until].iter().all(|one| one.is_none())
    }

    pub(super) fn read(&self) -> Result<Wanted, Problem> {
        let bad = |what: String| Problem::new(Class::BadRequest, what);
        let limit = self.limit.unwrap_or(100);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(bad(format!("limit: write 1 to {LIMIT_MAX}")));
        }
        let expression = self.expression.as_deref().map(Expression::for_filter).transpose();
        let expression = expression.map_err(|mistake| bad(format!("where: {mistake}")))?;
        Ok(Wanted {
            filter: Filter {
                state: self.state,
                route: self.route.clone(),
                target: self.target.clone(),
                kind: self.kind.clone(),
                since: self.since.map(|when| when.0),
                until: self.until.map(|when| when.0),
                event: self.event_id.clone(),
            },
            after: self.after.map(Id),
            limit: limit as usize,
            up_to: self.up_to.map(Id),
            expression,
        })
    }
}

impl Wanted {
    /// Whether this record and all that follow are past the end.
    pub(super) fn is_past(&self, letter: &Letter) -> bool {
        self.up_to.is_some_and(|up_to| letter.id > up_to)
    }

    /// Whether the expression holds, which the store does not know.
    pub(super) fn holds(&self, letter: &Letter) -> bool {
        self.expression.as_ref().is_none_or(|expression| {
            let event = letter.record.head.event().map(Told::attributes);
            event.is_some_and(|event| expression.holds(&event))
        })
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(Span(ago)) = text.parse() {
            let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
            return Ok(Self(Millis(Millis::now().0.saturating_sub(ago))));
        }
        let at: jiff::Timestamp = text.parse().map_err(|_| {
            format!("{text:?} is no time; write 2026-01-31T12:00:00Z, or how long ago, such as 1h")
        })?;
        // What was before 1970 was before everything here.
        Ok(Self(Millis(u64::try_from(at.as_millisecond()).unwrap_or_default())))
    }
}

impl fmt::Display for When {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&super::told(self.0))
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl JsonSchema for When {
    fn schema_name() -> Cow<'static, str> {
        "When".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A point in time in RFC 3339, or how long ago.",
            "examples": ["2026-01-31T12:00:00Z", "1h"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_or_an_age_and_is_written_as_a_date() {
        let at: When = "2026-01-31T12:00:00.5+01:00".parse().unwrap();
        assert_eq!(at.to_string(), "2026-01-31T11:00:00.500Z");
        assert_eq!(at.to_string().parse::<When>().unwrap(), at);
        let ago: When = "1h".parse().unwrap();
        let hour = Millis::now().0 - ago.0.0;
        assert!((3_600_000..3_660_000).contains(&hour), "{hour}");
        for bad in ["", "yesterday", "2026-01-31", "1 h", "-1h"] {
            assert!(bad.parse::<When>().unwrap_err().contains("such as 1h"), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused_with_what_to_write() {
        let said = |which: Which| which.read().unwrap_err().detail().to_owned();
        assert!(said(Which { limit: Some(0), ..Which::default() }).contains("1 to 1000"));
        assert!(said(Which { limit: Some(1001), ..Which::default() }).contains("1 to 1000"));
        let expression = Some("type = ".to_owned());
        assert!(said(Which { expression, ..Which::default() }).starts_with("where: "));
        assert!(Which { after: Some(1), limit: Some(1), ..Which::default() }.is_all());
        assert!(!Which { kind: Some("*".to_owned()), ..Which::default() }.is_all());
    }
}
