use std::task::Poll;

use super::*;
use crate::State;

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart_until_it_is_done() {
    let disk = Simulated::default();
    let (store, _) = ready(&disk, 64).await;
    let first = put_one(&store, record("u/a", "one")).await;
    let second = put_one(&store, record("u/a", "two")).await;
    let claim = claim_one(&store).await;
    assert_eq!((claim.id, &claim.record.data[..]), (first, &b"one"[..]));
    store.done(claim).await;
    store.close().await;

    let (store, told) = ready(&disk, 64).await;
    let claim = claim_one(&store).await;
    assert_eq!((claim.id, &claim.record.data[..]), (second, &b"two"[..]));
    store.done(claim).await;
    assert_eq!(store.holds().targets, []);
    // A number is never given twice.
    assert!(put_one(&store, record("u/a", "three")).await > second);
    assert_eq!(*told.lock().unwrap(), []);
}

#[tokio::test]
async fn how_far_a_record_has_come_survives_a_restart() {
    let disk = Simulated::default();
    let (store, _) = ready(&disk, 64).await;
    let id = put_one(&store, record("u/a", "one")).await;
    let claim = claim_one(&store).await;
    store.fail(claim, Some(refused()), Then::Again { at: Millis::now(), hold: None }).await;
    let claim = claim_one(&store).await;
    assert_eq!(claim.attempts, 1);
    store.fail(claim, Some(refused()), Then::Parked { why: "target_gone".into() }).await;
    store.close().await;

    let (store, _) = ready(&disk, 64).await;
    let letter = store.show(id).await.unwrap().unwrap();
    assert_eq!((letter.state, letter.attempted, letter.attempts.len()), (State::Parked, 2, 2));
    assert_eq!(letter.why.as_deref(), Some("target_gone"));
    store.unpark("u/a");
    let claim = claim_one(&store).await;
    assert_eq!(claim.attempts, 2);
    store.release(claim);
    store.close().await;

    let (store, _) = ready(&disk, 64).await;
    assert_eq!(claim_one(&store).await.attempts, 2);
}

#[tokio::test]
async fn a_dead_letter_is_kept_shown_replayed_and_removed_over_restarts() {
    let disk = Simulated::default();
    let (store, _) = ready(&disk, 64).await;
    let id = put_one(&store, record("u/a", "one")).await;
    let claim = claim_one(&store).await;
    store.fail(claim, Some(refused()), dead()).await;
    assert_eq!(store.holds().dead, 1);
    store.close().await;

    let (store, _) = ready(&disk, 64).await;
    let letter = store.show(id).await.unwrap().unwrap();
    assert_eq!((letter.state, letter.attempted), (State::Dead, 1));
    assert_eq!(letter.why.as_deref(), Some("it was poison"));
    assert_eq!(letter.attempts[0].reason, "it said no");
    assert!(store.replayed(id).await.unwrap());
    assert!(!store.replayed(Id(77)).await.unwrap());
    store.close().await;

    let (store, _) = ready(&disk, 64).await;
    assert_eq!(store.show(id).await.unwrap().unwrap().state, State::Replayed);
    assert_eq!(store.holds().dead, 0);
    assert!(store.remove(id).await.unwrap());
    store.close().await;

    let (store, _) = ready(&disk, 64).await;
    assert!(store.show(id).await.unwrap().is_none());
    assert!(!store.remove(id).await.unwrap());
}

#[tokio::test]
async fn a_pending_record_can_be_removed_and_one_that_is_being_delivered_cannot() {
    let disk = Simulated::default();
    let (store, _) = ready(&disk, 64).await;
    let first = put_one(&store, record("u/a", "one")).await;
    let second = put_one(&store, record("u/a", "two")).await;
    let claim = claim_one(&store).await;
    assert_eq!(claim.id, first);
    assert!(!store.remove(first).await.unwrap());
    assert!(store.remove(second).await.unwrap());
    store.release(claim);
    store.close().await;
    let (store, _) = ready(&disk, 64).await;
    let page = store.list(&Filter::default(), None, 10).await.unwrap();
    assert_eq!(page.letters.iter().map(|letter| letter.id).collect::<Vec<_>>(), [first]);
}

