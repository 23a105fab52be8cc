//! Who kills: the gateway, the broker or both, at moments that a seed decides, and mostly while
//! requests are under way.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use super::{Plan, journal::Journal, random::Random, subject::Subject};

pub(super) struct Killer {
    random: Random,
    journal: Arc<Journal>,
    between: Duration,
    kills: u32,
    in_flight: u32,
}

impl Killer {
    pub(super) fn new(plan: Plan, journal: Arc<Journal>) -> Self {
        let random = Random::new(plan.seed, u64::MAX);
        Self { random, journal, between: plan.between, kills: 0, in_flight: 0 }
    }

    pub(super) fn kills(&self) -> u32 {
        self.kills
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Waits a while, kills, waits a while and starts again what was killed.
    pub(super) fn next(&mut self, subject: &mut dyn Subject) {
        let most = u64::try_from(self.between.as_millis()).unwrap();
        thread::sleep(Duration::from_millis(50 + self.random.below(most)));
        if self.random.percent(10) {
            let wait = Duration::from_millis(200 + self.random.below(3000));
            if self.random.percent(40) { subject.pause_broker(wait) } else { subject.pause(wait) }
        }
        // A kill while nothing happens shows nothing.
        let until = Instant::now() + Duration::from_secs(1);
        while self.journal.in_flight.load(Relaxed) == 0 && Instant::now() < until {
            thread::yield_now();
        }
        self.in_flight += u32::from(self.journal.in_flight.load(Relaxed) > 0);
        let whom = self.random.below(10);
        if whom != 9 && whom >= 6 {
            subject.kill_broker();
        } else if whom == 9 {
            subject.kill_broker();
            subject.kill();
        } else {
            subject.kill();
        }
        self.kills += 1;
        thread::sleep(Duration::from_millis(self.random.below(most / 2)));
        subject.all_up();
    }
}
