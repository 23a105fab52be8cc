//! What callers are told when a connection or the broker is lost or blocked, and what comes after.

use std::{collections::HashSet, rc::Rc, time::Duration};

use invokers::amqp;
use schemas::{Class, Fault, Invoker as _, Ran, Reply};

use crate::support::{
    Cable, Client, Rabbit, all, breakable, on_core, plain_lane, publish, refused, request, shared,
    until_ok,
};

/// What callers were told of their messages, by number.
#[derive(Default)]
struct Told {
    confirmed: HashSet<usize>,
    maybe: HashSet<usize>,
    no: HashSet<usize>,
}

impl Told {
    fn of(outcomes: Vec<Result<Reply, Fault>>) -> Self {
        let mut told = Self::default();
        for (n, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Ok(_) => told.confirmed.insert(n),
                Err(fault) => {
                    assert_eq!(fault.class, Class::Unavailable, "{fault:?}");
                    assert_eq!(fault.unsent.is_some(), fault.ran == Ran::No);
                    match fault.ran {
                        Ran::No => told.no.insert(n),
                        Ran::Maybe => told.maybe.insert(n),
                    }
                }
            };
        }
        told
    }

    /// Every confirmed message has arrived, and none that surely was not sent.
    fn hold(&self, arrived: &HashSet<usize>) {
        let lost: Vec<_> = self.confirmed.difference(arrived).collect();
        assert!(lost.is_empty(), "confirmed and lost: {lost:?}");
        let ghosts: Vec<_> = self.no.intersection(arrived).collect();
        assert!(ghosts.is_empty(), "told that they were not sent, and they were: {ghosts:?}");
    }
}

/// Publishes numbers in waves of 100 until so many waves had failures.
async fn waves(
    lane: &Rc<amqp::Lane>,
    address: &str,
    failing: usize,
    outcomes: &mut Vec<Result<Reply, Fault>>,
) {
    let mut failed = 0;
    while failed < failing {
        let first = outcomes.len();
        let wave = all(lane, (first..first + 100).map(|n| publish(address, n.to_string()))).await;
        failed += usize::from(wave.iter().any(Result::is_err));
        outcomes.extend(wave);
        tokio::task::yield_now().await;
    }
}

#[test]
fn while_nobody_is_there_callers_are_told_at_once_and_get_the_call_back() {
    on_core(async {
        let lane = plain_lane("amqp://127.0.0.1:1");
        let fault = refused(lane.call(publish("/q", "x")).await);
        assert_eq!((fault.class, fault.ran), (Class::Unavailable, Ran::No));
        assert!(fault.retry_after.is_some());
        let again = fault.unsent.expect("the call");
        assert_eq!(again.event.data.whole().unwrap(), "x");
        assert_eq!(lane.state(), "down");
        // From now on nobody waits for a connection.
        let refused = all(&lane, (0..1000).map(|_| publish("/q", "x")));
        let refused = tokio::time::timeout(Duration::from_secs(5), refused).await.expect("at once");
        assert!(refused.iter().all(Result::is_err));
    });
}

#[test]
fn when_the_cable_is_cut_what_was_confirmed_has_arrived_and_nothing_comes_later() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let (queue, mended) = (client.queue().await, client.queue().await);
        let address = format!("/{queue}");
        let cable = Cable::lay(shared().port());
        let lane = plain_lane(&cable.url("amqp"));
        let mut outcomes = Vec::new();
        for round in 0..6 {
            let first = outcomes.len();
            let work = waves(&lane, &address, 2, &mut outcomes);
            let cut = async {
                while client.count(&queue).await < 400 * (round + 1) {}
                cable.cut();
            };
            tokio::join!(work, cut);
            assert!(outcomes.len() > first);
            cable.mend();
            until_ok(&lane, || publish(&format!("/{mended}"), "")).await;
        }
        let told = Told::of(outcomes);
        assert!(told.confirmed.len() > 1000, "{} confirmed", told.confirmed.len());
        told.hold(&client.numbers(&queue).await);
    });
}

#[test]
fn what_was_handed_to_a_connection_that_broke_is_not_sent_by_the_next() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let (queue, up) = (client.queue().await, client.queue().await);
        let cable = Cable::lay(shared().port());
        let lane = plain_lane(&cable.url("amqp"));
        for round in 0..5 {
            until_ok(&lane, || publish(&format!("/{up}"), "")).await;
            // The connection is gone before it is told of these, and the next one is to be had.
            cable.jolt();
            let large = vec![b'x'; 20_000];
            let calls = (0..90).map(|_| publish(&format!("/{queue}"), large.clone()));
            let outcomes = all(&lane, calls).await;
            assert!(outcomes.iter().all(Result::is_err), "round {round}");
            until_ok(&lane, || publish(&format!("/{up}"), "")).await;
            assert_eq!(client.count(&queue).await, 0, "round {round}");
        }
    });
}

