use proptest::prelude::*;

use super::*;
use crate::State;

fn insert(schedule: &mut Schedule<()>, id: u64, target: &str, order: Option<&str>) {
    insert_at(schedule, id, target, order, 0);
}

fn insert_at(schedule: &mut Schedule<()>, id: u64, target: &str, order: Option<&str>, due: u64) {
    let due = Millis(due);
    let (accepted, bytes, attempts, parked) = (Millis(id * 1000), 100, 0, false);
    schedule
        .insert(Id(id), Entry { target, order, accepted, due, bytes, attempts, parked, place: () });
}

fn claim(schedule: &mut Schedule<()>, now: u64, max: usize) -> Vec<u64> {
    schedule.claim(Millis(now), max).iter().map(|next| next.id.0).collect()
}

#[test]
fn targets_come_round_in_turn_however_much_waits_for_one() {
    let mut schedule = Schedule::default();
    for id in 0..10 {
        insert(&mut schedule, id, "busy", None);
    }
    insert(&mut schedule, 10, "quiet", None);
    assert_eq!(claim(&mut schedule, 1, 4), [0, 10, 1, 2]);
    assert_eq!(claim(&mut schedule, 1, 100), [3, 4, 5, 6, 7, 8, 9]);
    assert!(claim(&mut schedule, 1, 100).is_empty());
}

#[test]
fn of_one_target_no_more_are_claimed_than_its_pace_allows() {
    let mut schedule = Schedule::default();
    schedule.pace("t", 2);
    for id in 0..5 {
        insert(&mut schedule, id, "t", None);
    }
    assert_eq!(claim(&mut schedule, 1, 100), [0, 1]);
    assert!(claim(&mut schedule, 1, 100).is_empty());
    assert_eq!(schedule.next_due(), None);
    schedule.done(Id(0)).unwrap();
    assert_eq!(claim(&mut schedule, 1, 100), [2]);
    schedule.pace("t", 3);
    assert_eq!(claim(&mut schedule, 1, 100), [3]);
}

#[test]
fn a_target_in_trouble_gets_one_record_after_its_hold_and_then_more_again() {
    let mut schedule = Schedule::default();
    for id in 0..9 {
        insert(&mut schedule, id, "t", None);
    }
    assert_eq!(claim(&mut schedule, 1, 2), [0, 1]);
    schedule.again(Id(0), true, Millis(50), Some(Millis(100)));
    schedule.again(Id(1), true, Millis(60), Some(Millis(90)));
    assert!(claim(&mut schedule, 99, 100).is_empty(), "it is held");
    assert_eq!(schedule.next_due(), Some(Millis(100)));
    let next = schedule.claim(Millis(100), 100);
    assert_eq!(next.len(), 1);
    assert_eq!((next[0].id, next[0].trouble), (Id(2), 1), "one that was never tried probes");
    schedule.again(Id(2), false, Millis(200), Some(Millis(200)));
    let next = schedule.claim(Millis(200), 100);
    assert_eq!((next[0].id, next[0].attempts, next[0].trouble), (Id(3), 0, 2));
    schedule.release(Id(3));
    assert_eq!(claim(&mut schedule, 200, 100), [4]);
    schedule.done(Id(4)).unwrap();
    assert_eq!(claim(&mut schedule, 201, 100).len(), 2, "twice as many");
    assert!(claim(&mut schedule, 202, 100).is_empty());
}

#[test]
fn a_record_that_fails_alone_holds_up_no_other() {
    let mut schedule = Schedule::default();
    insert(&mut schedule, 1, "t", None);
    insert(&mut schedule, 2, "t", None);
    assert_eq!(claim(&mut schedule, 1, 1), [1]);
    schedule.again(Id(1), true, Millis(500), None);
    assert_eq!(claim(&mut schedule, 2, 10), [2]);
    assert_eq!(schedule.next_due(), Some(Millis(500)));
    assert_eq!(schedule.state(Id(1)), Some((State::Pending, Some(Millis(500)))));
    let next = schedule.claim(Millis(500), 10);
    assert_eq!((next[0].id, next[0].attempts), (Id(1), 1));
}

