//! What every store promises.

use std::sync::Arc;

use outbox::{
    Filter, Id, Millis, NotStored, State, Taken, Then,
    config::Settings,
    disk::Real,
    embedded::{self, Embedded},
    memory::Memory,
};

use super::{
    Held, claim, claim_one, dead, dead_and_parked, eventually, keyed, nats::Server, put_one,
    record, refused, with_identity,
};

/// A store of each kind. The one in memory knows nothing of repetitions, and says so.
async fn stores() -> Vec<Held> {
    let memory =
        Held { store: Arc::new(Memory::default()), name: "memory", _lives_by: Box::new(()) };
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Real::open(folder.path()).unwrap());
    let tell = embedded::Tell::new(|trouble| panic!("{trouble}"));
    let files = Embedded::open(disk, embedded::Settings::of(&Settings::default(), tell)).unwrap();
    files.ready().await.unwrap();
    let files = Held { store: Arc::new(files), name: "files", _lives_by: Box::new(folder) };
    let mut all = vec![memory, files];
    if let Some(server) = Server::start() {
        let store = server.open(|_| {}).await;
        all.push(Held { store: Arc::new(store), name: "jetstream", _lives_by: Box::new(server) });
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_put_is_claimed_in_its_order_until_it_is_done() {
    for Held { store, name, .. } in &stores().await {
        let first = put_one(&**store, keyed("u/a", "k", "one")).await;
        let second = put_one(&**store, keyed("u/a", "k", "two")).await;
        assert!(second > first, "{name}");
        for (id, data) in [(first, "one"), (second, "two")] {
            let claim = claim_one(&**store).await;
            assert_eq!((claim.id, &claim.record.data[..]), (id, data.as_bytes()), "{name}");
            store.done(claim).await;
        }
        assert!(store.show(first).await.unwrap().is_none(), "{name}");
        eventually("it is empty", async || {
            store.holds().targets.iter().all(|held| held.pending == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_try_that_failed_is_made_again_when_it_is_due_with_all_that_was_tried() {
    for Held { store, name, .. } in &stores().await {
        let id = put_one(&**store, record("u/a", "one")).await;
        let claim = claim_one(&**store).await;
        store.fail(claim, Some(refused()), Then::Again { at: Millis::now(), hold: None }).await;
        let claim = claim_one(&**store).await;
        assert_eq!((claim.id, claim.attempts), (id, 1), "{name}");
        store.fail(claim, None, Then::Parked { why: "target_gone".into() }).await;
        let letter = store.show(id).await.unwrap().unwrap();
        assert_eq!((letter.state, letter.attempted), (State::Parked, 1), "{name}");
        assert_eq!(letter.attempts[0].reason, "it said no", "{name}");
        store.unpark("u/a");
        let claim = claim_one(&**store).await;
        assert_eq!(claim.attempts, 1, "{name}");
        store.release(claim);
        assert_eq!(claim_one(&**store).await.attempts, 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_kept_shown_replayed_and_removed() {
    for Held { store, name, .. } in &stores().await {
        let id = put_one(&**store, record("u/a", "one")).await;
        let claim = claim_one(&**store).await;
        store.fail(claim, Some(refused()), dead()).await;
        let letter = store.show(id).await.unwrap().unwrap();
        assert_eq!((letter.state, letter.attempted), (State::Dead, 1), "{name}");
        assert_eq!(letter.why.as_deref(), Some("it was poison"), "{name}");
        assert_eq!(&letter.record.data[..], b"one", "{name}");
        let newest = store.newest_dead(5).await.unwrap();
        assert_eq!(newest.iter().map(|letter| letter.id).collect::<Vec<_>>(), [id], "{name}");
        eventually("it is counted", async || (store.holds().dead == 1).then_some(())).await;
        assert!(store.replayed(id).await.unwrap(), "{name}");
        assert!(!store.replayed(Id(77)).await.unwrap(), "{name}");
        assert_eq!(store.show(id).await.unwrap().unwrap().state, State::Replayed, "{name}");
        assert!(store.newest_dead(5).await.unwrap().is_empty(), "{name}");
        assert!(store.remove(id).await.unwrap(), "{name}");
        assert!(store.show(id).await.unwrap().is_none(), "{name}");
        assert!(!store.remove(id).await.unwrap(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_can_be_removed_and_what_is_being_delivered_cannot() {
    for Held { store, name, .. } in &stores().await {
        let first = put_one(&**store, keyed("u/a", "k", "one")).await;
        let second = put_one(&**store, keyed("u/a", "k", "two")).await;
        let claim = claim_one(&**store).await;
        assert_eq!(claim.id, first, "{name}");
        assert!(!store.remove(first).await.unwrap(), "{name}");
        assert!(store.remove(second).await.unwrap(), "{name}");
        store.release(claim);
        let page = store.list(&Filter::default(), None, 10).await.unwrap();
        assert_eq!(page.letters.iter().map(|one| one.id).collect::<Vec<_>>(), [first], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_comes_twice_is_stored_once_and_with_other_data_not_at_all() {
    for Held { store, name, .. } in stores().await.iter().skip(1) {
        let id = put_one(&**store, with_identity("u/a", "one", 1)).await;
        let again = vec![Taken { id, duplicate: true }];
        assert_eq!(store.put(vec![with_identity("u/a", "one", 1)]).await.unwrap(), again, "{name}");
        let claim = claim_one(&**store).await;
        store.done(claim).await;
        assert_eq!(store.put(vec![with_identity("u/a", "one", 1)]).await.unwrap(), again, "{name}");
        let other = store.put(vec![with_identity("u/a", "two", 1)]).await;
        assert_eq!(other, Err(NotStored::Conflict), "{name}");
        // Another target of the same event, and a replay, repeat nothing.
        let other = store.put(vec![with_identity("u/b", "one", 1)]).await.unwrap();
        assert!(!other[0].duplicate, "{name}");
        let mut replay = with_identity("u/a", "one", 1);
        replay.head.replay = 1;
        assert!(!store.put(vec![replay]).await.unwrap()[0].duplicate, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_all_are_stored_or_none() {
    for Held { store, name, .. } in stores().await.iter().skip(1) {
        put_one(&**store, with_identity("u/a", "one", 1)).await;
        let both = vec![
            record("u/a", "new"),
            with_identity("u/a", "fresh", 3),
            with_identity("u/a", "other", 1),
        ];
        assert_eq!(store.put(both).await, Err(NotStored::Conflict), "{name}");
        let twice = vec![with_identity("u/a", "x", 2), with_identity("u/a", "x", 2)];
        let taken = store.put(twice).await.unwrap();
        assert_eq!((taken[0].id, taken[1].duplicate), (taken[1].id, true), "{name}");
        // What was refused with others is nobody yet.
        let fan = vec![
            with_identity("u/b", "all", 4),
            with_identity("u/a", "else", 3),
            with_identity("u/a", "x", 2),
        ];
        let out = store.put(fan).await.unwrap();
        assert!(!out[0].duplicate && !out[1].duplicate && out[2].duplicate, "{name}");
        assert_eq!(out[2].id, taken[0].id, "{name}");
        let page = store.list(&Filter::default(), None, 100).await.unwrap();
        assert_eq!(page.letters.len(), 4, "{name}");
        for (index, taken) in out.iter().enumerate() {
            let target = if index == 0 { "u/b" } else { "u/a" };
            let shown = store.show(taken.id).await.unwrap().unwrap();
            assert_eq!(shown.record.head.target, target, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_goes_through_all_of_them_page_by_page() {
    for Held { store, name, .. } in &stores().await {
        let mut ids = Vec::new();
        for _ in 0..4 {
            let some = (0..50).map(|_| record("u/a", "x")).collect();
            ids.extend(store.put(some).await.unwrap().into_iter().map(|taken| taken.id));
        }
        let claim = claim_one(&**store).await;
        let dead_id = claim.id;
        store.fail(claim, Some(refused()), dead()).await;
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = store.list(&Filter::default(), after, 30).await.unwrap();
            seen.extend(page.letters.iter().map(|letter| letter.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, ids, "{name}");
        let filter = Filter { state: Some(State::Dead), ..Filter::default() };
        let page = store.list(&filter, None, 5).await.unwrap();
        assert_eq!(page.letters.iter().map(|one| one.id).collect::<Vec<_>>(), [dead_id], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_is_claimed_one_at_a_time_and_a_target_in_trouble_holds_up_no_other() {
    for Held { store, name, .. } in &stores().await {
        put_one(&**store, keyed("u/a", "k", "1")).await;
        put_one(&**store, keyed("u/a", "k", "2")).await;
        let first = claim_one(&**store).await;
        put_one(&**store, record("u/b", "3")).await;
        let other = claim_one(&**store).await;
        assert_eq!(&other.record.data[..], b"3", "{name}");
        let later = Millis::now().plus(std::time::Duration::from_hours(1));
        let hold = Then::Again { at: later, hold: Some(later) };
        store.fail(first, Some(refused()), hold).await;
        put_one(&**store, record("u/a", "4")).await;
        store.done(other).await;
        put_one(&**store, record("u/b", "5")).await;
        let next = claim(&**store, 10).await;
        assert_eq!(next.len(), 1, "{name}");
        assert_eq!(&next[0].record.data[..], b"5", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_waits_for_its_dead_letter_until_somebody_has_dealt_with_it_and_others_move_on() {
    for Held { store, name, .. } in &stores().await {
        for replayed in [true, false] {
            let poison = put_one(&**store, keyed("u/a", "k", "poison")).await;
            let behind = put_one(&**store, keyed("u/a", "k", "behind")).await;
            let claim = claim_one(&**store).await;
            assert_eq!(claim.id, poison, "{name}");
            store.fail(claim, Some(refused()), dead_and_parked()).await;
            let other = put_one(&**store, keyed("u/a", "other", "moves on")).await;
            let next = claim_one(&**store).await;
            assert_eq!(next.id, other, "{name}");
            store.done(next).await;
            let waits = store.show(behind).await.unwrap().unwrap();
            assert_eq!(waits.state, State::Parked, "{name}");
            assert!(match replayed {
                true => store.replayed(poison).await.unwrap(),
                false => store.remove(poison).await.unwrap(),
            });
            let next = claim_one(&**store).await;
            assert_eq!(next.id, behind, "{name}");
            store.done(next).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stops_gives_out_nothing_more_and_one_that_is_closed_takes_nothing() {
    for Held { store, name, .. } in &stores().await {
        put_one(&**store, record("u/a", "one")).await;
        store.stop();
        assert!(claim(&**store, 1).await.is_empty(), "{name}");
        put_one(&**store, record("u/a", "two")).await;
        store.close().await;
        let refused = store.put(vec![record("u/a", "three")]).await;
        assert!(matches!(refused, Err(NotStored::Broken(_))), "{name}: {refused:?}");
    }
}
