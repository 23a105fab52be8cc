//! The power goes at any operation of the disk, while events are put, delivered, tried again, given
//! up and removed, and while segments come and go. Whatever was answered must be so afterwards.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::{AtomicU64, Ordering},
};

use super::*;
use crate::{State, disk::simulated::Dice};

/// What was promised, from outside of the store.
#[derive(Debug, Default)]
struct Book {
    /// Those of which a put has returned, and their data.
    stored: BTreeMap<u64, Bytes>,
    /// Those that were handed out, delivered or not.
    delivered: HashSet<Id>,
    /// Those that were delivered, and a later put has returned since: that is synced.
    gone: HashSet<Id>,
    /// Those that were given up, and that has returned.
    dead: HashSet<Id>,
    /// By number of the event.
    ids: HashMap<u64, Id>,
}

/// What was found.
#[derive(Debug, Default)]
struct Found {
    lost: usize,
    corrupt: usize,
    back: usize,
    twice: usize,
    cuts: usize,
    acknowledged: usize,
    segments_gone: usize,
    torn: usize,
    damaged: usize,
}

/// An event with a number, that tells whether it is whole.
fn numbered(number: u64, dice: &mut Dice) -> Bytes {
    let mut data = number.to_le_bytes().to_vec();
    let mut own = Dice(number);
    data.extend((0..dice.below(1500)).map(|_| u8::try_from(own.below(256)).unwrap()));
    data.into()
}

fn number_of(data: &[u8]) -> Option<u64> {
    let (number, rest) = data.split_first_chunk()?;
    let number = u64::from_le_bytes(*number);
    let mut own = Dice(number);
    rest.iter().all(|byte| u64::from(*byte) == own.below(256)).then_some(number)
}

/// Puts until the power goes.
async fn put_on(store: &Embedded, book: &Mutex<Book>, numbers: &AtomicU64, seed: u64) {
    let mut dice = Dice(seed);
    loop {
        let many = 1 + dice.below(3);
        let numbers: Vec<u64> =
            (0..many).map(|_| numbers.fetch_add(1, Ordering::Relaxed)).collect();
        let data: Vec<Bytes> = numbers.iter().map(|number| numbered(*number, &mut dice)).collect();
        let targets = ["u/a", "u/b", "u/c"];
        let records = data.iter().map(|data| {
            let target = targets[usize::try_from(dice.below(3)).unwrap()];
            let mut record = record(target, data.clone());
            let number = number_of(data).unwrap();
            let mut identity = [0; 32];
            identity[..8].copy_from_slice(&number.to_le_bytes());
            record.head.identity = Some(Hex::of(&identity));
            record.head.order = (dice.below(4) == 0).then(|| format!("k{}", dice.below(3)));
            record
        });
        let records: Vec<Record> = records.collect();
        // What was delivered before this put is synced with it.
        let before: Vec<Id> = book.lock().unwrap().delivered.iter().copied().collect();
        match store.put(records).await {
            Ok(taken) => {
                let mut book = book.lock().unwrap();
                for ((number, data), taken) in numbers.iter().zip(data).zip(taken) {
                    book.stored.insert(*number, data);
                    book.ids.insert(*number, taken.id);
                }
                book.gone.extend(before);
            }
            Err(NotStored::Full | NotStored::TargetFull { .. }) => tokio::task::yield_now().await,
            Err(_) => return,
        }
    }
}

/// Delivers until the power goes.
async fn deliver_on(
    (store, disk): (&Embedded, &Simulated),
    book: &Mutex<Book>,
    seed: u64,
    found: &Mutex<Found>,
) {
    let mut dice = Dice(seed);
    loop {
        let some = 1 + usize::try_from(dice.below(8)).unwrap();
        let claims = tokio::select! {
            claims = store.claim(some) => claims,
            // The store has ended, and nobody will have anything more.
            _ = store.shared.queue_ended() => return,
        };
        for claim in claims {
            if number_of(&claim.record.data).is_none() {
                found.lock().unwrap().corrupt += 1;
            }
            let id = claim.id;
            match dice.below(20) {
                0 => store.release(claim),
                1 | 2 => {
                    let then = Then::Again { at: Millis::now(), hold: None };
                    store.fail(claim, Some(refused()), then).await;
                }
                3 => {
                    store.fail(claim, Some(refused()), dead()).await;
                    // If the power is off, this was no answer.
                    if !disk.is_off() {
                        book.lock().unwrap().dead.insert(id);
                    }
                }
                _ => {
                    // It cannot be known before, and must not be asked for after.
                    store.done(claim).await;
                    book.lock().unwrap().delivered.insert(id);
                }
            }
        }
    }
}

impl Shared {
    async fn queue_ended(&self) {
        let over = |now: &Progressed| matches!(now, Progressed::Broken(_) | Progressed::Closed);
        drop(self.ready.subscribe().wait_for(over).await);
    }
}

/// All that a store holds.
async fn all(store: &Embedded) -> HashMap<Id, Letter> {
    let mut letters = HashMap::new();
    let mut after = None;
    loop {
        let page = store.list(&Filter::default(), after, 500).await.unwrap();
        letters.extend(page.letters.into_iter().map(|letter| (letter.id, letter)));
        after = page.next;
        if after.is_none() {
            return letters;
        }
    }
}