#[test]
fn one_key_is_delivered_one_at_a_time_in_order_and_others_keep_moving() {
    let mut schedule = Schedule::default();
    insert(&mut schedule, 1, "t", Some("a"));
    insert(&mut schedule, 2, "t", Some("a"));
    insert(&mut schedule, 3, "t", Some("b"));
    insert(&mut schedule, 4, "other", Some("a"));
    assert_eq!(claim(&mut schedule, 1, 10), [1, 4, 3]);
    schedule.again(Id(1), true, Millis(100), None);
    assert!(claim(&mut schedule, 99, 10).is_empty(), "2 waits behind 1");
    assert_eq!(claim(&mut schedule, 100, 10), [1]);
    schedule.done(Id(1)).unwrap();
    assert_eq!(claim(&mut schedule, 100, 10), [2]);
}

#[test]
fn those_behind_a_dead_letter_go_on_and_are_marked() {
    let mut schedule = Schedule::default();
    for id in 1..=3 {
        insert(&mut schedule, id, "t", Some("a"));
    }
    insert(&mut schedule, 4, "t", Some("b"));
    assert_eq!(claim(&mut schedule, 1, 10), [1, 4]);
    schedule.give_up(Id(1), false).unwrap();
    let next = schedule.claim(Millis(1), 10);
    assert_eq!((next[0].id, next[0].after_poison), (Id(2), true));
    schedule.done(Id(2)).unwrap();
    assert!(schedule.claim(Millis(1), 10)[0].after_poison);
    schedule.done(Id(3)).unwrap();
    insert(&mut schedule, 5, "t", Some("a"));
    assert!(!schedule.claim(Millis(1), 10)[0].after_poison, "the line was empty in between");
}

#[test]
fn those_behind_a_dead_letter_that_parks_wait_until_somebody_has_dealt_with_it() {
    let mut schedule = Schedule::default();
    insert(&mut schedule, 1, "t", Some("a"));
    insert(&mut schedule, 2, "t", Some("a"));
    insert(&mut schedule, 3, "t", Some("b"));
    assert_eq!(claim(&mut schedule, 1, 1), [1]);
    schedule.give_up(Id(1), true).unwrap();
    insert(&mut schedule, 4, "t", Some("a"));
    assert_eq!(claim(&mut schedule, 1, 10), [3]);
    assert_eq!(schedule.state(Id(2)), Some((State::Parked, None)));
    assert_eq!(schedule.held()[0].parked, 2);
    assert!(schedule.unpark("t").is_empty(), "a key waits for its dead letter");
    schedule.unpark_key(Id(1));
    assert_eq!(claim(&mut schedule, 1, 10), [2]);
    schedule.done(Id(2)).unwrap();
    assert_eq!(claim(&mut schedule, 1, 10), [4]);
}

#[test]
fn after_a_restart_records_may_come_in_any_order() {
    let mut schedule = Schedule::default();
    for id in [3, 1, 2] {
        insert(&mut schedule, id, "t", Some("a"));
    }
    schedule.dead_before(Id(0), "t", "a", false);
    for id in 1..=3 {
        let next = schedule.claim(Millis(1), 10);
        assert_eq!((next.len(), next[0].id, next[0].after_poison), (1, Id(id), true));
        schedule.done(Id(id)).unwrap();
    }
}

#[test]
fn a_parked_record_waits_and_comes_back() {
    let mut schedule = Schedule::default();
    insert(&mut schedule, 1, "t", None);
    assert_eq!(claim(&mut schedule, 1, 1), [1]);
    schedule.park(Id(1));
    assert_eq!(schedule.state(Id(1)), Some((State::Parked, None)));
    assert!(claim(&mut schedule, u64::MAX, 10).is_empty());
    assert_eq!(schedule.unpark("t"), [Id(1)]);
    assert_eq!(claim(&mut schedule, 2, 10), [1]);
}

#[test]
fn what_is_claimed_is_bounded_in_bytes_but_for_one() {
    let mut schedule = Schedule::default();
    for id in 0..3 {
        let bytes = u32::MAX;
        let (accepted, due, attempts, parked) = (Millis(1), Millis(0), 0, false);
        let entry =
            Entry { target: "t", order: None, accepted, due, bytes, attempts, parked, place: () };
        schedule.insert(Id(id), entry);
    }
    assert_eq!(claim(&mut schedule, 1, 10), [0]);
    assert!(claim(&mut schedule, 1, 10).is_empty());
    assert_eq!(schedule.next_due(), None);
    schedule.done(Id(0)).unwrap();
    assert_eq!(claim(&mut schedule, 1, 10), [1]);
}