#[tokio::test]
async fn an_event_that_comes_twice_is_stored_once_also_after_a_restart() {
    let disk = Simulated::default();
    let (store, _) = ready(&disk, 64).await;
    let id = put_one(&store, with_identity("u/a", "one", 1)).await;
    let again = |id| vec![Taken { id, duplicate: true }];
    assert_eq!(store.put(vec![with_identity("u/a", "one", 1)]).await.unwrap(), again(id));
    let claim = claim_one(&store).await;
    store.done(claim).await;
    // Segments come and go: who was seen is told forward.
    for _ in 0..200 {
        put_one(&store, record("u/b", vec![7; 900])).await;
        let claim = claim_one(&store).await;
        store.done(claim).await;
    }
    store.close().await;
    assert!(disk.files().iter().all(|(name, _)| name != "pending-0000000000"));

    let (store, _) = ready(&disk, 64).await;
    assert_eq!(store.put(vec![with_identity("u/a", "one", 1)]).await.unwrap(), again(id));
    let other = store.put(vec![with_identity("u/a", "two", 1)]).await;
    assert_eq!(other, Err(NotStored::Conflict));
    // Another target of the same event, and a replay, repeat nothing.
    assert!(!store.put(vec![with_identity("u/b", "one", 1)]).await.unwrap()[0].duplicate);
    let mut replay = with_identity("u/a", "one", 1);
    replay.head.replay = 1;
    assert!(!store.put(vec![replay]).await.unwrap()[0].duplicate);
}

#[tokio::test]
async fn of_a_put_with_a_conflict_nothing_is_stored() {
    let disk = Simulated::default();
    let (store, _) = ready(&disk, 64).await;
    put_one(&store, with_identity("u/a", "one", 1)).await;
    let both = vec![record("u/a", "new"), with_identity("u/a", "other", 1)];
    assert_eq!(store.put(both).await, Err(NotStored::Conflict));
    let twice = vec![with_identity("u/a", "x", 2), with_identity("u/a", "x", 2)];
    let taken = store.put(twice).await.unwrap();
    assert_eq!((taken[0].id, taken[1].duplicate), (taken[1].id, true));
    assert_eq!(store.holds().targets[0].pending, 2);
}

/// Puts until it is refused. Returns how many were stored and why no more.
async fn fill(store: &Embedded, target: &str) -> (usize, NotStored) {
    let mut stored = 0;
    loop {
        match store.put(vec![record(target, vec![1; 1000])]).await {
            Ok(_) => stored += 1,
            Err(refused) => return (stored, refused),
        }
    }
}

#[tokio::test]
async fn a_full_store_refuses_drains_and_takes_again() {
    let disk = Simulated::default();
    let (store, told) = ready(&disk, 32).await;
    let (stored, full) = fill(&store, "u/a").await;
    assert_eq!(full, NotStored::Full);
    assert!(stored > 230, "{stored} of 1.2 KB are far from filling 24 segments of 16 KiB");
    // Marks have room, more than once for each record.
    for _ in 0..2 * stored {
        let claim = claim_one(&store).await;
        store.fail(claim, Some(refused()), Then::Again { at: Millis::now(), hold: None }).await;
    }
    // What segments say of themselves is a quarter of such small ones.
    let takes = disk.takes() - 4096 * disk.files().len() as u64;
    assert!(takes <= 32 * u64::from(SEGMENT), "{takes} bytes");
    for _ in 0..stored {
        let claim = claim_one(&store).await;
        assert!(claim.attempts > 0);
        store.done(claim).await;
    }
    // It takes as much again, for ever: nothing is left behind.
    for _ in 0..10 {
        for _ in 0..stored / 2 {
            put_one(&store, record("u/a", vec![1; 1000])).await;
        }
        for _ in 0..stored / 2 {
            let claim = claim_one(&store).await;
            store.done(claim).await;
        }
    }
    store.close().await;
    assert_eq!(*told.lock().unwrap(), []);
}

