//! Where the routes lie: by host, then by path. The cost of a walk grows with the path's segments,
//! not with the routes.

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
    sync::Arc,
};

use regex::Regex;

use super::{
    Host, conditions, encoding,
    gate::{Gate, Leaf},
    host,
    pattern::Step,
    trie::{Key, Patterns, Prefixes, key},
};
use crate::{Route, table::PathMatch};

/// The places of the routes, in the order of their hosts and paths.
#[derive(Debug)]
pub(super) struct Spots<'r>(pub(super) BTreeMap<(Option<&'r Host>, Place<'r>), Vec<usize>>);

/// A path condition as requests see it: without the names of its parameters, in plain form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place<'r> {
    Any,
    Regex(&'r str),
    Prefix(Vec<String>),
    Exact(&'r [Step]),
}

impl<'r> Spots<'r> {
    /// Sorts the routes by where they lie. A route with two hosts lies in two places.
    pub(super) fn of(routes: &'r [Arc<Route>]) -> Self {
        let mut spots: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, route) in routes.iter().enumerate() {
            let place = Place::of(&route.matching.path);
            let hosts = &route.matching.hosts;
            let any = hosts.is_empty().then_some(None);
            for host in hosts.iter().map(Some).chain(any) {
                let spot = spots.entry((host, place.clone())).or_default();
                if spot.last() != Some(&index) {
                    spot.push(index);
                }
            }
        }
        Self(spots)
    }
}

impl<'r> Place<'r> {
    /// Where a path condition lies.
    pub(super) fn of(path: &'r PathMatch) -> Self {
        match path {
            PathMatch::Any => Self::Any,
            PathMatch::Regex(regex) => Self::Regex(regex.as_str()),
            PathMatch::Pattern(pattern) => Self::Exact(pattern.steps()),
            PathMatch::Prefix(prefix) => Self::Prefix(
                encoding::segments(&encoding::plain(prefix)).map(str::to_owned).collect(),
            ),
        }
    }
}

/// All routes by their host.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    exact: HashMap<Key, Paths>,
    /// By what stands behind the `*.`.
    wildcards: HashMap<Key, Paths>,
    /// The lengths of the wildcards' names, the longest first, each once.
    wildcard_bytes: Vec<usize>,
    any: Paths,
}

/// All routes of one host by their path.
#[derive(Debug, Default)]
struct Paths {
    exact: Patterns,
    prefixes: Prefixes,
    regexes: Vec<(Regex, Leaf)>,
    /// Places in `regexes` and, there, in the leaf: who decides between expressions that fit. The
    /// higher priority comes first.
    leads: Vec<(usize, usize)>,
    any: Option<Leaf>,
}

impl Hosts {
    /// Lays out the routes.
    pub(super) fn build(routes: &[Arc<Route>], spots: &Spots<'_>) -> Self {
        let mut hosts = Self::default();
        for ((host, place), indices) in &spots.0 {
            let leaf = Leaf::new(indices.iter().filter_map(|index| routes.get(*index)).cloned());
            let regex =
                indices.first().and_then(|index| routes.get(*index)).and_then(|route| match &route
                    .matching
                    .path
                {
                    PathMatch::Regex(regex) => Some(Regex::clone(regex)),
                    _ => None,
                });
            hosts.paths(*host).insert(place, regex, leaf);
        }
        hosts.wildcard_bytes = hosts.wildcards.keys().map(|name| name.len()).collect();
        hosts.wildcard_bytes.sort_unstable_by(|a, b| b.cmp(a));
        hosts.wildcard_bytes.dedup();
        for paths in hosts.exact.values_mut().chain(hosts.wildcards.values_mut()) {
            paths.finish();
        }
        hosts.any.finish();
        hosts
    }

    fn paths(&mut self, host: Option<&Host>) -> &mut Paths {
        match host {
            None => &mut self.any,
            Some(host) if host.is_wildcard() => self.wildcards.entry(key(host.name())).or_default(),
            Some(host) => self.exact.entry(key(host.name())).or_default(),
        }
    }

    /// Shows the leaves that fit, the best first, until the visitor has enough. Between regular
    /// expressions a gate takes the lead: the leaf counts only if that gate opens.
    pub(super) fn visit<'t, B>(
        &'t self,
        host: Option<&str>,
        path: &str,
        visit: &mut impl FnMut(&'t Leaf, Option<&'t Gate>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if let Some(host) = host {
            if let Some(paths) = self.exact.get(host.as_bytes()) {
                paths.visit(path, visit)?;
            }
            for &bytes in &self.wildcard_bytes {
                let suffix = host::below(host, bytes);
                if let Some(paths) = suffix.and_then(|suffix| self.wildcards.get(suffix.as_bytes()))
                {
                    paths.visit(path, visit)?;
                }
            }
        }
        self.any.visit(path, visit)
    }
}

impl Paths {
    fn insert(&mut self, place: &Place<'_>, regex: Option<Regex>, leaf: Leaf) {
        match place {
            Place::Any => self.any = Some(leaf),
            Place::Regex(_) => self.regexes.extend(regex.map(|regex| (regex, leaf))),
            Place::Prefix(segments) => self.prefixes.insert(segments, leaf),
            Place::Exact(steps) => self.exact.insert(steps, leaf),
        }
    }

    /// Settles what can only be settled when all routes are there.
    fn finish(&mut self) {
        self.exact.finish();
        let regexes = &self.regexes;
        let gate = |&(at, gate): &(usize, usize)| regexes.get(at)?.1.gates().get(gate);
        let mut leads: Vec<(usize, usize)> = regexes
            .iter()
            .enumerate()
            .flat_map(|(at, (_, leaf))| (0..leaf.gates().len()).map(move |gate| (at, gate)))
            .collect();
        leads.sort_by_key(|lead| {
            gate(lead).map(|gate| (std::cmp::Reverse(gate.head().priority), &gate.first().name))
        });
        self.leads = leads;
    }

    fn visit<'t, B>(
        &'t self,
        path: &str,
        visit: &mut impl FnMut(&'t Leaf, Option<&'t Gate>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if let Some(inside) = path.strip_prefix('/') {
            self.exact.visit(inside, visit)?;
            self.prefixes.visit(Some(inside), visit)?;
        }
        for &(at, gate) in &self.leads {
            if let Some((regex, leaf)) = self.regexes.get(at)
                && conditions::whole(regex, path)
            {
                visit(leaf, leaf.gates().get(gate))?;
            }
        }
        self.any.iter().try_for_each(|leaf| visit(leaf, None))
    }
}
