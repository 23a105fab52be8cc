//! Many messages under way on one channel: each is told what has become of it, and of no other.

use std::{collections::HashSet, rc::Rc};

use invokers::amqp;
use schemas::{Class, Fault, Invoker as _, Ran, Reply};

use crate::support::{
    Client, MESSAGE_MAX, all, on_core, plain_lane, publish, refused, shared, until_ok,
};

/// A lane on which messages to this exchange go by its pipeline.
async fn piped(exchange: &str, key: &str) -> Rc<amqp::Lane> {
    let lane = plain_lane(&shared().url());
    lane.call(publish(&format!("{exchange}/{key}"), "0")).await.unwrap();
    lane
}

/// The numbers of those that were confirmed, and of those that no queue took.
fn sorted(outcomes: Vec<Result<Reply, Fault>>) -> (HashSet<usize>, HashSet<usize>) {
    let (mut confirmed, mut unroutable) = (HashSet::new(), HashSet::new());
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let first = match outcome {
            Ok(_) => confirmed.insert(n + 1),
            Err(fault) => {
                assert_eq!((fault.name(), fault.ran), ("unroutable", Ran::No), "{fault:?}");
                unroutable.insert(n + 1)
            }
        };
        assert!(first);
    }
    (confirmed, unroutable)
}

#[test]
fn each_of_thousands_on_one_channel_is_told_its_own_truth() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let (exchange, queue) = (client.exchange().await, client.queue().await);
        client.bind(&exchange, "yes", &queue).await;
        let lane = piped(&exchange, "yes").await;
        // In runs of all lengths, so that confirmations of one, of many and of both kinds come.
        let routable = |n: usize| !(n / (1 + n / 100 % 7)).is_multiple_of(3);
        let calls = (1..=10_000).map(|n| {
            let key = if routable(n) { "yes" } else { "no" };
            publish(&format!("{exchange}/{key}"), n.to_string())
        });
        let (confirmed, unroutable) = sorted(all(&lane, calls).await);
        assert_eq!(confirmed, (1..=10_000).filter(|n| routable(*n)).collect());
        assert_eq!(unroutable.len() + confirmed.len(), 10_000);
        let mut there = client.numbers(&queue).await;
        assert!(there.remove(&0));
        assert_eq!(there, confirmed);
    });
}

#[test]
fn what_is_told_is_true_although_a_binding_comes_and_goes_under_load() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let (exchange, queue) = (client.exchange().await, client.queue().await);
        client.bind(&exchange, "k", &queue).await;
        let lane = piped(&exchange, "k").await;
        let address = format!("{exchange}/k");
        let (mut outcomes, mut waves) = (Vec::new(), 0);
        let mut turn = std::pin::pin!(async {
            loop {
                client.unbind(&exchange, "k", &queue).await;
                client.bind(&exchange, "k", &queue).await;
            }
        });
        while waves < 40 {
            let first = outcomes.len() + 1;
            let calls = (first..first + 250).map(|n| publish(&address, n.to_string()));
            tokio::select! {
                wave = all(&lane, calls) => outcomes.extend(wave),
                () = &mut turn => {}
            }
            waves += 1;
        }
        let (confirmed, unroutable) = sorted(outcomes);
        assert!(confirmed.len() > 100 && unroutable.len() > 100, "both happen");
        // The client's own channel may be in the midst of a change.
        let mut there = Client::connect(shared()).await.numbers(&queue).await;
        assert!(there.remove(&0));
        assert_eq!(there, confirmed);
    });
}

#[test]
fn an_exchange_that_goes_away_under_load_is_told_to_its_own_messages_alone() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let (gone, stays) = (client.exchange().await, client.exchange().await);
        let (queue, other) = (client.queue().await, client.queue().await);
        client.bind(&gone, "k", &queue).await;
        client.bind(&stays, "k", &other).await;
        let lane = piped(&gone, "k").await;
        lane.call(publish(&format!("{stays}/k"), "0")).await.unwrap();
        let address = |n: usize| format!("{}/k", if n.is_multiple_of(2) { &stays } else { &gone });
        let calls = (1..=4000).map(|n| publish(&address(n), n.to_string()));
        let deleted = async {
            while client.count(&queue).await < 200 {}
            client.delete_exchange(&gone).await;
        };
        let (outcomes, ()) = tokio::join!(all(&lane, calls), deleted);
        let there = client.numbers(&queue).await;
        let (mut maybe, mut no) = (0, 0);
        for (n, outcome) in outcomes.into_iter().enumerate() {
            let n = n + 1;
            match outcome {
                Ok(_) => assert!(n % 2 == 0 || there.contains(&n), "{n} is not there"),
                Err(fault) => {
                    assert_eq!(n % 2, 1, "it is of the other exchange: {fault:?}");
                    match fault.ran {
                        Ran::Maybe => {
                            assert_eq!(fault.class, Class::Unavailable, "{fault:?}");
                            maybe += 1;
                        }
                        Ran::No => {
                            assert!(!there.contains(&n), "{n} is there");
                            no += usize::from(fault.name() == "no_exchange");
                        }
                    }
                }
            }
        }
        // All that were under way when it went cannot know; whoever comes later can.
        assert!(maybe <= 256, "{maybe}");
        assert!(no > 0);
        assert_eq!(client.numbers(&other).await.len(), 2001);
        assert_eq!(lane.state(), "up");
    });
}

#[test]
fn a_message_too_large_is_told_so_and_those_beside_it_are_not() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let (exchange, queue) = (client.exchange().await, client.queue().await);
        client.bind(&exchange, "k", &queue).await;
        let lane = piped(&exchange, "k").await;
        let address = format!("{exchange}/k");
        let calls = (1..=1000).map(|n| match n % 100 {
            0 => publish(&address, vec![b'x'; MESSAGE_MAX + 1]),
            _ => publish(&address, n.to_string()),
        });
        for (n, outcome) in all(&lane, calls).await.into_iter().enumerate() {
            match (n + 1) % 100 {
                0 => assert_eq!(refused(outcome).class, Class::TooLarge),
                _ => assert!(outcome.is_ok(), "{outcome:?}"),
            }
        }
        assert_eq!(client.numbers(&queue).await.len(), 991);
        until_ok(&lane, || publish(&address, "1")).await;
    });
}