#[tokio::test]
async fn a_store_that_is_full_of_holes_finds_them() {
    let disk = Simulated::default();
    let (store, _) = ready(&disk, 32).await;
    let (stored, _) = fill(&store, "u/stays").await;
    // Every second one goes: no segment is empty, and half of each is free.
    let page = store.list(&Filter::default(), None, stored).await.unwrap();
    for letter in page.letters.iter().step_by(2) {
        assert!(store.remove(letter.id).await.unwrap());
    }
    let mut again = 0;
    for _ in 0..1000 {
        again += usize::from(store.put(vec![record("u/a", vec![1; 1000])]).await.is_ok());
    }
    assert!(again > stored / 3, "{again} of {} places were found", stored / 2);
    store.close().await;
    let (store, told) = ready(&disk, 32).await;
    let pending: u64 = store.holds().targets.iter().map(|held| held.pending).sum();
    assert_eq!(pending, (stored / 2 + again) as u64);
    assert_eq!(*told.lock().unwrap(), []);
}

#[tokio::test]
async fn one_target_fills_its_share_and_no_more() {
    let disk = Simulated::default();
    let (mut settings, _) = settings(32);
    settings.per_target = 50;
    let store = open_small(&disk, settings);
    store.ready().await.unwrap();
    let (_, full) = fill(&store, "u/down").await;
    assert_eq!(full, NotStored::TargetFull { target: "u/down".into() });
    put_one(&store, record("u/up", vec![1; 1000])).await;
}

#[tokio::test]
async fn what_never_moves_is_copied_forward_with_how_far_it_has_come() {
    let disk = Simulated::default();
    let (store, _) = ready(&disk, 32).await;
    let stuck = put_one(&store, record("u/stuck", "stays")).await;
    let claim = claim_one(&store).await;
    let later = Millis::now().plus(Duration::from_hours(1));
    store.fail(claim, Some(refused()), Then::Again { at: later, hold: None }).await;
    for _ in 0..300 {
        put_one(&store, record("u/a", vec![7; 900])).await;
        let claim = claim_one(&store).await;
        assert_eq!(claim.record.head.target, "u/a");
        store.done(claim).await;
    }
    store.close().await;
    assert!(disk.files().len() < 8, "{:?}", disk.files());
    let (store, told) = ready(&disk, 32).await;
    let letter = store.show(stuck).await.unwrap().unwrap();
    assert_eq!((letter.attempted, letter.due), (1, Some(later)));
    assert_eq!(&letter.record.data[..], b"stays");
    assert_eq!(*told.lock().unwrap(), []);
}

#[tokio::test]
async fn a_full_disk_refuses_drains_and_recovers_by_itself() {
    let disk = Simulated::default();
    let (store, told) = ready(&disk, 64).await;
    put_one(&store, record("u/a", "first")).await;
    disk.room(Some(disk.takes() + u64::from(SEGMENT)));
    let (stored, full) = fill(&store, "u/a").await;
    assert_eq!(full, NotStored::DiskFull);
    assert_eq!(told.lock().unwrap().pop(), Some(Trouble::DiskFull));
    // It drains all the same.
    for _ in 0..=stored {
        let claim = claim_one(&store).await;
        store.done(claim).await;
    }
    // The space of what was delivered is enough to go on.
    let again = async {
        while store.put(vec![record("u/a", "new")]).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again).await.unwrap();
    assert_eq!(told.lock().unwrap().pop(), Some(Trouble::DiskHasRoom));
    store.close().await;
    let (store, _) = ready(&disk.copy(), 64).await;
    assert_eq!(&claim_one(&store).await.record.data[..], b"new");
    assert_eq!(store.holds().targets[0].pending, 1);
}

#[tokio::test]
async fn after_a_sync_that_failed_nothing_is_promised() {
    let disk = Simulated::default();
    let (store, told) = ready(&disk, 64).await;
    put_one(&store, record("u/a", "one")).await;
    disk.fail_syncs(1);
    assert!(matches!(store.put(vec![record("u/a", "two")]).await, Err(NotStored::Broken(_))));
    // The disk would write again; what it has forgotten nobody knows.
    assert!(matches!(store.put(vec![record("u/a", "three")]).await, Err(NotStored::Broken(_))));
    assert!(matches!(told.lock().unwrap()[..], [Trouble::Broken(_)]));
}

