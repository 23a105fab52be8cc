//! What a process knows of its upstreams and callers, kept outside of the table.
//!
//! A table holds the states that its requests need, so that a request looks nothing up. A new table
//! is given the same ones for the same scope and the same settings: an edit of another route leaves
//! a breaker open and a bucket empty. Changed settings start afresh, and what no table refers to is
//! forgotten after a while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use schemas::units::Percent;
use serde::Serialize;

use crate::{
    breaker::{self, Breaker, Forced},
    budget::{self, Budget},
    clock::nanos_of,
    limiter::{self, Limiter},
    permits::{self, Permits},
};

/// How long a state is kept that no table refers to: long enough to undo an edit.
const KEPT: Duration = Duration::from_secs(600);

/// The states of one process.
#[derive(Debug, Default)]
pub struct Registry {
    entries: Mutex<HashMap<Key, Entry>>,
}

/// Whose state it is, and by which settings it lives. The settings themselves stand for their
/// digest, so that no two of them are ever taken for one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// A function's address, an upstream's name or a route's.
    scope: String,
    settings: Settings,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Settings {
    Breaker(breaker::Settings),
    Permits(permits::Settings),
    Budget(Percent),
    Limiter(limiter::Settings),
}

#[derive(Debug)]
struct Entry {
    state: State,
    /// Since when nobody but the registry has it.
    unused_since: Option<u64>,
}

#[derive(Clone, Debug)]
enum State {
    Breaker(Arc<Breaker>),
    Permits(Arc<Permits>),
    Budget(Arc<Budget>),
    Limiter(Arc<Limiter>),
}

/// Every state that a table refers to, sorted by what it is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// By the function's address, as it is written.
    pub breakers: Vec<Of<breaker::View>>,
    /// By the upstream's name.
    pub permits: Vec<Of<permits::View>>,
    /// By the upstream's name.
    pub budgets: Vec<Of<budget::View>>,
    /// By the route's name.
    pub limits: Vec<Of<limiter::View>>,
}

/// How something stands, and what it is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Of<T> {
    /// A function's address, an upstream's name or a route's.
    pub of: String,
    /// How it stands.
    #[serde(flatten)]
    pub view: T,
}

impl State {
    fn new(settings: &Settings) -> Self {
        match settings {
            Settings::Breaker(settings) => Self::Breaker(Arc::new(Breaker::new(settings.clone()))),
            Settings::Permits(settings) => Self::Permits(Permits::new(settings)),
            Settings::Budget(share) => Self::Budget(Arc::new(Budget::new(*share))),
            Settings::Limiter(settings) => Self::Limiter(Arc::new(Limiter::new(settings.clone()))),
        }
    }

    /// Whether nobody but the registry has it.
    fn is_unused(&self) -> bool {
        let held = match self {
            Self::Breaker(state) => Arc::strong_count(state),
            Self::Permits(state) => Arc::strong_count(state),
            Self::Budget(state) => Arc::strong_count(state),
            Self::Limiter(state) => Arc::strong_count(state),
        };
        held == 1
    }
}

impl Registry {
    /// The breaker of a function, by its address as it is written.
    #[must_use]
    pub fn breaker(&self, address: &str, settings: &breaker::Settings) -> Arc<Breaker> {
        match self.state(address, Settings::Breaker(settings.clone())) {
            State::Breaker(state) => state,
            // The settings tell the kind of state.
            _ => Arc::new(Breaker::new(settings.clone())),
        }
    }

    /// The permits of an upstream.
    #[must_use]
    pub fn permits(&self, upstream: &str, settings: &permits::Settings) -> Arc<Permits> {
        match self.state(upstream, Settings::Permits(settings.clone())) {
            State::Permits(state) => state,
            _ => Permits::new(settings),
        }
    }

    /// The retry budget of an upstream.
    #[must_use]
    pub fn budget(&self, upstream: &str, share: Percent) -> Arc<Budget> {
        match self.state(upstream, Settings::Budget(share)) {
            State::Budget(state) => state,
            _ => Arc::new(Budget::new(share)),
        }
    }

    /// One rate limit of a route.
    #[must_use]
    pub fn limiter(&self, route: &str, settings: &limiter::Settings) -> Arc<Limiter> {
        match self.state(route, Settings::Limiter(settings.clone())) {
            State::Limiter(state) => state,
            _ => Arc::new(Limiter::new(settings.clone())),
        }
    }

    fn state(&self, scope: &str, settings: Settings) -> State {
        let key = Key { scope: scope.to_owned(), settings };
        let mut entries = self.entries();
        let entry = entries.entry(key).or_insert_with_key(|key| Entry {
            state: State::new(&key.settings),
            unused_since: None,
        });
        entry.unused_since = None;
        entry.state.clone()
    }

    /// Holds every breaker of this address open or closed, or releases it. Returns how many there
    /// are; 0 if the function has none.
    pub fn force(&self, address: &str, forced: Option<Forced>) -> usize {
        let mut count = 0;
        for (key, entry) in self.entries().iter() {
            if let State::Breaker(breaker) = &entry.state
                && key.scope == address
                && !entry.state.is_unused()
            {
                breaker.force(forced);
                count += 1;
            }
        }
        count
    }

