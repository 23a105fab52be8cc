//! Clashes: pairs of routes that one request could fit, and nothing decides between them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Host, conditions, explain,
    index::{Place, Spots},
    rank::{self, EventRank},
};
use crate::{
    Route,
    table::{Match, TypeMatch},
};

/// Two routes of equal rank that a request could both fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The place of the one among the routes.
    pub a: usize,
    /// The place of the other, which comes later.
    pub b: usize,
    /// What is wrong and what to write: names both.
    pub why: String,
}

/// All clashes, one for each route that clashes with an earlier one, in the order of the routes.
pub(super) fn find(routes: &[Arc<Route>], spots: &Spots<'_>) -> Vec<Clash> {
    let mut clashes: BTreeMap<usize, Clash> = BTreeMap::new();
    let mut note = |a: usize, b: usize, why: String| {
        let known = clashes.entry(b).or_insert_with(|| Clash { a, b, why: why.clone() });
        if a < known.a {
            *known = Clash { a, b, why };
        }
    };
    let mut expressions: HashMap<Option<&Host>, Vec<(usize, &str)>> = HashMap::new();
    for ((host, place), indices) in &spots.0 {
        if let Place::Regex(regex) = place {
            let of_host = expressions.entry(*host).or_default();
            of_host.extend(indices.iter().map(|index| (*index, *regex)));
        }
        let mut equal: HashMap<Rank<'_>, Vec<(usize, &Arc<Route>)>> = HashMap::new();
        for (index, route) in numbered(routes, indices) {
            let rivals = equal.entry(Rank::of(&route.matching)).or_default();
            let rival = rivals.iter().find(|(_, rival)| !apart(&rival.matching, &route.matching));
            if let Some((first, rival)) = rival {
                note(*first, index, same_place(rival, route, *host));
            }
            rivals.push((index, route));
        }
    }
    for of_host in expressions.values_mut() {
        of_host.sort_unstable();
        for (at, (b, regex)) in of_host.iter().enumerate() {
            let earlier = of_host.iter().take(at).filter(|(_, other)| other != regex);
            for (a, _) in earlier {
                if let (Some(one), Some(other)) = (routes.get(*a), routes.get(*b))
                    && undecided(&one.matching, &other.matching)
                {
                    note(*a, *b, two_expressions(one, other));
                    break;
                }
            }
        }
    }
    clashes.into_values().collect()
}

/// What decides between the routes of one place; routes of which one of these differs never clash.
#[derive(PartialEq, Eq, Hash)]
struct Rank<'m> {
    event: EventRank,
    /// The type or its prefix: two different ones of equal rank never fit the same event.
    kind: Option<&'m str>,
    has_methods: bool,
    conditions: usize,
    priority: i32,
}

impl<'m> Rank<'m> {
    fn of(matching: &'m Match) -> Self {
        Self {
            event: EventRank::of(matching.event.as_ref()),
            kind: matching.event.as_ref().and_then(|event| {
                let (TypeMatch::Exact(kind) | TypeMatch::Prefix(kind)) = event.kind.as_ref()?;
                Some(kind.as_str())
            }),
            has_methods: !matching.methods.is_empty(),
            conditions: rank::conditions(matching),
            priority: matching.priority,
        }
    }
}

/// Whether two routes of one place and of equal rank never fit the same request.
fn apart(a: &Match, b: &Match) -> bool {
    conditions::disjoint(a, b) || conditions::methods_disjoint(a, b)
}

/// Whether nothing decides between two regular expressions. The event cannot: the door is open
/// before it is looked at.
fn undecided(a: &Match, b: &Match) -> bool {
    a.priority == b.priority
        && !conditions::disjoint(a, b)
        && !conditions::methods_disjoint_with_head(a, b)
}

fn numbered<'r>(
    routes: &'r [Arc<Route>],
    indices: &[usize],
) -> impl Iterator<Item = (usize, &'r Arc<Route>)> {
    indices.iter().filter_map(|index| Some((*index, routes.get(*index)?)))
}

fn same_place(a: &Route, b: &Route, host: Option<&Host>) -> String {
    let host = host.map_or_else(|| "every host".to_owned(), |host| format!("host {host}"));
    let (one, other) = (explain::path_text(&a.matching.path), explain::path_text(&b.matching.path));
    let paths = if one == other { one } else { format!("{one}, which is the same as {other}") };
    format!(
        "routes `{}` and `{}` have equal rank on {host}, {paths}: one request can fit both; give one a higher `priority`, or both conditions of which only one can hold",
        a.name, b.name
    )
}

fn two_expressions(a: &Route, b: &Route) -> String {
    format!(
        "routes `{}` and `{}` have regular expressions on one host, and nothing says which comes first; give one a higher `priority`, or both conditions of which only one can hold",
        a.name, b.name
    )
}