#[tokio::test]
async fn the_oldest_dead_letters_go_when_there_are_too_many() {
    let disk = Simulated::default();
    let (mut settings, told) = settings(64);
    settings.dead_max_size = 4 * u64::from(SEGMENT);
    let store = open_small(&disk, settings);
    store.ready().await.unwrap();
    for _ in 0..100 {
        put_one(&store, record("u/a", vec![1; 1000])).await;
        let claim = claim_one(&store).await;
        store.fail(claim, Some(refused()), dead()).await;
    }
    let holds = store.holds();
    assert!(holds.dead > 10 && holds.dead_lost > 10, "{holds:?}");
    assert_eq!(holds.dead + holds.dead_lost, 100);
    let lost = |told: &Trouble| match told {
        Trouble::DeadLost(lost) => *lost,
        other => panic!("{other}"),
    };
    assert_eq!(told.lock().unwrap().iter().map(lost).sum::<u64>(), holds.dead_lost);
    let page = store.list(&Filter::default(), None, 1).await.unwrap();
    assert_eq!(page.letters[0].id, Id(holds.dead_lost));
}

#[tokio::test]
async fn dead_letters_that_are_too_old_go() {
    let disk = Simulated::default();
    let (store, _) = ready(&disk, 64).await;
    put_one(&store, record("u/a", "old")).await;
    let claim = claim_one(&store).await;
    store.fail(claim, Some(refused()), dead()).await;
    store.close().await;
    let (mut settings, told) = settings(64);
    settings.dead_keep = Duration::ZERO;
    let over = Millis::now().plus(Duration::from_secs(2));
    let store = loop {
        // It is looked for when the store opens; a letter has its time in seconds.
        let store = open_small(&disk, settings.clone());
        store.ready().await.unwrap();
        put_one(&store, record("u/b", "any")).await;
        // The writer looks after a group is written.
        put_one(&store, record("u/b", "any")).await;
        if store.holds().dead == 0 || Millis::now() > over {
            break store;
        }
        store.close().await;
    };
    assert_eq!((store.holds().dead, store.holds().dead_lost), (0, 1));
    assert_eq!(told.lock().unwrap()[..], [Trouble::DeadLost(1)]);
    store.close().await;
    assert!(disk.files().iter().all(|(name, _)| !name.starts_with("dead")), "{:?}", disk.files());
}

#[tokio::test]
async fn a_dead_letter_that_its_key_waits_for_is_waited_for_after_a_restart() {
    let disk = Simulated::default();
    let (store, _) = ready(&disk, 64).await;
    let keyed = |data: &'static str| {
        let mut record = record("u/a", data);
        record.head.order = Some("key".into());
        record
    };
    let poison = put_one(&store, keyed("one")).await;
    put_one(&store, keyed("two")).await;
    let claim = claim_one(&store).await;
    let park = Then::Dead { why: "poison".into(), park: true };
    store.fail(claim, Some(refused()), park).await;
    store.close().await;

    let (store, _) = ready(&disk, 64).await;
    assert_eq!(store.holds().targets[0].parked, 1);
    assert!(store.remove(poison).await.unwrap());
    let claim = claim_one(&store).await;
    assert_eq!(&claim.record.data[..], b"two");
    assert!(claim.record.head.after_poison);
}

#[tokio::test]
async fn a_list_goes_through_all_of_them_page_by_page() {
    let disk = Simulated::default();
    let (store, _) = ready(&disk, 1024).await;
    let records = (0..10).map(|_| record("u/a", "x")).collect::<Vec<_>>();
    for _ in 0..250 {
        store.put(records.clone()).await.unwrap();
    }
    let claim = claim_one(&store).await;
    store.fail(claim, Some(refused()), dead()).await;
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = store.list(&Filter::default(), after, 300).await.unwrap();
        seen.extend(page.letters.iter().map(|letter| letter.id.0));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..2500).collect::<Vec<_>>());
    let filter = Filter { state: Some(State::Dead), ..Filter::default() };
    let page = store.list(&filter, None, 5).await.unwrap();
    assert_eq!((page.letters.len(), page.letters[0].id, page.next), (1, Id(0), None));
    let after_all = store.list(&Filter::default(), Some(Id(u64::MAX)), 5).await.unwrap();
    assert!(after_all.letters.is_empty() && after_all.next.is_none());
}

