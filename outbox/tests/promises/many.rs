//! What the store in JetStream promises beside: several gateways share the work, any may die, and
//! so may the server.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use outbox::{Filter, Millis, NotStored, State, Store, Then, jetstream::Syncs};
use schemas::Guarantee;

use super::{
    PATIENCE, claim, claim_one, dead, dead_and_parked, eventually, keyed,
    nats::{Server, told},
    put_one, record, refused, with_identity,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_share_the_work_and_none_is_delivered_twice() {
    let Some(server) = Server::start() else { return };
    let one = Arc::new(server.open(|_| {}).await);
    let two = Arc::new(server.open(|_| {}).await);
    // Both have taken their share.
    let mut by: [BTreeSet<u64>; 2] = Default::default();
    let mut sent = 0;
    let began = tokio::time::Instant::now();
    while by.iter().any(BTreeSet::is_empty) || by.iter().map(BTreeSet::len).sum::<usize>() < sent {
        assert!(began.elapsed() < PATIENCE, "{by:?} of {sent}");
        if began.elapsed() < Duration::from_secs(4) {
            one.put((0..8).map(|_| record("u/a", "x")).collect()).await.unwrap();
            sent += 8;
        }
        for (store, by) in [&one, &two].into_iter().zip(&mut by) {
            let soon = tokio::time::timeout(Duration::from_millis(50), store.claim(64)).await;
            for claim in soon.unwrap_or_default() {
                by.insert(claim.id.0);
                store.done(claim).await;
            }
        }
    }
    assert_eq!(by[0].intersection(&by[1]).count(), 0);
    eventually("nothing is left", async || {
        one.holds().targets.iter().all(|held| held.pending == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_had_in_hand_when_it_died_goes_to_another_with_its_tries() {
    let Some(server) = Server::start() else { return };
    let first = server.open(|_| {}).await;
    let ids: BTreeSet<_> = [
        put_one(&first, keyed("u/a", "k", "1")).await,
        put_one(&first, keyed("u/a", "k", "2")).await,
        put_one(&first, keyed("u/a", "k", "3")).await,
    ]
    .into();
    let claim = claim_one(&first).await;
    first.fail(claim, Some(refused()), Then::Again { at: Millis::now(), hold: None }).await;
    let claim = claim_one(&first).await;
    assert_eq!(claim.attempts, 1);
    // As SIGKILL: nothing is released, nothing is said.
    drop((claim, first));
    let second = server.open(|_| {}).await;
    let mut seen = Vec::new();
    for attempts in [1, 0, 0] {
        let claim = claim_one(&second).await;
        assert_eq!(claim.attempts, attempts);
        seen.push(claim.id);
        second.done(claim).await;
    }
    assert!(seen.is_sorted() && seen.into_iter().collect::<BTreeSet<_>>() == ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_in_good_order_leaves_its_work_at_once() {
    let Some(server) = Server::start() else { return };
    let first = server.open(|_| {}).await;
    put_one(&first, record("u/a", "1")).await;
    let claim = claim_one(&first).await;
    first.stop();
    first.release(claim);
    first.close().await;
    let second = server.open(|_| {}).await;
    let began = tokio::time::Instant::now();
    let claim = claim_one(&second).await;
    // Far less than a lease has to run.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    second.done(claim).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_gateway_drops_what_another_has_in_hand_but_not_what_it_delivers() {
    let Some(server) = Server::start() else { return };
    let one = server.open(|_| {}).await;
    let first = put_one(&one, keyed("u/a", "k", "1")).await;
    let second = put_one(&one, keyed("u/a", "k", "2")).await;
    let under_way = claim_one(&one).await;
    let two = server.open(|_| {}).await;
    assert_eq!(under_way.id, first);
    assert!(!two.remove(first).await.unwrap());
    assert!(two.remove(second).await.unwrap());
    one.done(under_way).await;
    let last = put_one(&one, keyed("u/a", "k", "3")).await;
    // Whoever has the key by now.
    let next = tokio::select! {
        claims = claim(&one, 1) => claims,
        claims = claim(&two, 1) => claims,
    };
    assert_eq!(next[0].id, last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_death_under_load_loses_nothing_and_is_told_once() {
    let Some(mut server) = Server::start() else { return };
    let (told, tell) = told();
    let store = Arc::new(server.open(|settings| settings.tell = tell).await);
    let stored = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut stored = BTreeMap::new();
            for n in 0..400_u32 {
                let data = n.to_string();
                let mut one = record("u/a", data.clone());
                one.head.identity =
                    Some(outbox::record::Hex::of(&[&n.to_be_bytes()[..], &[7; 28]].concat()));
                // As a sender does: the same again until it is taken.
                loop {
                    match store.put(vec![one.clone()]).await {
                        Ok(taken) => break drop(stored.insert(taken[0].id, data)),
                        Err(NotStored::Away | NotStored::Unanswered | NotStored::Broken(_)) => {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
            }
            stored
        })
    };
    let delivering = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut seen: BTreeSet<String> = BTreeSet::new();
            while seen.len() < 400 {
                for claim in store.claim(16).await {
                    if claim.record.head.target == "u/a" {
                        seen.insert(String::from_utf8(claim.record.data.to_vec()).unwrap());
                    }
                    store.done(claim).await;
                }
            }
            seen
        })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.kill();
    // Until the death is noticed nobody knows.
    eventually("it says that the server is away", async || {
        let put = store.put(vec![record("u/b", "x")]).await.map(drop);
        assert!(matches!(put, Err(NotStored::Away | NotStored::Unanswered)), "{put:?}");
        (put == Err(NotStored::Away)).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.crash();
    let stored = tokio::time::timeout(PATIENCE, stored).await.unwrap().unwrap();
    let seen = tokio::time::timeout(PATIENCE, delivering).await.unwrap().unwrap();
    assert_eq!(stored.into_values().collect::<BTreeSet<_>>(), seen);
    let told = told.lock().unwrap().clone();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("is down") && told[1].contains("is back"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repetition_is_known_after_the_server_has_started_again() {
    let Some(mut server) = Server::start() else { return };
    let store = server.open(|_| {}).await;
    let id = put_one(&store, with_identity("u/a", "one", 1)).await;
    let claim = claim_one(&store).await;
    store.done(claim).await;
    // It is written behind the answer.
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.crash();
    let again = eventually("the server is back", async || {
        store.put(vec![with_identity("u/a", "one", 1)]).await.ok()
    })
    .await;
    assert_eq!((again[0].id, again[0].duplicate), (id, true));
    let other = store.put(vec![with_identity("u/a", "two", 1)]).await;
    assert_eq!(other, Err(NotStored::Conflict));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_stream_refuses_drains_and_takes_again() {
    let Some(server) = Server::start() else { return };
    let store = server.open(|settings| settings.max_size = 1 << 20).await;
    let large = || record("u/a", vec![1; 100_000]);
    let mut stored = 0;
    let full = loop {
        match store.put(vec![large()]).await {
            Ok(_) => stored += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(full, NotStored::Full);
    assert!((8..=10).contains(&stored), "{stored}");
    // Several at once are refused as one.
    assert_eq!(store.put(vec![large(), large()]).await.map(drop), Err(NotStored::Full));
    for _ in 0..stored {
        let claim = claim_one(&store).await;
        store.done(claim).await;
    }
    put_one(&store, large()).await;
    // What was refused left no trace of who it was.
    let limit = store.put(vec![record("u/a", vec![1; 2 << 20])]).await;
    assert!(matches!(limit, Err(NotStored::TooLarge { .. })), "{limit:?}");
    let many = (0..=outbox::jetstream::TOGETHER_MAX).map(|_| record("u/a", "x")).collect();
    assert!(matches!(store.put(many).await, Err(NotStored::TooMany { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_target_fills_its_share_and_no_more() {
    let Some(server) = Server::start() else { return };
    let store =
        server.open(|settings| (settings.max_size, settings.per_target) = (2 << 20, 50)).await;
    let mut stored = 0;
    let full = loop {
        match store.put(vec![record("u/down", vec![1; 50_000])]).await {
            Ok(_) => stored += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(full, NotStored::TargetFull { target: "u/down".into() });
    assert!((15..=30).contains(&stored), "{stored}");
    put_one(&store, record("u/up", vec![1; 50_000])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_gone_waits_and_goes_on_with_another_gateway() {
    let Some(server) = Server::start() else { return };
    let first = server.open(|_| {}).await;
    let id = put_one(&first, record("u/gone", "1")).await;
    let claim = claim_one(&first).await;
    first.fail(claim, None, Then::Parked { why: "target_gone".into() }).await;
    assert_eq!(first.show(id).await.unwrap().unwrap().state, State::Parked);
    drop(first);
    let second = server.open(|_| {}).await;
    // It is looked at once more: this gateway may know the target.
    let claim = claim_one(&second).await;
    assert_eq!((claim.id, claim.attempts), (id, 0));
    second.done(claim).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_waits_for_its_dead_letter_whoever_has_it_by_then_and_whoever_deals_with_it() {
    let Some(server) = Server::start() else { return };
    let first = server.open(|_| {}).await;
    let poison = put_one(&first, keyed("u/a", "k", "poison")).await;
    let claim = claim_one(&first).await;
    first.fail(claim, Some(refused()), dead_and_parked()).await;
    // As SIGKILL: nothing is released, nothing is said.
    drop(first);
    let second = server.open(|_| {}).await;
    let behind = put_one(&second, keyed("u/a", "k", "behind")).await;
    let other = put_one(&second, keyed("u/a", "other", "moves on")).await;
    let next = claim_one(&second).await;
    assert_eq!(next.id, other);
    second.done(next).await;
    eventually("it waits", async || {
        let shown = second.show(behind).await.unwrap()?;
        (shown.state == State::Parked).then_some(())
    })
    .await;
    let third = server.open(|_| {}).await;
    assert!(third.remove(poison).await.unwrap());
    let next = tokio::select! {
        next = claim_one(&second) => next,
        next = claim_one(&third) => next,
    };
    assert_eq!(next.id, behind);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_seen_by_every_gateway() {
    let Some(server) = Server::start() else { return };
    let (one, two) = (server.open(|_| {}).await, server.open(|_| {}).await);
    let id = put_one(&one, record("u/a", "1")).await;
    let (claim, by) = tokio::select! {
        claim = claim_one(&one) => (claim, &one),
        claim = claim_one(&two) => (claim, &two),
    };
    by.fail(claim, Some(refused()), dead()).await;
    for store in [&one, &two] {
        let filter = Filter { state: Some(State::Dead), ..Filter::default() };
        let page = store.list(&filter, None, 10).await.unwrap();
        assert_eq!(page.letters.iter().map(|letter| letter.id).collect::<Vec<_>>(), [id]);
        eventually("it is counted", async || (store.holds().dead == 1).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_in_another_shape_is_left_alone_and_told() {
    let Some(server) = Server::start() else { return };
    let made = server.open(|_| {}).await;
    made.close().await;
    let (told, tell) = told();
    let other = server.open_soon(|settings| {
        settings.max_size = 32 << 20;
        settings.tell = tell;
    });
    eventually("it is told", async || (!told.lock().unwrap().is_empty()).then_some(())).await;
    let said = told.lock().unwrap()[0].clone();
    assert!(said.contains("the stream BOX has max_bytes: 67108864"), "{said}");
    let refused = other.put(vec![record("u/a", "x")]).await;
    assert_eq!(refused.map(drop), Err(NotStored::Away));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_answer_is_safe_from_is_what_is_known_of_the_server() {
    let Some(server) = Server::start() else { return };
    let store = server.open(|_| {}).await;
    assert_eq!(
        (store.guarantee(), store.sync().as_deref()),
        (Guarantee::BrokerDisk, Some("unknown"))
    );
    store.synced(Syncs::Every("2m".into()));
    assert_eq!((store.guarantee(), store.sync().as_deref()), (Guarantee::BrokerDisk, Some("2m")));
    store.synced(Syncs::Always);
    assert_eq!(store.guarantee(), Guarantee::DiskSynced);
}
