//! Leaves and gates: the routes of one host and one path. A gate holds those whose head conditions
//! are the same, so that they are checked once however many event types are routed behind it.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use schemas::Attributes;
use smallvec::SmallVec;

use super::{
    Limits, Seen, captures, conditions,
    methods::{MethodRank, MethodSet},
    rank::{self, EventRank, EventTier},
};
use crate::{
    Route,
    table::{Match, TypeMatch},
};

/// The routes of one host and one path.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Mostly one, which then lies in place.
    gates: SmallVec<[Gate; 1]>,
}

/// The routes of a leaf whose head conditions and priority are the same.
#[derive(Debug)]
pub(super) struct Gate {
    first: Arc<Route>,
    /// The route without a condition on the event. There is one at most, as two would clash.
    plain: Option<Arc<Route>>,
    events: Option<Box<Events>>,
    // What the head conditions say, so that a request looks at no route but its own.
    methods: MethodSet,
    /// Whether there are conditions on listener, headers or query.
    conditional: bool,
    /// Whether the path brings values.
    captures: bool,
    /// What some route behind it lets pass.
    widest: Limits,
}

type ByType = HashMap<Box<str>, Vec<Arc<Route>>>;

/// Routes by the events that they are for. Each list is in order of rank.
#[derive(Debug, Default)]
struct Events {
    exact: ByType,
    /// By the prefix's length, the longest first.
    prefixes: Vec<(usize, ByType)>,
    other: Vec<Arc<Route>>,
}

impl Leaf {
    /// A leaf of routes between which something decides.
    pub(super) fn new(routes: impl Iterator<Item = Arc<Route>>) -> Self {
        let mut gates: Vec<Vec<Arc<Route>>> = Vec::new();
        let mut known: HashMap<Vec<String>, usize> = HashMap::new();
        for route in routes {
            let at = *known.entry(head_key(&route.matching)).or_insert(gates.len());
            match gates.get_mut(at) {
                Some(gate) => gate.push(route),
                None => gates.push(vec![route]),
            }
        }
        Self { gates: gates.into_iter().filter_map(Gate::new).collect() }
    }

    /// The gates that a request passes; none unless `lead`, if there is one, is among them.
    /// Notes whether a gate shuts for the method alone.
    pub(super) fn open<'t>(
        &'t self,
        seen: &Seen<'_>,
        lead: Option<&Gate>,
        method_missed: &mut bool,
    ) -> SmallVec<[(MethodRank, &'t Gate); 4]> {
        let mut open = SmallVec::new();
        for gate in &self.gates {
            match gate.methods.rank(seen.method, || &gate.head().methods) {
                Some(method) if gate.holds(seen) => open.push((method, gate)),
                None if !*method_missed => *method_missed = gate.holds(seen),
                Some(_) | None => {}
            }
        }
        let led_by = |lead: &Gate| {
            open.iter().any(|&(_, gate): &(MethodRank, &Gate)| std::ptr::eq(gate, lead))
        };
        if !lead.is_none_or(led_by) {
            open.clear();
        }
        open
    }

    /// What the gates ask for.
    pub(super) fn matches(&self) -> impl Iterator<Item = &Match> {
        self.gates.iter().map(Gate::head)
    }

    /// The gates.
    pub(super) fn gates(&self) -> &[Gate] {
        &self.gates
    }
}

/// Equal keys: equal head conditions, and equal priority. The order of conditions does not count.
fn head_key(matching: &Match) -> Vec<String> {
    let mut key = vec![matching.priority.to_string()];
    key.extend(matching.listeners.iter().map(|name| format!("listener {name}")));
    key.extend(matching.methods.iter().map(|method| format!("method {method}")));
    key.extend(matching.headers.iter().map(|header| format!("header {header:?}")));
    key.extend(matching.query.iter().map(|parameter| format!("query {parameter:?}")));
    key.sort();
    key
}