#[tokio::test]
async fn what_is_rare_is_looked_for_in_steps_that_say_where_they_end() {
    let disk = Simulated::default();
    let (store, _) = ready(&disk, 1024).await;
    let records = (0..10).map(|_| record("u/a", "x")).collect::<Vec<_>>();
    for _ in 0..1700 {
        store.put(records.clone()).await.unwrap();
    }
    let last = put_one(&store, record("u/rare", "x")).await;
    let filter = Filter { target: Some("u/rare".to_owned()), ..Filter::default() };
    let page = store.list(&filter, None, 5).await.unwrap();
    assert!(page.letters.is_empty() && page.next.is_some_and(|next| next < last), "{page:?}");
    let page = store.list(&filter, page.next, 5).await.unwrap();
    assert_eq!((page.letters.len(), page.letters[0].id, page.next), (1, last, None));
}

#[tokio::test]
async fn the_newest_dead_letters_come_first_and_replayed_ones_not_at_all() {
    let disk = Simulated::default();
    let (store, _) = ready(&disk, 64).await;
    for _ in 0..5 {
        put_one(&store, record("u/a", "x")).await;
    }
    for _ in 0..4 {
        let claim = claim_one(&store).await;
        store.fail(claim, Some(refused()), dead()).await;
    }
    assert!(store.replayed(Id(2)).await.unwrap());
    let newest = store.newest_dead(2).await.unwrap();
    assert_eq!(newest.iter().map(|letter| letter.id.0).collect::<Vec<_>>(), [3, 1]);
}

#[tokio::test]
async fn a_claim_that_nobody_waits_for_any_more_is_given_back() {
    let disk = Simulated::default();
    let (store, _) = ready(&disk, 64).await;
    put_one(&store, record("u/a", "one")).await;
    {
        let mut claim = store.claim(1);
        // Claimed in the schedule, and being read.
        let now = std::future::poll_fn(|context| Poll::Ready(claim.as_mut().poll(context)));
        assert!(now.await.is_pending());
    }
    assert_eq!(&claim_one(&store).await.record.data[..], b"one");
}

#[tokio::test]
async fn a_folder_has_one_store_and_it_is_there_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let disk = crate::disk::Real::open(folder.path())?;
        let (settings, _) = settings(64);
        let opened = Embedded::with_segments(Arc::new(disk), settings, SEGMENT, SEGMENT);
        Ok::<_, crate::disk::Unusable>(opened.unwrap())
    };
    let store = open().unwrap();
    let second = open().unwrap_err();
    assert!(second.to_string().starts_with("another gateway uses the folder"), "{second}");
    store.ready().await.unwrap();
    put_one(&store, record("u/a", "one")).await;
    store.close().await;
    let store = open().unwrap();
    assert_eq!(&claim_one(&store).await.record.data[..], b"one");
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_it_is_said_whether_alone_or_together() {
    let disk = Simulated::default();
    let (store, _) = ready(&disk, 64).await;
    let said = async |records| store.put(records).await.unwrap_err().to_string();
    let large = said(vec![record("u/a", vec![1; SEGMENT as usize])]).await;
    assert_eq!(
        large,
        "the event is larger than 6144 bytes, which is what the outbox takes at once"
    );
    let many = said(vec![record("u/a", vec![1; 1000]); 8]).await;
    assert_eq!(
        many,
        "8 records (one for each event and target) are together larger than 6144 bytes, \
         which is what the outbox takes at once"
    );
    assert!(store.put(vec![record("u/a", vec![1; 1000]); 2]).await.is_ok());
}
