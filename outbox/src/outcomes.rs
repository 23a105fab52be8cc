//! What became of events whose senders may ask: for an hour, and no more of them than fit.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::sync::oneshot;

/// How long an outcome is kept.
pub const KEPT_FOR: Duration = Duration::from_secs(3600);
/// How many outcomes are kept. Over it the oldest go.
pub const KEPT_MAX: usize = 16 << 10;
/// How much all answers that are kept may take, in bytes. Over it the oldest go.
pub const BYTES_MAX: usize = 32 << 20;
/// The largest answer that is kept, in bytes. Of a larger one the status is kept.
pub const ANSWER_MAX: usize = 1 << 20;

/// What became of an event.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was delivered, and the function has answered this.
    Delivered(Arc<Answer>),
    /// It was given up.
    Dead {
        /// Why.
        why: Arc<str>,
    },
}

/// A function's answer to an event that was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; none if it was too large to keep, or broke off.
    pub body: Option<Bytes>,
}

/// The outcomes of events that have a token.
#[derive(Debug, Default)]
pub struct Outcomes(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<Box<str>, Outcome>,
    /// By age.
    ages: VecDeque<(Instant, Box<str>)>,
    bytes: usize,
    waiting: HashMap<Box<str>, oneshot::Sender<Outcome>>,
}

impl Outcomes {
    /// Waits for the outcome of an event that is about to be stored. Whoever drops the receiver
    /// waits no more.
    pub fn expect(&self, token: &str) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.inner();
        // Those that have gone leave no trace.
        if inner.waiting.len() > KEPT_MAX {
            inner.waiting.retain(|_, waiting| !waiting.is_closed());
        }
        inner.waiting.insert(token.into(), sender);
        receiver
    }

    /// Nobody waits for this event any more.
    pub fn forget(&self, token: &str) {
        self.inner().waiting.remove(token);
    }

    /// Says what became of an event.
    pub fn tell(&self, token: &str, outcome: Outcome) {
        let mut inner = self.inner();
        if let Some(waiting) = inner.waiting.remove(token) {
            // Whoever waited may have gone; then the outcome can still be asked for.
            waiting.send(outcome.clone()).ok();
        }
        inner.keep(token, outcome, Instant::now());
    }

    /// What became of an event, if it is known and not long ago.
    #[must_use]
    pub fn ask(&self, token: &str) -> Option<Outcome> {
        let mut inner = self.inner();
        inner.sweep(Instant::now());
        inner.known.get(token).cloned()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outcome {
    fn bytes(&self) -> usize {
        match self {
            Self::Delivered(answer) => {
                let headers = answer.headers.iter();
                let headers: usize =
                    headers.map(|(name, value)| name.as_str().len() + value.len()).sum();
                headers + answer.body.as_ref().map_or(0, Bytes::len)
            }
            Self::Dead { why } => why.len(),
        }
    }
}

impl Inner {
    fn keep(&mut self, token: &str, outcome: Outcome, now: Instant) {
        self.bytes += outcome.bytes();
        if let Some(before) = self.known.insert(token.into(), outcome) {
            self.bytes -= before.bytes();
        }
        self.ages.push_back((now, token.into()));
        self.sweep(now);
    }

    fn sweep(&mut self, now: Instant) {
        while let Some((at, _)) = self.ages.front()
            && (now.duration_since(*at) > KEPT_FOR
                || self.ages.len() > KEPT_MAX
                || self.bytes > BYTES_MAX)
        {
            if let Some((_, token)) = self.ages.pop_front()
                && let Some(gone) = self.known.remove(&token)
            {
                self.bytes -= gone.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(body: usize) -> Outcome {
        let body = Some(Bytes::from(vec![0; body]));
        let answer = Answer { status: StatusCode::OK, headers: HeaderMap::new(), body };
        Outcome::Delivered(Arc::new(answer))
    }

    #[tokio::test]
    async fn who_waits_is_told_and_who_comes_later_may_ask() {
        let outcomes = Outcomes::default();
        let waits = outcomes.expect("a");
        outcomes.tell("a", delivered(3));
        assert!(matches!(waits.await.unwrap(), Outcome::Delivered(_)));
        assert!(matches!(outcomes.ask("a"), Some(Outcome::Delivered(_))));
        assert!(outcomes.ask("b").is_none());
    }

    #[test]
    fn outcomes_are_bounded_in_number_in_bytes_and_in_age() {
        let outcomes = Outcomes::default();
        for n in 0..=KEPT_MAX {
            outcomes.tell(&n.to_string(), delivered(0));
        }
        assert!(outcomes.ask("0").is_none() && outcomes.ask("1").is_some());
        for n in 0..=BYTES_MAX / ANSWER_MAX {
            outcomes.tell(&format!("large {n}"), delivered(ANSWER_MAX));
        }
        assert!(outcomes.ask("1").is_none() && outcomes.ask("large 0").is_none());
        assert!(outcomes.ask("large 1").is_some());
        let mut inner = outcomes.inner();
        inner.sweep(Instant::now() + KEPT_FOR + Duration::from_secs(1));
        assert!(inner.known.is_empty() && inner.ages.is_empty() && inner.bytes == 0);
    }
}
