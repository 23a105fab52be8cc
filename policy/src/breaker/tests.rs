use proptest::prelude::*;

use super::*;

const MS: u64 = NANOS_IN_MS;
const BEGIN: u64 = 3_600_000 * MS;

fn settings() -> Settings {
    Settings {
        failures: Percent(50),
        window: Duration::from_secs(10),
        min_calls: 4,
        open: Duration::from_secs(5),
        probes: 3,
    }
}

fn call(breaker: &Breaker, outcome: Outcome, now: u64) {
    let pass = breaker.admit(now).expect("the breaker lets the call through");
    breaker.record(pass, outcome, now);
}

fn opened() -> Breaker {
    let breaker = Breaker::new(settings());
    for _ in 0..4 {
        call(&breaker, Outcome::Bad, BEGIN);
    }
    assert_eq!(breaker.view(BEGIN).state, State::Open);
    breaker
}

#[test]
fn it_opens_at_the_share_of_failures_and_not_before_there_are_enough_calls() {
    let breaker = Breaker::new(settings());
    for _ in 0..3 {
        call(&breaker, Outcome::Bad, BEGIN);
    }
    assert_eq!(breaker.view(BEGIN).state, State::Closed);
    for _ in 0..4 {
        call(&breaker, Outcome::Good, BEGIN);
    }
    // Four of eight.
    call(&breaker, Outcome::Bad, BEGIN);
    let view = breaker.view(BEGIN);
    assert_eq!((view.state, view.calls, view.failed, view.opened), (State::Open, 8, 4, 1));
    assert_eq!(view.retry_after_ms, Some(5_000));
}

#[test]
fn while_it_is_open_it_says_how_long_it_still_is() {
    let breaker = opened();
    assert_eq!(breaker.admit(BEGIN + 1_000 * MS), Err(Duration::from_secs(4)));
    assert!(breaker.refuses(BEGIN + 4_999 * MS));
    assert!(!breaker.refuses(BEGIN + 5_000 * MS));
    assert_eq!(breaker.view(BEGIN).refused, 1);
}

#[test]
fn it_closes_once_all_probes_went_well_and_has_forgotten_what_was() {
    let breaker = opened();
    let now = BEGIN + 5_000 * MS;
    let probes: Vec<_> = (0..3).map(|_| breaker.admit(now).unwrap()).collect();
    assert_eq!(breaker.admit(now), Err(PROBING), "there are three probes");
    for probe in probes {
        assert_eq!(breaker.view(now).state, State::HalfOpen);
        breaker.record(probe, Outcome::Good, now);
    }
    let view = breaker.view(now);
    assert_eq!((view.state, view.calls, view.failed), (State::Closed, 0, 0));
}

#[test]
fn a_probe_that_fails_opens_it_again() {
    let breaker = opened();
    let now = BEGIN + 5_000 * MS;
    let (one, two) = (breaker.admit(now).unwrap(), breaker.admit(now).unwrap());
    breaker.record(one, Outcome::Bad, now);
    assert_eq!(breaker.admit(now), Err(Duration::from_secs(5)));
    // What the other probe brings is of an earlier life.
    breaker.record(two, Outcome::Good, now);
    assert_eq!(breaker.view(now).state, State::Open);
    assert_eq!(breaker.view(now).opened, 2);
}

#[test]
fn a_probe_that_says_nothing_makes_room_for_another() {
    let breaker = opened();
    let now = BEGIN + 5_000 * MS;
    let probes: Vec<_> = (0..3).map(|_| breaker.admit(now).unwrap()).collect();
    assert!(breaker.admit(now).is_err());
    breaker.record(probes[0], Outcome::Neither, now);
    assert!(breaker.admit(now).is_ok());
    assert!(breaker.admit(now).is_err());
}

#[test]
fn a_straggler_from_before_does_not_count() {
    let breaker = Breaker::new(settings());
    let stragglers: Vec<_> = (0..10).map(|_| breaker.admit(BEGIN).unwrap()).collect();
    for _ in 0..4 {
        call(&breaker, Outcome::Bad, BEGIN);
    }
    let now = BEGIN + 5_000 * MS;
    for _ in 0..3 {
        call(&breaker, Outcome::Good, now);
    }
    for straggler in stragglers {
        breaker.record(straggler, Outcome::Bad, now);
    }
    assert_eq!((breaker.view(now).state, breaker.view(now).calls), (State::Closed, 0));
}

#[test]
fn an_operator_has_the_last_word_until_it_is_released() {
    let breaker = Breaker::new(settings());
    breaker.force(Some(Forced::Open));
    assert_eq!(breaker.admit(BEGIN), Err(Duration::from_secs(5)));
    assert!(breaker.refuses(BEGIN + 60_000 * MS), "time does not release it");
    breaker.force(None);
    assert_eq!(breaker.view(BEGIN).state, State::Closed);

    breaker.force(Some(Forced::Closed));
    for _ in 0..100 {
        call(&breaker, Outcome::Bad, BEGIN);
    }
    assert_eq!(breaker.view(BEGIN).state, State::ForcedClosed);
    breaker.force(None);
    assert_eq!((breaker.view(BEGIN).state, breaker.view(BEGIN).calls), (State::Closed, 0));
    call(&breaker, Outcome::Good, BEGIN);
}