impl Gate {
    /// A gate of routes with the same head conditions, if there are any.
    fn new(mut routes: Vec<Arc<Route>>) -> Option<Self> {
        routes.sort_by_key(|route| {
            (Reverse(EventRank::of(route.matching.event.as_ref())), route.name.clone())
        });
        let first = routes.iter().min_by_key(|route| &route.name)?.clone();
        let matching = &first.matching;
        let methods = MethodSet::of(&matching.methods);
        let conditional = !matching.listeners.is_empty() || rank::conditions(matching) > 0;
        let captures = captures::takes(&matching.path);
        let widest = routes.iter().map(|route| Limits::of(route)).reduce(Limits::or)?;
        let plain = routes.pop_if(|route| route.matching.event.is_none());
        // Two such routes do not clash only where their conditions contradict each other, and equal
        // conditions do that only if they contradict themselves: neither ever serves a request.
        routes.retain(|route| route.matching.event.is_some());
        let events = (!routes.is_empty()).then(|| Box::new(Events::new(routes)));
        Some(Self { first, plain, events, methods, conditional, captures, widest })
    }

    /// What the head has to look like.
    pub(super) fn head(&self) -> &Match {
        &self.first.matching
    }

    /// Whether listener, headers and query are as it asks.
    fn holds(&self, seen: &Seen<'_>) -> bool {
        !self.conditional || conditions::hold(self.head(), seen)
    }

    /// Whether the path brings values.
    pub(super) fn captures(&self) -> bool {
        self.captures
    }

    /// The route whose name comes first.
    pub(super) fn first(&self) -> &Arc<Route> {
        &self.first
    }

    /// What some route behind it lets pass.
    pub(super) fn widest(&self) -> Limits {
        self.widest
    }

    /// All routes behind it.
    pub(super) fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.plain.iter().chain(self.events.iter().flat_map(|events| events.routes()))
    }

    /// Whether a route behind it asks for an event.
    pub(super) fn by_event(&self) -> bool {
        self.events.is_some()
    }

    /// The route for this event, or for a request that is none.
    pub(super) fn choose(&self, event: Option<&Attributes>) -> Option<&Arc<Route>> {
        let by_event =
            event.zip(self.events.as_ref()).and_then(|(event, routes)| routes.choose(event));
        by_event.or(self.plain.as_ref())
    }
}

impl Events {
    /// The routes are in order of rank, so that each list is.
    fn new(routes: Vec<Arc<Route>>) -> Self {
        let mut events = Self::default();
        for route in routes {
            let rank = EventRank::of(route.matching.event.as_ref());
            match route.matching.event.as_ref().and_then(|event| event.kind.clone()) {
                Some(TypeMatch::Exact(kind)) => {
                    events.exact.entry(kind.into()).or_default().push(route);
                }
                Some(TypeMatch::Prefix(prefix)) => {
                    if events.prefixes.last().is_none_or(|(bytes, _)| *bytes != rank.prefix_bytes) {
                        events.prefixes.push((rank.prefix_bytes, ByType::new()));
                    }
                    let (_, same_length) = events.prefixes.last_mut().expect("one was pushed");
                    same_length.entry(prefix.into()).or_default().push(route);
                }
                None => {
                    debug_assert_eq!(rank.tier, EventTier::Other);
                    events.other.push(route);
                }
            }
        }
        events
    }

    fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let by_prefix = self.prefixes.iter().map(|(_, same_length)| same_length);
        by_prefix.chain([&self.exact]).flat_map(HashMap::values).flatten().chain(&self.other)
    }

    fn choose(&self, event: &Attributes) -> Option<&Arc<Route>> {
        let kind = event.kind.as_str();
        let exact = self.exact.get(kind);
        let prefixes = self
            .prefixes
            .iter()
            .filter_map(|(bytes, same_length)| same_length.get(kind.get(..*bytes)?));
        exact.into_iter().chain(prefixes).chain([&self.other]).flatten().find(|route| {
            route
                .matching
                .event
                .as_ref()
                .is_none_or(|condition| rank::filters_hold(condition, event))
        })
    }
}
