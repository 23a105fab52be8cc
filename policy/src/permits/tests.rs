use std::{
    collections::VecDeque,
    pin::Pin,
    sync::atomic::AtomicU32,
    task::{Context, Poll, Waker},
};

use proptest::prelude::*;

use super::*;

fn permits(max: u32, queue: u32) -> Arc<Permits> {
    Permits::new(&Settings { max, queue })
}

type Wait = Pin<Box<dyn Future<Output = Result<Permit, Full>>>>;

fn wait(permits: &Arc<Permits>, share: Share) -> Wait {
    let permits = Arc::clone(permits);
    Box::pin(async move { permits.take(share).await })
}

fn poll(wait: &mut Wait) -> Poll<Result<Permit, Full>> {
    wait.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn there_are_so_many_and_no_more() {
    let permits = permits(2, 0);
    let one = permits.try_take(Share::Callers).unwrap();
    let _two = permits.try_take(Share::Callers).unwrap();
    assert!(permits.try_take(Share::Callers).is_none());
    assert!(matches!(poll(&mut wait(&permits, Share::Callers)), Poll::Ready(Err(Full))));
    drop(one);
    assert_eq!((permits.view().in_use, permits.view().refused), (1, 1));
    assert!(permits.try_take(Share::Callers).is_some());
}

#[test]
fn whoever_waits_is_served_in_order_and_before_whoever_comes() {
    let permits = permits(1, 2);
    let held = permits.try_take(Share::Callers).unwrap();
    let (mut first, mut second) = (wait(&permits, Share::Callers), wait(&permits, Share::Callers));
    assert!(poll(&mut first).is_pending());
    assert!(poll(&mut second).is_pending());
    let mut third = wait(&permits, Share::Callers);
    assert!(matches!(poll(&mut third), Poll::Ready(Err(Full))));
    drop(held);
    assert!(permits.try_take(Share::Callers).is_none(), "it is the first one's");
    assert!(poll(&mut second).is_pending());
    let Poll::Ready(Ok(permit)) = poll(&mut first) else { panic!("the first was not let in") };
    drop(permit);
    assert!(matches!(poll(&mut second), Poll::Ready(Ok(_))));
    assert_eq!((permits.view().in_use, permits.view().waiting), (0, 0));
}

#[test]
fn whoever_leaves_the_queue_loses_nothing_for_the_others() {
    let permits = permits(1, 3);
    let held = permits.try_take(Share::Callers).unwrap();
    let mut waiting: Vec<Wait> = (0..3).map(|_| wait(&permits, Share::Callers)).collect();
    for one in &mut waiting {
        assert!(poll(one).is_pending());
    }
    drop(waiting.remove(1));
    assert_eq!(permits.view().waiting, 2);
    drop(held);
    // The first has been let in and leaves without having noticed.
    drop(waiting.remove(0));
    assert!(matches!(poll(&mut waiting[0]), Poll::Ready(Ok(_))));
    assert_eq!(permits.view().in_use, 0);
}

#[test]
fn jobs_never_hold_more_than_their_share() {
    let permits = permits(8, 100);
    let mut jobs: Vec<Wait> = (0..50).map(|_| wait(&permits, Share::Jobs)).collect();
    let held: Vec<_> = jobs.iter_mut().map(poll).filter(Poll::is_ready).collect();
    assert_eq!(held.len(), 2);
    assert_eq!((permits.view().jobs_max, permits.view().jobs), (2, 50));
    let callers: Vec<_> = (0..6).map(|_| permits.try_take(Share::Callers).unwrap()).collect();
    assert!(permits.try_take(Share::Callers).is_none());
    drop((callers, held));
    let let_in = jobs.iter_mut().skip(2).map(poll).filter(Poll::is_ready).count();
    assert!(let_in >= 2, "{let_in}");
}

#[test]
fn a_job_that_gives_up_gives_both_places_back() {
    let permits = permits(1, 5);
    let held = permits.try_take(Share::Callers).unwrap();
    let mut job = wait(&permits, Share::Jobs);
    assert!(poll(&mut job).is_pending());
    assert!(permits.try_take(Share::Jobs).is_none());
    drop(job);
    drop(held);
    assert_eq!((permits.view().in_use, permits.view().jobs, permits.view().waiting), (0, 0, 0));
    assert!(permits.try_take(Share::Jobs).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn over_many_threads_no_more_than_the_most_are_under_way_and_all_come_through() {
    let permits = permits(3, 1_000);
    let (inside, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut tasks = Vec::new();
    for number in 0..400_u32 {
        let (permits, inside, most) = (permits.clone(), inside.clone(), most.clone());
        tasks.push(tokio::spawn(async move {
            let share = if number.is_multiple_of(5) { Share::Jobs } else { Share::Callers };
            for _ in 0..20 {
                let permit = match permits.try_take(share) {
                    Some(permit) => permit,
                    None => permits.take(share).await.unwrap(),
                };
                most.fetch_max(inside.fetch_add(1, Relaxed) + 1, Relaxed);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Relaxed);
                drop(permit);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!(most.load(Relaxed) <= 3, "{most:?}");
    let view = permits.view();
    assert_eq!((view.in_use, view.waiting, view.jobs, view.refused), (0, 0, 0, 0));
}

#[derive(Clone, Debug)]
enum Step {
    /// Somebody comes, and waits if need be.
    Come,
    /// Somebody who holds a permit gives it back.
    Give(prop::sample::Index),
    /// Somebody who waits gives up.
    Leave(prop::sample::Index),
    /// Somebody who waits looks.
    Look(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Come),
        2 => any::<prop::sample::Index>().prop_map(Step::Give),
        1 => any::<prop::sample::Index>().prop_map(Step::Leave),
        2 => any::<prop::sample::Index>().prop_map(Step::Look),
    ]
}

proptest! {
    /// The model: a number of places and a list of those who wait. Whoever was let in holds a
    /// place from then on, whether or not it has looked.
    #[test]
    fn permits_do_what_their_model_does(
        max in 1_u32..5, queue in 0_u32..5, steps in prop::collection::vec(step(), 1..200),
    ) {
        let permits = permits(max, queue);
        let mut next = 0_u32;
        let mut held: Vec<Permit> = Vec::new();
        let mut waiting: Vec<(u32, Wait)> = Vec::new();
        // In the model's eyes: who waits, and who was let in without having looked.
        let mut line: VecDeque<u32> = VecDeque::new();
        let mut let_in: Vec<u32> = Vec::new();
        for step in steps {
            match step {
                Step::Come => {
                    let mut wait = wait(&permits, Share::Callers);
                    let free = held.len() + let_in.len() < max as usize && line.is_empty();
                    match poll(&mut wait) {
                        Poll::Ready(Ok(permit)) => {
                            prop_assert!(free);
                            held.push(permit);
                        }
                        Poll::Ready(Err(Full)) => {
                            prop_assert!(!free && line.len() == queue as usize);
                        }
                        Poll::Pending => {
                            prop_assert!(!free && line.len() < queue as usize);
                            line.push_back(next);
                            waiting.push((next, wait));
                            next += 1;
                        }
                    }
                }
                Step::Give(at) if !held.is_empty() => {
                    drop(held.swap_remove(at.index(held.len())));
                    let_in.extend(line.pop_front());
                }
                Step::Leave(at) if !waiting.is_empty() => {
                    let (number, wait) = waiting.swap_remove(at.index(waiting.len()));
                    drop(wait);
                    if let_in.contains(&number) {
                        let_in.retain(|one| *one != number);
                        let_in.extend(line.pop_front());
                    } else {
                        line.retain(|one| *one != number);
                    }
                }
                Step::Look(at) if !waiting.is_empty() => {
                    let at = at.index(waiting.len());
                    let number = waiting[at].0;
                    match poll(&mut waiting[at].1) {
                        Poll::Ready(Ok(permit)) => {
                            prop_assert!(let_in.contains(&number));
                            let_in.retain(|one| *one != number);
                            drop(waiting.swap_remove(at));
                            held.push(permit);
                        }
                        Poll::Ready(Err(Full)) => prop_assert!(false, "it was in the queue"),
                        Poll::Pending => prop_assert!(line.contains(&number)),
                    }
                }
                Step::Give(_) | Step::Leave(_) | Step::Look(_) => {}
            }
            let view = permits.view();
            prop_assert_eq!(view.in_use as usize, held.len() + let_in.len());
            prop_assert_eq!(view.waiting as usize, line.len());
            prop_assert!(view.in_use <= max && view.waiting <= queue);
        }
    }
}