fn check(book: &mut Book, letters: &HashMap<Id, Letter>, found: &mut Found) {
    let mut by_number: HashMap<u64, Vec<Id>> = HashMap::new();
    for letter in letters.values() {
        match number_of(&letter.record.data) {
            None => found.corrupt += 1,
            Some(number) => by_number.entry(number).or_default().push(letter.id),
        }
    }
    found.twice += by_number.values().filter(|ids| ids.len() > 1).count();
    for (number, data) in &book.stored {
        let id = book.ids[number];
        match letters.get(&id) {
            None => found.lost += usize::from(!book.delivered.contains(&id)),
            Some(letter) => {
                found.corrupt += usize::from(letter.record.data != *data);
                let is_dead = letter.state == State::Dead;
                let back = book.gone.contains(&id) || (book.dead.contains(&id) && !is_dead);
                found.back += usize::from(back);
            }
        }
    }
    for id in &book.dead {
        found.lost += usize::from(!letters.contains_key(id));
    }
    // From now on those that are there are there, and those that are not are gone.
    book.delivered.retain(|id| !letters.contains_key(id));
    book.gone = book.delivered.clone();
}

/// One life after another on one disk, each ended by a cut.
async fn lives(seed: u64, cuts: usize, lies: bool, found: &Arc<Mutex<Found>>) {
    let mut dice = Dice(seed);
    let book = Arc::new(Mutex::new(Book::default()));
    let numbers = Arc::new(AtomicU64::new(0));
    let mut disk = Simulated::default();
    for _ in 0..cuts {
        let (mut settings, told) = settings(24);
        settings.dead_max_size = 1 << 30;
        disk.cut_at(20 + dice.below(400));
        if lies {
            disk.lies();
        }
        let opened = Embedded::with_segments(Arc::new(disk.clone()), settings, SEGMENT, SEGMENT);
        // A cut while it is read is one too.
        if let Ok(store) = opened {
            let store = Arc::new(store);
            if store.ready().await.is_ok() {
                let letters = all(&store).await;
                if !disk.is_off() {
                    check(&mut book.lock().unwrap(), &letters, &mut found.lock().unwrap());
                }
            }
            let putters = (0..4).map(|_| {
                let (store, book) = (Arc::clone(&store), Arc::clone(&book));
                let (numbers, seed) = (Arc::clone(&numbers), dice.next());
                tokio::spawn(async move { put_on(&store, &book, &numbers, seed).await })
            });
            let mut tasks: Vec<_> = putters.collect();
            for _ in 0..2 {
                let (store, book) = (Arc::clone(&store), Arc::clone(&book));
                let disk = disk.clone();
                let (found, seed) = (Arc::clone(found), dice.next());
                tasks.push(tokio::spawn(async move {
                    deliver_on((&store, &disk), &book, seed, &found).await;
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
            store.close().await;
        }
        let mut found = found.lock().unwrap();
        for told in told.lock().unwrap().iter() {
            found.torn += usize::from(matches!(told, Trouble::Torn { .. }));
            found.damaged += usize::from(told.is_damage());
        }
        let firsts = disk.files().into_iter().filter_map(|(name, _)| {
            name.strip_prefix("pending-").and_then(|number| number.parse::<usize>().ok())
        });
        found.segments_gone = found.segments_gone.max(firsts.min().unwrap_or(0));
        found.cuts += 1;
        disk = disk.after_cut(&mut dice);
    }
    let store = ready(&disk, 24).await.0;
    let letters = all(&store).await;
    let mut found = found.lock().unwrap();
    check(&mut book.lock().unwrap(), &letters, &mut found);
    found.acknowledged += book.lock().unwrap().stored.len();
}

fn run(seeds: std::ops::Range<u64>, cuts: usize, lies: bool) -> Found {
    let found = Arc::new(Mutex::new(Found::default()));
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    for seed in seeds {
        runtime.block_on(lives(seed, cuts, lies, &found));
    }
    drop(runtime);
    Arc::into_inner(found).unwrap().into_inner().unwrap()
}

/// How many disks there are, of ten cuts each: more of them by `GUSSET_CUTS`.
fn wanted() -> u64 {
    std::env::var("GUSSET_CUTS").map_or(30, |cuts| cuts.parse::<u64>().unwrap() / 10)
}

#[test]
fn nothing_that_was_acknowledged_is_lost_when_the_power_goes() {
    let found = run(0..wanted(), 10, false);
    println!("{found:?}");
    let Found { lost, corrupt, back, twice, damaged, .. } = found;
    assert_eq!((lost, corrupt, back, twice, damaged), (0, 0, 0, 0, 0), "{found:?}");
    // Or it would prove little.
    assert!(found.acknowledged > 1000 && found.torn > 0 && found.segments_gone > 3, "{found:?}");
}

#[test]
fn a_disk_that_only_says_that_it_synced_is_found_out() {
    let found = run(0..4, 5, true);
    assert!(found.lost > 0, "{found:?}");
}