#[test]
fn a_record_that_is_taken_out_is_not_delivered_and_one_that_is_delivered_is_not_taken_out() {
    let mut schedule = Schedule::default();
    insert(&mut schedule, 1, "t", Some("a"));
    insert(&mut schedule, 2, "t", Some("a"));
    schedule.remove(Id(1)).unwrap();
    assert_eq!(claim(&mut schedule, 1, 10), [2]);
    assert!(schedule.remove(Id(2)).is_none());
    schedule.release(Id(2));
    assert_eq!(claim(&mut schedule, 1, 10), [2]);
    assert_eq!(schedule.held()[0].delivering, 1);
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u8, Option<u8>),
    Claim(u8),
    Done,
    Again(u16, bool),
    GiveUp,
    Release,
    Remove(u8),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u8, proptest::option::of(0..2_u8)).prop_map(|(t, k)| Step::Insert(t, k)),
        4 => (0..5_u8).prop_map(Step::Claim),
        3 => Just(Step::Done),
        2 => (0..300_u16, any::<bool>()).prop_map(|(wait, hold)| Step::Again(wait, hold)),
        1 => Just(Step::GiveUp),
        1 => Just(Step::Release),
        1 => (0..40_u8).prop_map(Step::Remove),
        2 => (0..200_u16).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever happens: no record is claimed twice at once, none before it is due, one of a key
    /// at a time and in order, and in the end each has left exactly once.
    #[test]
    fn every_record_is_claimed_in_its_order_and_leaves_once(steps in proptest::collection::vec(step(), 1..200)) {
        let mut schedule: Schedule<u64> = Schedule::default();
        let mut now = 1_u64;
        let mut known: BTreeMap<u64, (String, Option<String>, u64)> = Default::default();
        let mut claimed: Vec<u64> = Vec::new();
        let mut number = 0_u64;
        let mut left = 0_u64;
        for step in steps {
            match step {
                Step::Insert(target, key) => {
                    let target = format!("t{target}");
                    let key = key.map(|key| format!("k{key}"));
                    schedule.insert(Id(number), Entry {
                        target: &target, order: key.as_deref(), accepted: Millis(now), due: Millis(0),
                        bytes: 10, attempts: 0, parked: false, place: number,
                    });
                    known.insert(number, (target, key, 0));
                    number += 1;
                }
                Step::Claim(max) => {
                    for next in schedule.claim(Millis(now), usize::from(max)) {
                        let (target, key, due) = &known[&next.id.0];
                        prop_assert_eq!(next.place, next.id.0);
                        prop_assert!(*due <= now);
                        prop_assert!(!claimed.contains(&next.id.0));
                        if key.is_some() {
                            let before = known.iter().find(|(_, (t, k, _))| t == target && k == key);
                            prop_assert_eq!(*before.unwrap().0, next.id.0, "the oldest of its key");
                        }
                        claimed.push(next.id.0);
                    }
                }
                Step::Done => if let Some(id) = claimed.pop() {
                    prop_assert!(schedule.done(Id(id)).is_some());
                    known.remove(&id);
                    left += 1;
                },
                Step::Again(wait, hold) => if let Some(id) = claimed.pop() {
                    let at = now + u64::from(wait);
                    schedule.again(Id(id), true, Millis(at), hold.then_some(Millis(at)));
                    known.get_mut(&id).unwrap().2 = at;
                },
                Step::GiveUp => if let Some(id) = claimed.pop() {
                    prop_assert!(schedule.give_up(Id(id), false).is_some());
                    known.remove(&id);
                    left += 1;
                },
                Step::Release => if let Some(id) = claimed.pop() {
                    schedule.release(Id(id));
                },
                Step::Remove(id) => {
                    let id = u64::from(id);
                    let there = known.contains_key(&id) && !claimed.contains(&id);
                    prop_assert_eq!(schedule.remove(Id(id)).is_some(), there);
                    if there {
                        known.remove(&id);
                        left += 1;
                    }
                }
                Step::Wait(wait) => now += u64::from(wait),
            }
            prop_assert_eq!(schedule.len(), known.len());
            prop_assert_eq!(schedule.bytes(), known.len() as u64 * 10);
        }
        for id in claimed.drain(..) {
            schedule.done(Id(id));
            left += 1;
        }
        // Everything comes out once time goes on.
        for _ in 0..10_000 {
            if schedule.is_empty() {
                break;
            }
            now = schedule.next_due().map_or(now, |due| due.0.max(now));
            for next in schedule.claim(Millis(now), 100) {
                schedule.done(next.id).unwrap();
                left += 1;
            }
        }
        prop_assert!(schedule.is_empty());
        prop_assert_eq!(left, number);
        prop_assert_eq!(schedule.units(), 0);
    }
}
