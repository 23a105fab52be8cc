//! Doors and routes: which one route serves a request.
//!
//! The head of a request opens a door: the routes that share the best host and path. Then the
//! event, the methods, the number of conditions and the priority choose one route behind it.
//! `docs/routing.md` has the rules; here [`Doors::build`] lays the routes out so that finding a
//! door does not depend on how many there are.

mod captures;
mod clash;
mod conditions;
mod encoding;
mod explain;
mod gate;
mod host;
mod index;
mod methods;
mod pattern;
mod rank;
mod shadow;
mod trie;

#[cfg(test)]
mod tests;

use std::{ops::ControlFlow, sync::Arc};

use http::{HeaderMap, Method};
use schemas::Attributes;
use smallvec::SmallVec;

pub use self::{
    captures::Captures,
    clash::Clash,
    explain::{Explanation, Reason, Refused},
    host::Host,
    pattern::Pattern,
    shadow::{Shadow, shadows},
};
use self::{
    gate::{Gate, Leaf},
    index::{Hosts, Spots},
    methods::MethodRank,
    rank::InDoor,
};
use crate::Route;

/// All routes, ready for matching.
#[derive(Debug, Default)]
pub struct Doors {
    hosts: Hosts,
    routes: Vec<Arc<Route>>,
}

/// What a request shows before its body is read.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The listener that it arrived on.
    pub listener: &'a str,
    /// The host that it asks for, with a port or without.
    pub host: Option<&'a str>,
    /// The path, percent-encoded as it came.
    pub path: &'a str,
    /// The query without its `?`.
    pub query: Option<&'a str>,
    /// The method.
    pub method: &'a Method,
    /// The headers.
    pub headers: &'a HeaderMap,
}

/// The routes that share the best host and path among those whose head conditions hold.
#[derive(Clone, Debug)]
pub struct Door<'t> {
    /// Never empty.
    gates: SmallVec<[(MethodRank, &'t Gate); 4]>,
    /// The path, where the routes take parameters from it.
    path: SmallVec<[u8; 64]>,
}

/// The route that serves a request, and what its path brings.
#[derive(Clone, Debug)]
pub struct Chosen<'t> {
    /// The route.
    pub route: &'t Arc<Route>,
    /// The values of its path parameters.
    pub captures: Captures,
}

/// Why no door opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No route fits.
    NoRoute,
    /// Routes fit but for the method.
    Method {
        /// The methods that would do, sorted.
        allow: Vec<Method>,
    },
}

impl Doors {
    /// Lays out the routes for matching.
    ///
    /// # Errors
    /// Every pair of routes between which nothing decides; [`Clash`] has their places in `routes`.
    pub fn build(routes: &[Arc<Route>]) -> Result<Self, Vec<Clash>> {
        let spots = Spots::of(routes);
        let clashes = clash::find(routes, &spots);
        if !clashes.is_empty() {
            return Err(clashes);
        }
        Ok(Self { hosts: Hosts::build(routes, &spots), routes: routes.to_vec() })
    }

    /// Finds the door that the head of a request opens.
    ///
    /// # Errors
    /// [`Refusal`] tells a wrong method from all else that may be wrong.
    pub fn open<'t>(&'t self, seen: &Seen<'_>) -> Result<Door<'t>, Refusal> {
        let path = encoding::plain(seen.path);
        // Whoever reads `/open/../shut` next may take the step back, so it is nowhere a path.
        if encoding::has_dot_segment(&path) {
            return Err(Refusal::NoRoute);
        }
        let host = seen.host.and_then(host::asked);
        let mut method_missed = false;
        let found = self.hosts.visit(host.as_deref(), &path, &mut |leaf, lead| match leaf.open(
            seen,
            lead,
            &mut method_missed,
        ) {
            gates if gates.is_empty() => ControlFlow::Continue(()),
            gates => ControlFlow::Break(gates),
        });
        match found {
            ControlFlow::Break(gates) => Ok(Door::new(gates, seen.path)),
            ControlFlow::Continue(()) if method_missed => {
                Err(Refusal::Method { allow: self.allow(seen, host.as_deref(), &path) })
            }
            ControlFlow::Continue(()) => Err(Refusal::NoRoute),
        }
    }

