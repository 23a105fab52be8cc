//! Answers for many callers at once.
//!
//! To wake a task of another thread costs a system call, and to wake one of the own thread next to
//! nothing. So of the callers of one thread only the first is woken by the writer, and wakes the
//! others. One that is never looked at again would leave the others asleep: the writer keeps such
//! rounds, and ends them itself a little later.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread::{self, ThreadId},
};

/// Who answers.
#[derive(Debug)]
pub(super) struct Reply<T>(Arc<Slot<T>>);

/// Who waits for an answer; none comes if the other side is gone.
#[derive(Debug)]
pub(super) struct Answer<T>(Arc<Slot<T>>);

/// Those who wait for one who was woken.
#[derive(Debug)]
pub(super) struct Round<T>(Arc<Slot<T>>);

#[derive(Debug)]
struct Slot<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    answer: Option<T>,
    /// Nobody will answer any more.
    over: bool,
    /// Nobody waits any more.
    gone: bool,
    waiter: Option<(ThreadId, Waker)>,
    /// Whom this one wakes.
    others: Vec<Waker>,
}

/// A place for an answer.
pub(super) fn answer<T>() -> (Reply<T>, Answer<T>) {
    let (answer, waiter) = (None, None);
    let state = State { answer, over: false, gone: false, waiter, others: Vec::new() };
    let slot = Arc::new(Slot(Mutex::new(state)));
    (Reply(Arc::clone(&slot)), Answer(slot))
}

/// Answers all of these. Returns the rounds that have not ended yet.
pub(super) fn send_all<T>(answers: Vec<(Reply<T>, T)>) -> Vec<Round<T>> {
    let mut by_thread: HashMap<ThreadId, (Arc<Slot<T>>, Vec<Waker>)> = HashMap::new();
    for (reply, answer) in answers {
        let Some((thread, waker)) = reply.0.put(answer) else { continue };
        let round = by_thread.entry(thread).or_insert_with(|| (Arc::clone(&reply.0), Vec::new()));
        round.1.push(waker);
    }
    let mut rounds = Vec::with_capacity(by_thread.len());
    for (slot, mut wakers) in by_thread.into_values() {
        let first = wakers.swap_remove(0);
        let mut state = slot.state();
        if state.gone {
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
            continue;
        }
        let alone = wakers.is_empty();
        state.others = wakers;
        drop(state);
        first.wake();
        if !alone {
            rounds.push(Round(slot));
        }
    }
    rounds
}

impl<T> Slot<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays an answer down. Returns who is to be woken.
    fn put(&self, answer: T) -> Option<(ThreadId, Waker)> {
        let mut state = self.state();
        state.answer = Some(answer);
        state.waiter.take()
    }

    fn wake_others(&self) {
        let others = std::mem::take(&mut self.state().others);
        others.into_iter().for_each(Waker::wake);
    }
}

impl<T> Reply<T> {
    /// Answers this one alone.
    pub(super) fn send(self, answer: T) {
        if let Some((_, waker)) = self.0.put(answer) {
            waker.wake();
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.over = true;
        let waiter = if state.answer.is_none() { state.waiter.take() } else { None };
        drop(state);
        if let Some((_, waker)) = waiter {
            waker.wake();
        }
    }
}

impl<T> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.state();
        let answer = state.answer.take();
        if answer.is_none() && !state.over {
            state.waiter = Some((thread::current().id(), context.waker().clone()));
            return Poll::Pending;
        }
        drop(state);
        self.0.wake_others();
        Poll::Ready(answer)
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.0.state().gone = true;
        self.0.wake_others();
    }
}

impl<T> Round<T> {
    /// Whether nobody sleeps any more.
    pub(super) fn is_over(&self) -> bool {
        self.0.state().others.is_empty()
    }
}

impl<T> Drop for Round<T> {
    /// Whoever still sleeps is woken.
    fn drop(&mut self) {
        self.0.wake_others();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Bell {
        fn rung(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    struct Caller {
        bell: Arc<Bell>,
        answer: Answer<u8>,
    }

    impl Caller {
        fn poll(&mut self) -> Poll<Option<u8>> {
            let waker = Waker::from(Arc::clone(&self.bell));
            Pin::new(&mut self.answer).poll(&mut Context::from_waker(&waker))
        }
    }

    /// Three that wait, and their replies.
    fn three() -> (Vec<Caller>, Vec<(Reply<u8>, u8)>) {
        let each = (0..3).map(|number| {
            let (reply, answer) = answer();
            let mut caller = Caller { bell: Arc::default(), answer };
            assert!(caller.poll().is_pending());
            (caller, (reply, number))
        });
        each.unzip()
    }

    fn rung(callers: &[Caller]) -> Vec<usize> {
        callers.iter().map(|caller| caller.bell.rung()).collect()
    }

    #[test]
    fn the_first_of_a_thread_is_woken_and_wakes_the_others() {
        let (mut callers, replies) = three();
        let rounds = send_all(replies);
        assert_eq!(rung(&callers), [1, 0, 0]);
        assert_eq!(callers[0].poll(), Poll::Ready(Some(0)));
        assert_eq!(rung(&callers), [1, 1, 1]);
        drop(rounds);
        assert_eq!(rung(&callers), [1, 1, 1]);
        assert_eq!(callers[2].poll(), Poll::Ready(Some(2)));
    }

    #[test]
    fn one_that_goes_instead_of_looking_wakes_the_others_too() {
        let (mut callers, replies) = three();
        let rounds = send_all(replies);
        drop(callers.remove(0));
        assert_eq!(rung(&callers), [1, 1]);
        drop(rounds);
    }

    #[test]
    fn one_that_had_gone_before_is_not_relied_on() {
        let (mut callers, replies) = three();
        drop(callers.remove(0));
        drop(send_all(replies));
        assert_eq!(rung(&callers), [1, 1]);
    }

    #[test]
    fn one_that_is_never_looked_at_again_leaves_nobody_asleep() {
        let (callers, replies) = three();
        drop(send_all(replies));
        assert_eq!(rung(&callers), [1, 1, 1]);
    }

    #[test]
    fn without_an_answer_it_is_said_that_none_comes() {
        let (mut callers, replies) = three();
        drop(replies);
        assert_eq!(rung(&callers), [1, 1, 1]);
        assert_eq!(callers[0].poll(), Poll::Ready(None));
    }

    #[test]
    fn callers_of_two_threads_are_woken_each_by_its_own() {
        let (mine, mut replies) = three();
        let (theirs, others) = thread::spawn(three).join().unwrap();
        replies.extend(others);
        let rounds = send_all(replies);
        assert_eq!((rung(&mine), rung(&theirs)), (vec![1, 0, 0], vec![1, 0, 0]));
        drop(rounds);
    }
}
