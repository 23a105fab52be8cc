//! The conditions on a request's head: whether they hold, and whether two routes' conditions can be
//! seen never to hold together.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, Method};
use regex::Regex;

use super::Seen;
use crate::{
    table::{Condition, Match},
    values::decode_form,
};

/// The first condition of a route that does not hold. Host, path and method are others' business.
#[derive(Clone, Copy, Debug)]
pub(super) enum Miss<'m> {
    Listener,
    Header(&'m HeaderName, &'m Condition),
    Query(&'m str, &'m Condition),
}

/// Whether listener, headers and query are as the route asks.
pub(super) fn hold(matching: &Match, seen: &Seen<'_>) -> bool {
    miss(matching, seen).is_none()
}

/// The first condition on listener, headers and query that does not hold.
pub(super) fn miss<'m>(matching: &'m Match, seen: &Seen<'_>) -> Option<Miss<'m>> {
    if !matching.listeners.is_empty()
        && !matching.listeners.iter().any(|name| name.as_str() == seen.listener)
    {
        return Some(Miss::Listener);
    }
    let headers = matching.headers.iter().find_map(|(name, condition)| {
        (!condition.holds(|| header_values(seen.headers, name)))
            .then_some(Miss::Header(name, condition))
    });
    headers.or_else(|| {
        matching.query.iter().find_map(|(name, condition)| {
            (!condition.holds(|| query_values(seen.query, name)))
                .then_some(Miss::Query(name, condition))
        })
    })
}

/// Whether the heads that two routes serve can be seen to be different, whatever their methods.
pub(super) fn disjoint(a: &Match, b: &Match) -> bool {
    none_shared(&a.listeners, &b.listeners)
        || any_apart(&a.headers, &b.headers)
        || any_apart(&a.query, &b.query)
}

/// Whether no method is named by both.
pub(super) fn methods_disjoint(a: &Match, b: &Match) -> bool {
    none_shared(&a.methods, &b.methods)
}

/// Whether no method is served by both, where GET stands for HEAD as well.
pub(super) fn methods_disjoint_with_head(a: &Match, b: &Match) -> bool {
    let serves_head = |matching: &Match| {
        matching.methods.iter().any(|method| [Method::GET, Method::HEAD].contains(method))
    };
    methods_disjoint(a, b) && !(serves_head(a) && serves_head(b))
}

/// Whether two lists, of which an empty one means everything, have nothing in common.
fn none_shared<T: PartialEq>(a: &[T], b: &[T]) -> bool {
    !a.is_empty() && !b.is_empty() && !a.iter().any(|item| b.contains(item))
}

fn any_apart<N: PartialEq>(a: &[(N, Condition)], b: &[(N, Condition)]) -> bool {
    a.iter().any(|(name, one)| {
        b.iter().any(|(other_name, other)| {
            name == other_name && (apart(one, other) || apart(other, one))
        })
    })
}

/// Whether one value can be seen not to meet both conditions.
fn apart(a: &Condition, b: &Condition) -> bool {
    match (a, b) {
        (Condition::Absent, other) => !matches!(other, Condition::Absent),
        (
            Condition::Exact(text),
            Condition::Exact(_) | Condition::Prefix(_) | Condition::Regex(_),
        ) => !b.fits(text.as_bytes()),
        (Condition::Prefix(a), Condition::Prefix(b)) => !a.starts_with(b) && !b.starts_with(a),
        _ => false,
    }
}

impl Condition {
    /// Whether it holds of these values; one that fits is enough.
    fn holds<V: AsRef<[u8]>, I: Iterator<Item = V>>(&self, values: impl Fn() -> I) -> bool {
        match self {
            Self::Absent => values().next().is_none(),
            _ => values().any(|value| self.fits(value.as_ref())),
        }
    }

    /// Whether this value fits.
    fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Absent => false,
            Self::Exact(text) => value == text.as_bytes(),
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Regex(regex) => str::from_utf8(value).is_ok_and(|value| whole(regex, value)),
        }
    }
}

/// Whether the whole text fits, however the expression is anchored.
pub(super) fn whole(regex: &Regex, text: &str) -> bool {
    regex.find(text).is_some_and(|found| found.start() == 0 && found.end() == text.len())
}

fn header_values<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'h [u8]> + use<'h> {
    headers.get_all(name).into_iter().map(|value| value.as_bytes())
}

/// The values of a query parameter, decoded as placeholders have them; what is no UTF-8 is left as
/// it came.
fn query_values<'q>(query: Option<&'q str>, name: &'q str) -> impl Iterator<Item = Cow<'q, [u8]>> {
    query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).filter_map(move |pair| {
        let (known, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = decode_form(known)?;
        (known == name).then(|| bytes(decode_form(value).unwrap_or(Cow::Borrowed(value))))
    })
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}
