//! The service that takes the events. It fails now and then, before it has recorded one or after.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};

use super::{journal::Journal, random::Random, senders};
use crate::support::Peer;

/// Starts it.
pub(super) fn start(journal: Arc<Journal>) -> Peer {
    Peer::start(move |exchange| {
        let Some((body, _)) = exchange.wire.body(&exchange.head) else { return exchange.close() };
        let Some(id) = exchange.head.header("ce-id").map(str::to_owned) else {
            return exchange.answer(400, &[], "this is no event");
        };
        let mut random = Random::new(journal.seed ^ journal.deliveries(), senders::number(&id));
        let fails = journal.faults.load(Relaxed) && random.percent(5);
        let fault = if fails { random.below(5) } else { 5 };
        match fault {
            0 => return exchange.answer(503, &[], "not now"),
            1 => return exchange.close(),
            _ => {}
        }
        journal.delivered(&id, body == senders::data(journal.seed, &id));
        match fault {
            2 => {
                journal.forces(&id);
                exchange.answer(500, &[], "after all");
            }
            3 => {
                journal.forces(&id);
                exchange.close();
            }
            4 => {
                thread::sleep(Duration::from_millis(300));
                exchange.answer(204, &[], "");
            }
            _ => exchange.answer(204, &[], ""),
        }
    })
}