#[test]
fn a_broker_that_stands_still_is_given_up_and_no_one_is_told_that_it_took_a_message() {
    let rabbit = breakable();
    on_core(async {
        let client = Client::connect(&rabbit).await;
        let queue = client.queue().await;
        let lane = plain_lane(&rabbit.url());
        let address = format!("/{queue}");
        lane.call(publish(&address, "0")).await.unwrap();
        rabbit.freeze(true);
        let waiting = lane.call(publish(&address, "1"));
        let waited = tokio::time::timeout(Duration::from_millis(300), waiting).await;
        assert!(waited.is_err(), "a broker that stands still has confirmed: {waited:?}");
        // Nor is a connection to it one that waits for ever.
        let mut fields = crate::support::written(&rabbit.url(), serde_json::json!({}));
        fields["connect_timeout"] = "200ms".into();
        let fault = refused(crate::support::lane(fields).call(publish(&address, "2")).await);
        assert_eq!((fault.class, fault.ran), (Class::Unavailable, Ran::No), "{fault:?}");
        rabbit.freeze(false);
        until_ok(&lane, || publish(&address, "3")).await;
    });
}

#[test]
fn a_broker_short_of_memory_refuses_at_once_and_takes_again_when_it_has_some() {
    let rabbit = breakable();
    on_core(async {
        let client = Client::connect(&rabbit).await;
        let queue = client.queue().await;
        let lane = plain_lane(&rabbit.url());
        let address = format!("/{queue}");
        lane.call(publish(&address, "0")).await.unwrap();
        rabbit.short_of_memory(true);
        // The broker tells a connection with its first message that it takes none. That one may be
        // taken later.
        let first = tokio::time::timeout(Duration::from_secs(5), lane.call(publish(&address, "1")));
        if let Err(fault) = first.await.expect("nobody waits") {
            assert_eq!((fault.name(), fault.ran), ("broker_blocked", Ran::Maybe), "{fault:?}");
        }
        let refused_all = all(
            &lane,
            (0..500).map(|n| match n % 2 {
                0 => publish(&address, "2"),
                _ => request(&address, "2"),
            }),
        );
        let outcomes =
            tokio::time::timeout(Duration::from_secs(5), refused_all).await.expect("at once");
        for outcome in outcomes {
            let fault = refused(outcome);
            assert_eq!((fault.name(), fault.ran), ("broker_blocked", Ran::No), "{fault:?}");
            assert!(fault.retry_after.is_some() && fault.unsent.is_some());
        }
        rabbit.short_of_memory(false);
        until_ok(&lane, || publish(&address, "3")).await;
        let there = client.numbers(&queue).await;
        assert!(there.contains(&0) && there.contains(&3) && !there.contains(&2), "{there:?}");
    });
}

/// Has the broker go away under load and come back, and shows that what was confirmed is there.
fn every_confirmed_message_is_there_although(goes_away: fn(&mut Rabbit)) {
    let mut rabbit = breakable();
    let mut outcomes = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let (lane, address) = local.block_on(&runtime, async {
        let queue = Client::connect(&rabbit).await.queue().await;
        (plain_lane(&rabbit.url()), format!("/{queue}"))
    });
    let (tell, told) = std::sync::mpsc::channel();
    // A thread of its own ends the broker, in the midst of the waves.
    std::thread::scope(|scope| {
        let rabbit = &mut *rabbit;
        scope.spawn(move || {
            told.recv().unwrap();
            goes_away(rabbit);
        });
        local.block_on(&runtime, async {
            let first = all(&lane, (0..500).map(|n| publish(&address, n.to_string()))).await;
            assert!(first.iter().all(Result::is_ok));
            outcomes.extend(first);
            tell.send(()).unwrap();
            waves(&lane, &address, 3, &mut outcomes).await;
        });
    });
    rabbit.restart();
    local.block_on(&runtime, async {
        let last = outcomes.len();
        outcomes.push(Ok(until_ok(&lane, || publish(&address, last.to_string())).await));
        let client = Client::connect(&rabbit).await;
        let there = client.numbers(address.trim_start_matches('/')).await;
        let told = Told::of(outcomes);
        assert!(told.confirmed.len() > 500 && !told.no.is_empty());
        told.hold(&there);
    });
}

#[test]
fn every_confirmed_message_is_there_although_the_broker_was_killed() {
    every_confirmed_message_is_there_although(Rabbit::kill);
}

#[test]
fn every_confirmed_message_is_there_although_the_broker_was_stopped() {
    every_confirmed_message_is_there_although(Rabbit::stop);
}
