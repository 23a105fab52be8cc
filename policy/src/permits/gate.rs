//! A counting gate with a queue in front of it.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{AcqRel, Acquire},
        },
    },
    task::{Context, Poll, Waker},
};

use super::Full;

/// Lets so many in at once.
///
/// One word holds how many are in and how many wait. While nobody waits, it alone decides. The
/// number of those who wait changes only under the queue's lock, and while it is not 0 every place
/// is taken: whoever leaves gives the place to the first of the queue, and whoever comes joins its
/// end.
#[derive(Debug)]
pub(super) struct Gate {
    /// How many are in (low half), and how many wait (high half).
    word: AtomicU64,
    max: u32,
    queue: u32,
    line: Mutex<Line>,
}

/// Those who wait, in order.
#[derive(Debug, Default)]
struct Line {
    next: u64,
    /// Sorted by number, as each new one has the highest. Who is no longer here was let in.
    waiting: VecDeque<(u64, Waker)>,
}

const ONE_WAITS: u64 = 1 << 32;

fn parts(word: u64) -> (u32, u32) {
    let low = |word: u64| u32::try_from(word & 0xffff_ffff).unwrap_or(u32::MAX);
    (low(word), low(word >> 32))
}

impl Gate {
    pub(super) fn new(max: u32, queue: u32) -> Self {
        Self { word: AtomicU64::new(0), max, queue, line: Mutex::default() }
    }

    pub(super) fn max(&self) -> u32 {
        self.max
    }

    pub(super) fn queue(&self) -> u32 {
        self.queue
    }

    /// How many are in, and how many wait.
    pub(super) fn count(&self) -> (u32, u32) {
        parts(self.word.load(Acquire))
    }

    /// Goes in if there is a place and nobody waits for it.
    pub(super) fn try_enter(&self) -> bool {
        let one_more = |word| {
            let (inside, waiting) = parts(word);
            (inside < self.max && waiting == 0).then_some(word + 1)
        };
        self.word.fetch_update(AcqRel, Acquire, one_more).is_ok()
    }

    /// Goes in, and waits for a place if need be.
    pub(super) fn enter(&self) -> Enter<'_> {
        Enter { gate: self, number: None }
    }

    /// Leaves, and lets in whoever has waited longest.
    pub(super) fn leave(&self) {
        loop {
            let one_less = |word| (parts(word).1 == 0).then_some(word - 1);
            if self.word.fetch_update(AcqRel, Acquire, one_less).is_ok() {
                return;
            }
            let mut line = self.line();
            if let Some((_, first)) = line.waiting.pop_front() {
                // The place changes hands, so that as many are in as before.
                self.word.fetch_sub(ONE_WAITS, AcqRel);
                drop(line);
                first.wake();
                return;
            }
            // Whoever waited has given up meanwhile.
        }
    }

    /// Joins the queue, or goes in after all.
    fn join(&self, waker: &Waker) -> Joined {
        let mut line = self.line();
        let next = |word| {
            let (inside, waiting) = parts(word);
            if waiting == 0 && inside < self.max {
                Some(word + 1)
            } else if waiting < self.queue {
                Some(word + ONE_WAITS)
            } else {
                None
            }
        };
        match self.word.fetch_update(AcqRel, Acquire, next) {
            Err(_) => Joined::Full,
            Ok(before) if next(before) == Some(before + 1) => Joined::In,
            Ok(_) => {
                let number = line.next;
                line.next += 1;
                line.waiting.push_back((number, waker.clone()));
                Joined::Queued(number)
            }
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Joined {
    In,
    Queued(u64),
    Full,
}

/// Waits for a place.
pub(super) struct Enter<'g> {
    gate: &'g Gate,
    /// Its number in the queue, once it stands there and until it was let in.
    number: Option<u64>,
}

impl Future for Enter<'_> {
    type Output = Result<(), Full>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(number) = self.number else {
            return match self.gate.join(cx.waker()) {
                Joined::In => Poll::Ready(Ok(())),
                Joined::Full => Poll::Ready(Err(Full)),
                Joined::Queued(number) => {
                    self.number = Some(number);
                    Poll::Pending
                }
            };
        };
        let mut line = self.gate.line();
        match line.waiting.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(at) => {
                line.waiting[at].1.clone_from(cx.waker());
                Poll::Pending
            }
            Err(_) => {
                drop(line);
                self.number = None;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl Drop for Enter<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut line = self.gate.line();
        match line.waiting.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(at) => {
                line.waiting.remove(at);
                self.gate.word.fetch_sub(ONE_WAITS, AcqRel);
            }
            // It was let in and has not noticed: the place is the next one's.
            Err(_) => {
                drop(line);
                self.gate.leave();
            }
        }
    }
}
