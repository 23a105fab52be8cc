//! Tokens that expire: kept until shortly before, minted by one call while all others wait for it,
//! and minted anew, once, where one is refused.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use futures_util::future::LocalBoxFuture;
use http::HeaderValue;
use schemas::Fault;
use tokio::sync::Mutex;

use super::within;

/// How long before its end a token is no longer used.
const MARGIN: Duration = Duration::from_mins(1);
/// How soon a token that has never worked may be followed by another.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long minting may take.
const MINTED_WITHIN: Duration = Duration::from_secs(10);

/// Where tokens come from.
pub(crate) trait Mint {
    /// Asks for a token.
    fn mint(&self, deadline: Instant) -> LocalBoxFuture<'_, Result<Minted, Fault>>;
}

/// A token.
#[derive(Clone, Debug)]
pub(crate) struct Minted {
    /// The value of the field that it goes in.
    pub(crate) value: HeaderValue,
    /// How long it is good for.
    pub(crate) good_for: Duration,
}

/// One core's token for one purpose.
pub(crate) struct Tokens {
    mint: Box<dyn Mint>,
    known: RefCell<Option<Known>>,
    /// Whether the token that is known was ever taken.
    worked: Cell<bool>,
    /// One mints, and all the others wait for what it gets.
    minting: Mutex<()>,
}

struct Known {
    value: HeaderValue,
    minted: Instant,
    /// When it is to be followed by another.
    stale: Instant,
    /// When it is good for nothing.
    ends: Instant,
}

impl Tokens {
    /// Mints nothing yet.
    pub(crate) fn new(mint: impl Mint + 'static) -> Self {
        Self {
            mint: Box::new(mint),
            known: RefCell::default(),
            worked: Cell::default(),
            minting: Mutex::default(),
        }
    }

    /// A token that is good.
    pub(crate) async fn value(&self, deadline: Instant) -> Result<HeaderValue, Fault> {
        if let Some(value) = self.good_until(|known| known.stale) {
            return Ok(value);
        }
        let _minting = self.minting.lock().await;
        if let Some(value) = self.good_until(|known| known.stale) {
            return Ok(value);
        }
        match self.mint(deadline).await {
            Ok(value) => Ok(value),
            Err(fault) => {
                // The old one is good for a moment yet, in which not every call has to try.
                if let Some(known) = &mut *self.known.borrow_mut() {
                    known.stale = known.ends.min(Instant::now() + AGAIN_AFTER);
                }
                self.good_until(|known| known.ends).ok_or(fault)
            }
        }
    }

    /// A call was not refused.
    pub(crate) fn worked(&self) {
        self.worked.set(true);
    }

    /// Another token than the one that was refused, if there is one.
    pub(crate) async fn newer(
        &self,
        refused: &HeaderValue,
        deadline: Instant,
    ) -> Option<HeaderValue> {
        let _minting = self.minting.lock().await;
        if let Some(known) = &*self.known.borrow() {
            if known.value != refused {
                return Some(known.value.clone());
            }
            // Another would fare no better, and each call would ask for one.
            if !self.worked.get() && known.minted.elapsed() < AGAIN_AFTER {
                return None;
            }
        }
        self.mint(deadline).await.ok().filter(|value| value != refused)
    }

    fn good_until(&self, end: impl Fn(&Known) -> Instant) -> Option<HeaderValue> {
        let known = self.known.borrow();
        let known = known.as_ref().filter(|known| Instant::now() < end(known))?;
        Some(known.value.clone())
    }

    async fn mint(&self, deadline: Instant) -> Result<HeaderValue, Fault> {
        let Minted { mut value, good_for } =
            self.mint.mint(within(MINTED_WITHIN, deadline)).await?;
        value.set_sensitive(true);
        let minted = Instant::now();
        let margin = MARGIN.min(good_for / 2);
        let known = Known {
            value: value.clone(),
            minted,
            stale: minted + (good_for - margin),
            ends: minted + good_for,
        };
        self.known.replace(Some(known));
        self.worked.set(false);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use schemas::Class;

    use super::*;

    /// Mints `1`, `2`, … each good for so long, or nothing.
    #[derive(Clone)]
    struct Counter(Rc<Cell<(u32, Duration, bool)>>);

    impl Mint for Counter {
        fn mint(&self, _: Instant) -> LocalBoxFuture<'_, Result<Minted, Fault>> {
            Box::pin(async {
                // Whoever else wants one finds this one at work.
                tokio::task::yield_now().await;
                let (count, good_for, works) = self.0.get();
                self.0.set((count + 1, good_for, works));
                match works {
                    true => Ok(Minted { value: HeaderValue::from(count + 1), good_for }),
                    false => Err(Fault::new(Class::Unavailable, "closed")),
                }
            })
        }
    }

    fn tokens(good_for: Duration) -> (Counter, Tokens) {
        let counter = Counter(Rc::new(Cell::new((0, good_for, true))));
        (counter.clone(), Tokens::new(counter))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test]
    async fn one_mints_for_all_and_what_is_good_is_kept() {
        let (counter, tokens) = tokens(Duration::from_hours(1));
        let calls = (0..10).map(|_| tokens.value(soon()));
        for value in futures_util::future::join_all(calls).await {
            assert_eq!(value.unwrap(), "1");
        }
        assert_eq!(counter.0.get().0, 1);
        assert!(tokens.value(soon()).await.unwrap().is_sensitive());
    }

    #[tokio::test]
    async fn what_has_ended_is_minted_anew_and_what_ends_soon_is_used_while_there_is_no_other() {
        let (counter, tokens) = tokens(Duration::from_millis(200));
        assert_eq!(tokens.value(soon()).await.unwrap(), "1");
        tokio::time::sleep(Duration::from_millis(110)).await;
        counter.0.set((1, Duration::from_millis(200), false));
        assert_eq!(tokens.value(soon()).await.unwrap(), "1", "it is good for a moment yet");
        tokio::time::sleep(Duration::from_millis(110)).await;
        assert!(tokens.value(soon()).await.is_err());
        counter.0.set((7, Duration::from_millis(200), true));
        assert_eq!(tokens.value(soon()).await.unwrap(), "8");
    }

    #[tokio::test]
    async fn a_refused_token_is_followed_by_another_once() {
        let (counter, tokens) = tokens(Duration::from_hours(1));
        let first = tokens.value(soon()).await.unwrap();
        assert_eq!(tokens.newer(&first, soon()).await, None, "it has never worked");
        tokens.worked();
        let calls = (0..10).map(|_| tokens.newer(&first, soon()));
        for value in futures_util::future::join_all(calls).await {
            assert_eq!(value.unwrap(), "2");
        }
        assert_eq!(counter.0.get().0, 2);
    }
}
