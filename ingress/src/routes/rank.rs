//! Ranks: what decides between routes that could all serve a request. Greater is better.

use std::cmp::Reverse;

use schemas::Attributes;

use super::{
    Host, encoding,
    methods::MethodRank,
    pattern::{Kind, Step},
};
use crate::{
    Route,
    table::{EventMatch, Match, PathMatch, TypeMatch},
};

/// The order of the routes behind one door: the fields in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InDoor<'t> {
    pub(super) event: EventRank,
    pub(super) method: MethodRank,
    /// How many conditions on headers and on the query.
    pub(super) conditions: usize,
    pub(super) priority: i32,
    /// Decides only where a request repeats a header or a query parameter and so fits two exact
    /// values of it: no order of the file may decide.
    name: Reverse<&'t str>,
}

/// How closely a route looks at the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EventRank {
    pub(super) tier: EventTier,
    /// The length of a type's prefix.
    pub(super) prefix_bytes: usize,
    /// Whether there are filters as well.
    pub(super) filtered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum EventTier {
    /// No condition on the event.
    Plain,
    /// Conditions, but none on the type.
    Other,
    /// The start of the type.
    Prefix,
    /// The type.
    Exact,
}

/// How closely a route looks at the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HostRank {
    Any,
    Wildcard { bytes: usize },
    Exact,
}

/// How closely a route looks at the path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathRank {
    Any,
    Regex,
    Prefix { segments: usize },
    Exact(Vec<StepRank>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StepRank {
    Rest,
    Untyped,
    Typed,
    Literal,
}

impl<'t> InDoor<'t> {
    /// The rank of a route that fits the event, if it matters, and fits the method in this way.
    pub(super) fn of(route: &'t Route, method: MethodRank) -> Self {
        Self {
            event: EventRank::of(route.matching.event.as_ref()),
            method,
            conditions: conditions(&route.matching),
            priority: route.matching.priority,
            name: Reverse(&route.name),
        }
    }
}

/// How many conditions on headers and on the query a route has.
pub(super) fn conditions(matching: &Match) -> usize {
    matching.headers.len() + matching.query.len()
}

impl EventRank {
    pub(super) fn of(condition: Option<&EventMatch>) -> Self {
        let (tier, prefix_bytes) = match condition.map(|event| &event.kind) {
            None => (EventTier::Plain, 0),
            Some(None) => (EventTier::Other, 0),
            Some(Some(TypeMatch::Prefix(prefix))) => (EventTier::Prefix, prefix.len()),
            Some(Some(TypeMatch::Exact(_))) => (EventTier::Exact, 0),
        };
        let filtered = condition.is_some_and(|event| !event.filters.is_empty());
        Self { tier, prefix_bytes, filtered }
    }
}

/// Whether the event, or that there is none, is what the condition asks for.
pub(super) fn event_fits(condition: Option<&EventMatch>, event: Option<&Attributes>) -> bool {
    match (condition, event) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(condition), Some(event)) => {
            type_fits(condition, event) && filters_hold(condition, event)
        }
    }
}

/// Whether the event's type fits.
pub(super) fn type_fits(condition: &EventMatch, event: &Attributes) -> bool {
    match &condition.kind {
        None => true,
        Some(TypeMatch::Exact(kind)) => event.kind == *kind,
        Some(TypeMatch::Prefix(prefix)) => event.kind.starts_with(prefix),
    }
}

/// Whether all filters hold.
pub(super) fn filters_hold(condition: &EventMatch, event: &Attributes) -> bool {
    condition.filters.iter().all(|filter| filter.holds(event))
}

impl HostRank {
    /// The rank of a host that a request has matched.
    pub(super) fn of(host: Option<&Host>) -> Self {
        match host {
            None => Self::Any,
            Some(host) if host.is_wildcard() => Self::Wildcard { bytes: host.name().len() },
            Some(_) => Self::Exact,
        }
    }
}

impl PathRank {
    /// The rank of a path condition that a request has matched.
    pub(super) fn of(path: &PathMatch) -> Self {
        match path {
            PathMatch::Any => Self::Any,
            PathMatch::Regex(_) => Self::Regex,
            PathMatch::Prefix(prefix) => {
                Self::Prefix { segments: encoding::segments(prefix).count() }
            }
            PathMatch::Pattern(pattern) => {
                Self::Exact(pattern.steps().iter().map(StepRank::of).collect())
            }
        }
    }
}

impl StepRank {
    fn of(step: &Step) -> Self {
        match step {
            Step::Literal(_) => Self::Literal,
            Step::Parameter(Kind::Int | Kind::Uuid | Kind::Alpha) => Self::Typed,
            Step::Parameter(Kind::Any) => Self::Untyped,
            Step::Parameter(Kind::Many) => Self::Rest,
        }
    }
}