    /// Says for every route why it serves the request or why not.
    #[must_use]
    pub fn explain(&self, seen: &Seen<'_>, event: Option<&Attributes>) -> Explanation {
        explain::explain(self, seen, event)
    }

    /// The methods with which the request would be served, sorted.
    fn allow(&self, seen: &Seen<'_>, host: Option<&str>, path: &str) -> Vec<Method> {
        let mut allow = Vec::new();
        let all: ControlFlow<()> = self.hosts.visit(host, path, &mut |leaf: &Leaf, _| {
            for matching in leaf.matches().filter(|matching| conditions::hold(matching, seen)) {
                allow.extend(matching.methods.iter().cloned());
            }
            ControlFlow::Continue(())
        });
        debug_assert!(all.is_continue());
        if allow.contains(&Method::GET) {
            allow.push(Method::HEAD);
        }
        allow.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        allow.dedup();
        allow
    }
}

/// How much a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all headers together.
    pub headers: usize,
    /// Bytes of a body.
    pub body: u64,
    /// Bytes of an event.
    pub event: usize,
}

impl Limits {
    /// What one route takes.
    #[must_use]
    pub fn of(route: &Route) -> Self {
        let policy = &route.policy;
        Self {
            headers: policy.header_bytes_max,
            body: policy.body_bytes_max,
            event: policy.event_bytes_max,
        }
    }

    /// What at least one of two takes.
    fn or(self, other: Self) -> Self {
        Self {
            headers: self.headers.max(other.headers),
            body: self.body.max(other.body),
            event: self.event.max(other.event),
        }
    }
}

impl<'t> Door<'t> {
    fn new(gates: SmallVec<[(MethodRank, &'t Gate); 4]>, path: &str) -> Self {
        let captures = gates.first().is_some_and(|(_, gate)| gate.captures());
        let path = if captures { SmallVec::from_slice(path.as_bytes()) } else { SmallVec::new() };
        Self { gates, path }
    }

    /// Whether the event takes part in choosing the route.
    #[must_use]
    pub fn by_event(&self) -> bool {
        self.gates.iter().any(|(_, gate)| gate.by_event())
    }

    /// What one route of the door at least lets pass: more than that, nobody takes.
    #[must_use]
    pub fn widest(&self) -> Limits {
        let limits = self.gates.iter().map(|(_, gate)| gate.widest());
        limits.reduce(Limits::or).unwrap_or_else(|| Limits::of(self.head()))
    }

    /// All routes of the door.
    pub fn routes(&self) -> impl Iterator<Item = &'t Arc<Route>> {
        self.gates.iter().flat_map(|(_, gate)| gate.routes())
    }

    /// All routes of the door, each with what its path brings.
    pub fn each(&self) -> impl Iterator<Item = Chosen<'t>> {
        let path = str::from_utf8(&self.path).unwrap_or_default();
        self.routes()
            .map(move |route| Chosen { route, captures: Captures::cut(&route.matching.path, path) })
    }

    /// One of the routes, for what all routes of a door have in common.
    #[must_use]
    pub fn head(&self) -> &'t Arc<Route> {
        self.gates.first().map(|(_, gate)| gate.first()).expect("a door has a gate")
    }

    /// Chooses the route; none if no event condition fits and every route has one.
    #[must_use]
    pub fn choose(&self, event: Option<&Attributes>) -> Option<Chosen<'t>> {
        let best = |&(method, gate): &(MethodRank, &'t Gate)| {
            let route = gate.choose(event)?;
            Some((InDoor::of(route, method), route))
        };
        let route = match self.gates.as_slice() {
            [(_, only)] => only.choose(event)?,
            several => several.iter().filter_map(best).max_by(|(a, _), (b, _)| a.cmp(b))?.1,
        };
        let path = str::from_utf8(&self.path).unwrap_or_default();
        Some(Chosen { route, captures: Captures::cut(&route.matching.path, path) })
    }
}
