//! A timer that is used again by the next call. Nearly every call needs one and nearly none sees it
//! ring; to make one anew for each, widely aligned as timers are, costs more than to set it.

use std::{
    cell::RefCell,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    runtime::{Handle, Id},
    time::{Instant, Sleep, sleep_until},
};

/// Timers that a thread keeps for its next calls.
const SPARE: usize = 256;

thread_local! {
    static SPARES: RefCell<Vec<(Id, Pin<Box<Sleep>>)>> = const { RefCell::new(Vec::new()) };
}

/// A timer that rings once it has been set.
#[derive(Debug, Default)]
pub(crate) struct Timer(Option<(Id, Pin<Box<Sleep>>)>);

impl Timer {
    /// Sets it to ring at `ends`.
    pub(crate) fn set(&mut self, ends: Instant) {
        if self.0.is_none() {
            // A timer belongs to one runtime, and a thread may see several in its life.
            let here = Handle::current().id();
            let spare = SPARES.with_borrow_mut(Vec::pop).filter(|(home, _)| *home == here);
            self.0 = Some(spare.unwrap_or_else(|| (here, Box::pin(sleep_until(ends)))));
        }
        if let Some((_, sleep)) = &mut self.0 {
            sleep.as_mut().reset(ends);
        }
    }

    /// Ready once it rings; a timer that is not set never does.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some((_, sleep)) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let Some(spare) = self.0.take() else { return };
        // At the end of a thread there is nobody to keep it for. Until it is set again it may ring
        // once for the call that had it, which is done and does not hear it.
        SPARES
            .try_with(|spares| {
                if let Ok(mut spares) = spares.try_borrow_mut()
                    && spares.len() < SPARE
                {
                    spares.push(spare);
                }
            })
            .ok();
    }
}
