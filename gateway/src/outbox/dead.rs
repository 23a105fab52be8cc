//! A line for what was given up: at most one in a while for each target, with how many there were.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ::outbox::{
    Claim, Record, Then,
    delivery::Failure,
    outcomes::Answer,
    record::RecordHead,
    worker::{Became, Deliver, Rules},
};
use futures_util::future::BoxFuture;
use ingress::Courier;

use crate::cli::print;

/// How long nothing more is said of a target.
const QUIET: Duration = Duration::from_secs(10);

/// Delivers as a courier does, and says what was given up.
#[derive(Debug)]
pub(super) struct Saying {
    courier: Arc<Courier>,
    dead: Mutex<HashMap<String, Dead>>,
}

/// What was given up of a target since it was last said.
#[derive(Debug)]
struct Dead {
    said: Instant,
    count: u64,
    /// The newest.
    newest: String,
}

impl Saying {
    pub(super) fn new(courier: Arc<Courier>) -> Self {
        Self { courier, dead: Mutex::default() }
    }

    /// Says what was kept back.
    pub(super) fn say_the_rest(&self) {
        let mut dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        dead.retain(|target, dead| {
            if now.duration_since(dead.said) < QUIET {
                return true;
            }
            let more = dead.count > 0;
            if more {
                say(target, dead);
                dead.said = now;
            }
            more
        });
    }

    fn given_up(&self, claim: &Claim, why: &str, tries: u32) {
        let head = &claim.record.head;
        let mut newest = format!("{} of route {}, after {tries} ", claim.id, head.route);
        newest.push_str(if tries == 1 { "try: " } else { "tries: " });
        newest.push_str(why);
        let mut all = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(dead) = all.get_mut(&head.target) {
            dead.count += 1;
            dead.newest = newest;
            return;
        }
        let mut dead = Dead { said: now, count: 1, newest };
        say(&head.target, &mut dead);
        all.insert(head.target.clone(), dead);
    }
}

fn say(target: &str, dead: &mut Dead) {
    let mut line = format!("gusset: outbox: given up for {target}: {}", dead.newest);
    if dead.count > 1 {
        write!(line, " (and {} more)", dead.count - 1).ok();
    }
    print::error(&format!("{line}; see `gusset outbox list --state dead`"));
    dead.count = 0;
}

impl Deliver for Saying {
    fn rules(&self, head: &RecordHead) -> Result<Rules, &'static str> {
        self.courier.rules(head)
    }

    fn deliver<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<Answer, Failure>> {
        self.courier.deliver(record)
    }

    fn tell(&self, claim: &Claim, became: Became<'_>) {
        match became {
            Became::Failed(failure, Then::Dead { .. }) => {
                self.given_up(claim, &failure.reason, claim.attempts + 1);
            }
            Became::TooOld => self.given_up(claim, "its time is up", claim.attempts),
            _ => {}
        }
        self.courier.tell(claim, became);
    }
}
