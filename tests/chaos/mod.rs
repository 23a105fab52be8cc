//! What is promised when parts die: an event that was answered `stored` arrives, whatever is killed
//! in between. Numbered events from 64 senders, a service and a stream that take them and outlive
//! everything, SIGKILL and SIGSTOP at seeded moments to the gateway and to the broker; afterwards
//! the books are compared.
//!
//! The short run is part of the tests; `cargo xtask chaos --events N --kills K --seed S [--outbox jetstream]`
//! makes a long one. The harness is shown to find what it looks for, against gateways that break the
//! promise (`mutant.rs`).

mod journal;
mod killer;
mod random;
mod senders;
mod sink;
mod subject;

use std::{
    env,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use self::{
    journal::{Journal, Report},
    killer::Killer,
    senders::Senders,
    subject::{Gusset, Mutant, Outbox, Subject},
};
use crate::support::nats::Server;

/// How a run is made.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// How many events are sent.
    events: u32,
    /// How many times something is killed.
    kills: u32,
    /// What all chance comes from.
    seed: u64,
    /// How long a kill and what belongs to it takes on average.
    between: Duration,
}

/// How long everything that was acknowledged may take to arrive once nothing is killed any more.
const SETTLES: Duration = Duration::from_secs(180);

#[test]
fn what_was_stored_arrives_whatever_is_killed() {
    let plan = Plan { events: 12_000, kills: 30, seed: 1, between: Duration::from_millis(2500) };
    let report = run(plan, &mut Gusset::start(Outbox::Files));
    println!("{report}");
    report.assert_kept();
}

#[test]
fn what_was_stored_on_jetstream_arrives_whatever_is_killed() {
    if Server::version() < (2, 12, 0) {
        println!("SKIPPED: the outbox on JetStream needs nats-server 2.12 or newer");
        return;
    }
    let plan = Plan { events: 4000, kills: 12, seed: 2, between: Duration::from_millis(2500) };
    let report = run(plan, &mut Gusset::start(Outbox::Jetstream));
    println!("{report}");
    report.assert_kept();
}

#[test]
#[ignore = "runs for many minutes; `cargo xtask chaos` runs it"]
fn long() {
    let number =
        |name: &str, default: u64| env::var(name).map_or(default, |text| text.parse().unwrap());
    let plan = Plan {
        events: u32::try_from(number("GUSSET_CHAOS_EVENTS", 200_000)).unwrap(),
        kills: u32::try_from(number("GUSSET_CHAOS_KILLS", 100)).unwrap(),
        seed: number("GUSSET_CHAOS_SEED", 1),
        between: Duration::from_millis(2500),
    };
    let outbox = match env::var("GUSSET_CHAOS_OUTBOX").as_deref() {
        Ok("jetstream") => Outbox::Jetstream,
        _ => Outbox::Files,
    };
    println!("{plan:?} {outbox:?}");
    let report = run(plan, &mut Gusset::start(outbox));
    println!("{report}");
    report.assert_kept();
}

const SHORT: Plan = Plan { events: 1500, kills: 6, seed: 7, between: Duration::from_millis(1200) };

#[test]
fn the_harness_finds_nothing_in_a_gateway_that_keeps_the_promise() {
    run(SHORT, &mut Mutant::start("honest")).assert_kept();
}

#[test]
fn the_harness_finds_a_store_that_acknowledges_before_it_has_stored() {
    let report = run(SHORT, &mut Mutant::start("early-ack"));
    assert!(report.lost > 0, "{report}");
}

#[test]
fn the_harness_finds_a_worker_that_marks_done_before_it_has_delivered() {
    let report = run(SHORT, &mut Mutant::start("early-done"));
    assert!(report.lost > 0, "{report}");
}

/// Sends, kills, waits until all has settled, and compares the books.
fn run(plan: Plan, subject: &mut dyn Subject) -> Report {
    let journal = Arc::new(Journal::new(plan.seed));
    subject.deliver_to(sink::start(Arc::clone(&journal)));
    let lasts = plan.between * plan.kills;
    let senders = Senders::start(plan, lasts, subject.address(), Arc::clone(&journal));
    let mut killer = Killer::new(plan, Arc::clone(&journal));
    while killer.kills() < plan.kills {
        killer.next(subject);
        if senders.are_done() {
            break;
        }
    }
    subject.all_up();
    journal.faults.store(false, Relaxed);
    senders.finish();
    settle(subject, &journal);
    let mut report = journal.report();
    report.kills = killer.kills();
    report.in_flight = killer.in_flight();
    // To look into a long stream takes minutes.
    println!("{report}");
    subject.check(&mut report, &journal);
    report
}

/// Waits until nothing is pending and nothing has arrived for a while.
fn settle(subject: &mut dyn Subject, journal: &Journal) {
    let until = Instant::now() + SETTLES;
    let mut quiet_since = Instant::now();
    let mut before = 0;
    while Instant::now() < until {
        let now = journal.deliveries();
        if now != before || subject.pending() != Some(0) {
            quiet_since = Instant::now();
        }
        before = now;
        // A mutant cannot say what it has forgotten, so that the quiet alone must do.
        if quiet_since.elapsed() > Duration::from_secs(3) {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
}