    /// Forgets what nobody has referred to for ten minutes, and callers whose bucket is full again.
    /// To be called now and then.
    pub fn sweep(&self, now: u64) {
        let mut limiters = Vec::new();
        self.entries().retain(|_, entry| {
            if !entry.state.is_unused() {
                entry.unused_since = None;
                if let State::Limiter(limiter) = &entry.state {
                    limiters.push(Arc::clone(limiter));
                }
                return true;
            }
            let since = *entry.unused_since.get_or_insert(now);
            now.saturating_sub(since) < nanos_of(KEPT)
        });
        // Not under the lock: there may be many keys.
        for limiter in limiters {
            limiter.sweep(now);
        }
    }

    /// Everything that a table refers to, as it stands.
    #[must_use]
    pub fn snapshot(&self, now: u64) -> Snapshot {
        let states: Vec<(String, State)> = self
            .entries()
            .iter()
            .filter(|(_, entry)| !entry.state.is_unused())
            .map(|(key, entry)| (key.scope.clone(), entry.state.clone()))
            .collect();
        let mut all = Snapshot::default();
        for (of, state) in states {
            match state {
                State::Breaker(state) => all.breakers.push(Of { of, view: state.view(now) }),
                State::Permits(state) => all.permits.push(Of { of, view: state.view() }),
                State::Budget(state) => all.budgets.push(Of { of, view: state.view(now) }),
                State::Limiter(state) => all.limits.push(Of { of, view: state.view(now) }),
            }
        }
        all.breakers.sort_by(|one, other| one.of.cmp(&other.of));
        all.permits.sort_by(|one, other| one.of.cmp(&other.of));
        all.budgets.sort_by(|one, other| one.of.cmp(&other.of));
        all.limits.sort_by_key(|limit| {
            (limit.of.clone(), limit.view.rate.to_string(), limit.view.key.clone())
        });
        all
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::{Outcome, State as Is};

    const SECOND: u64 = 1_000_000_000;
    const BEGIN: u64 = 3_600 * SECOND;

    fn settings(min_calls: u32) -> breaker::Settings {
        breaker::Settings {
            failures: Percent(50),
            window: Duration::from_secs(10),
            min_calls,
            open: Duration::from_secs(3_600),
            probes: 1,
        }
    }

    fn is(breaker: &Breaker) -> Is {
        breaker.view(BEGIN).state
    }

    #[test]
    fn the_same_settings_find_the_same_state_and_others_start_afresh() {
        let registry = Registry::default();
        let breaker = registry.breaker("web", &settings(1));
        breaker.record(breaker.admit(BEGIN).unwrap(), Outcome::Bad, BEGIN);
        assert_eq!(is(&registry.breaker("web", &settings(1))), Is::Open);
        assert_eq!(is(&registry.breaker("web", &settings(2))), Is::Closed);
        assert_eq!(is(&registry.breaker("new", &settings(1))), Is::Closed);
    }

    #[test]
    fn what_nobody_refers_to_is_forgotten_after_ten_minutes_and_not_before() {
        let registry = Registry::default();
        let open = || {
            let breaker = registry.breaker("web", &settings(1));
            breaker.record(breaker.admit(BEGIN).unwrap(), Outcome::Bad, BEGIN);
        };
        open();
        registry.sweep(BEGIN);
        registry.sweep(BEGIN + 599 * SECOND);
        let again = registry.breaker("web", &settings(1));
        assert_eq!(is(&again), Is::Open);
        registry.sweep(BEGIN + 10_000 * SECOND);
        assert_eq!(is(&registry.breaker("web", &settings(1))), Is::Open, "somebody had it");
        drop(again);
        registry.sweep(BEGIN + 20_000 * SECOND);
        registry.sweep(BEGIN + 20_600 * SECOND);
        assert_eq!(is(&registry.breaker("web", &settings(1))), Is::Closed);
    }

    #[test]
    fn an_operator_forces_a_breaker_by_its_address() {
        let registry = Registry::default();
        let breaker = registry.breaker("web", &settings(1));
        assert_eq!(registry.force("wbe", Some(Forced::Open)), 0);
        assert_eq!(registry.force("web", Some(Forced::Open)), 1);
        assert_eq!(is(&breaker), Is::ForcedOpen);
        assert_eq!(registry.force("web", None), 1);
        assert_eq!(is(&breaker), Is::Closed);
    }

    #[test]
    fn a_snapshot_has_what_is_referred_to() {
        let registry = Registry::default();
        let rate = "10/s".parse().unwrap();
        let limit = limiter::Settings { rate, burst: 10, key: limiter::Key::Address };
        let held = (
            registry.breaker("web", &settings(1)),
            registry.permits("web", &permits::Settings { max: 5, queue: 1 }),
            registry.budget("web", Percent(20)),
            registry.limiter("shop", &limit),
        );
        drop(registry.breaker("old", &settings(1)));
        let shown = serde_json::to_value(registry.snapshot(BEGIN)).unwrap();
        assert_eq!(
            shown,
            serde_json::json!({
                "breakers": [{ "of": "web", "state": "closed", "calls": 0, "failed": 0,
                    "opened": 0, "refused": 0 }],
                "permits": [{ "of": "web", "max": 5, "in_use": 0, "waiting": 0, "queue": 1,
                    "jobs_max": 2, "jobs": 0, "refused": 0 }],
                "budgets": [{ "of": "web", "percent": 20, "calls": 0, "retries": 0, "left": 10,
                    "refused": 0 }],
                "limits": [{ "of": "shop", "rate": "10/s", "burst": 10, "key": "address",
                    "keys": 0, "keys_max": 131_072, "crowded": 0, "refused": 0 }],
            })
        );
        drop(held);
        assert_eq!(registry.snapshot(BEGIN), Snapshot::default());
    }
}
