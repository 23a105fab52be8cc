//! Routes that no request reaches, as far as their conditions prove it.

use std::{collections::HashMap, sync::Arc};

use super::{
    explain,
    rank::{self, EventRank},
};
use crate::{
    Route,
    table::{Match, PathMatch},
};

/// A route that serves nothing, since another goes first wherever it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// The place of the one in the list.
    pub route: usize,
    /// The place of the other.
    pub by: usize,
}

/// All such routes, in the order of the list. What cannot be proven is not said: regular
/// expressions are compared as texts.
#[must_use]
pub fn shadows(routes: &[&Arc<Route>]) -> Vec<Shadow> {
    let mut by_path: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, route) in routes.iter().enumerate() {
        // All paths are below `/`, so these two stand on one place.
        let path = match &route.matching.path {
            PathMatch::Any => "prefix /".to_owned(),
            path => explain::path_text(path),
        };
        by_path.entry(path).or_default().push(at);
    }
    let mut found = Vec::new();
    for rivals in by_path.values().filter(|rivals| rivals.len() > 1) {
        for &route in rivals {
            let this = &routes[route].matching;
            let by = rivals.iter().find(|other| covers(&routes[**other].matching, this));
            found.extend(by.map(|&by| Shadow { route, by }));
        }
    }
    found.sort_unstable_by_key(|shadow| shadow.route);
    found
}

/// Whether the one goes first wherever the other fits. Their paths are the same.
fn covers(one: &Match, other: &Match) -> bool {
    if !all_of(&one.listeners, &other.listeners) || !same_hosts(one, other) {
        return false;
    }
    if matches!((&one.path, &other.path), (PathMatch::Prefix(_), PathMatch::Any)) {
        // The better place by itself, so any condition of the other's comes too late.
        return one.methods.is_empty() && rank::conditions(one) == 0 && one.event.is_none();
    }
    let same_path = std::mem::discriminant(&one.path) == std::mem::discriminant(&other.path);
    same_path
        && one.priority > other.priority
        && one.methods.is_empty() == other.methods.is_empty()
        && all_of(&one.methods, &other.methods)
        && same_conditions(one, other)
        && same_event(one, other)
}

/// Whether a list, of which an empty one means everything, names all that the other does.
fn all_of<T: PartialEq>(wide: &[T], narrow: &[T]) -> bool {
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|item| wide.contains(item)))
}

/// Hosts of one rank: a route for every host does not go before one for this host.
fn same_hosts(one: &Match, other: &Match) -> bool {
    one.hosts.is_empty() == other.hosts.is_empty()
        && other.hosts.iter().all(|host| one.hosts.contains(host))
}

fn same_conditions(one: &Match, other: &Match) -> bool {
    let texts = |matching: &Match| {
        let headers = matching.headers.iter().map(|header| format!("header {header:?}"));
        let query = matching.query.iter().map(|parameter| format!("query {parameter:?}"));
        let mut all: Vec<String> = headers.chain(query).collect();
        all.sort();
        all
    };
    texts(one) == texts(other)
}

fn same_event(one: &Match, other: &Match) -> bool {
    let rank = |matching: &Match| EventRank::of(matching.event.as_ref());
    rank(one) == rank(other) && format!("{:?}", one.event) == format!("{:?}", other.event)
}