#[test]
fn many_threads_let_exactly_the_probes_through_and_count_every_call() {
    let breaker = Breaker::new(Settings { min_calls: 1_000_000, ..settings() });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10_000).for_each(|_| call(&breaker, Outcome::Bad, BEGIN)));
        }
    });
    assert_eq!(breaker.view(BEGIN).failed, 40_000);

    let breaker = opened();
    let now = BEGIN + 5_000 * MS;
    let through: usize = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..1_000).filter(|_| breaker.admit(now).is_ok()).count()))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!(through, 3);
}

/// What a breaker is meant to be, in the plainest words.
struct Model {
    settings: Settings,
    phase: ModelPhase,
    era: u32,
    calls: Vec<(u64, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ModelPhase {
    Closed,
    Open(u64),
    HalfOpen { under_way: u16, well: u16 },
}

#[derive(Clone, Copy)]
struct ModelPass {
    era: u32,
    probe: bool,
}

impl Model {
    fn admit(&mut self, now: u64) -> Option<ModelPass> {
        let probe = match self.phase {
            ModelPhase::Closed => false,
            ModelPhase::Open(until) if now < until => return None,
            ModelPhase::Open(_) => {
                self.phase = ModelPhase::HalfOpen { under_way: 1, well: 0 };
                true
            }
            ModelPhase::HalfOpen { under_way, well } if under_way + well < self.settings.probes => {
                self.phase = ModelPhase::HalfOpen { under_way: under_way + 1, well };
                true
            }
            ModelPhase::HalfOpen { .. } => return None,
        };
        Some(ModelPass { era: self.era, probe })
    }

    fn turn(&mut self, phase: ModelPhase) {
        self.era += 1;
        self.phase = phase;
        self.calls.clear();
    }

    fn record(&mut self, pass: ModelPass, outcome: Outcome, now: u64) {
        if pass.era != self.era {
            return;
        }
        let open = ModelPhase::Open(now + nanos_of(self.settings.open));
        match (self.phase, outcome) {
            (ModelPhase::HalfOpen { under_way, well }, _) if pass.probe => match outcome {
                Outcome::Good if well + 1 == self.settings.probes => self.turn(ModelPhase::Closed),
                Outcome::Good => {
                    self.phase = ModelPhase::HalfOpen { under_way: under_way - 1, well: well + 1 };
                }
                Outcome::Bad => self.turn(open),
                Outcome::Neither => {
                    self.phase = ModelPhase::HalfOpen { under_way: under_way - 1, well };
                }
            },
            (ModelPhase::Closed, Outcome::Good | Outcome::Bad) => {
                self.calls.push((now, outcome == Outcome::Bad));
                let slot = nanos_of(self.settings.window) / 10;
                let inside: Vec<bool> = self
                    .calls
                    .iter()
                    .filter(|(at, _)| now / slot - at / slot < 10)
                    .map(|(_, bad)| *bad)
                    .collect();
                let failed = inside.iter().filter(|bad| **bad).count();
                if outcome == Outcome::Bad
                    && inside.len() >= self.settings.min_calls as usize
                    && failed * 100 >= self.settings.failures.0 as usize * inside.len()
                {
                    self.turn(open);
                }
            }
            _ => {}
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// So many milliseconds pass.
    Pass(u64),
    /// A call begins.
    Begin,
    /// The call at this place among those under way ends.
    End(prop::sample::Index, Outcome),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        2 => Just(Outcome::Good), 3 => Just(Outcome::Bad), 1 => Just(Outcome::Neither),
    ];
    prop_oneof![
        2 => (0_u64..3_000).prop_map(Step::Pass),
        4 => Just(Step::Begin),
        4 => (any::<prop::sample::Index>(), outcome).prop_map(|(at, outcome)| Step::End(at, outcome)),
    ]
}

proptest! {
    #[test]
    fn a_breaker_does_what_its_model_does(
        steps in prop::collection::vec(step(), 1..300), min_calls in 1_u32..6,
        failures in 1_u32..=100, probes in 1_u16..4,
    ) {
        let settings = Settings { min_calls, probes, failures: Percent(failures), ..settings() };
        let breaker = Breaker::new(settings.clone());
        let mut model = Model { settings, phase: ModelPhase::Closed, era: 0, calls: Vec::new() };
        let mut now = BEGIN;
        let mut under_way = Vec::new();
        for step in steps {
            match step {
                Step::Pass(ms) => now += ms * MS,
                Step::Begin => match (breaker.admit(now), model.admit(now)) {
                    (Ok(pass), Some(also)) => under_way.push((pass, also)),
                    (Err(_), None) => {}
                    (one, other) => {
                        prop_assert!(false, "{one:?}, and the model: {}", other.is_some());
                    }
                },
                Step::End(at, outcome) if !under_way.is_empty() => {
                    let (pass, also) = under_way.swap_remove(at.index(under_way.len()));
                    breaker.record(pass, outcome, now);
                    model.record(also, outcome, now);
                }
                Step::End(..) => {}
            }
            let state = match model.phase {
                ModelPhase::Closed => State::Closed,
                ModelPhase::Open(until) if now < until => State::Open,
                ModelPhase::Open(_) | ModelPhase::HalfOpen { .. } => State::HalfOpen,
            };
            prop_assert_eq!(breaker.view(now).state, state);
        }
    }
}
