//! A connection's sense of time: a slow beat that is counted, in place of a timer that is set anew
//! for each request.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// How far apart two beats are.
pub(super) const BEAT: Duration = Duration::from_secs(5);

/// Counts beats since something happened last. What it bounds ends after more than `n - 1` and at
/// most `n` beats' time.
#[derive(Debug)]
pub(super) struct Beat {
    timer: Pin<Box<Sleep>>,
    /// Whether the task is to be woken by the timer. A task's waker stays the same.
    told: bool,
    count: u32,
}

impl Beat {
    pub(super) fn new() -> Self {
        Self { timer: Box::pin(sleep(BEAT)), told: false, count: 0 }
    }

    /// Something happened.
    pub(super) fn restart(&mut self) {
        self.count = 0;
    }

    /// Whether so many beats have passed since then. Wakes the task with each beat.
    pub(super) fn passed(&mut self, beats: u32, cx: &mut Context<'_>) -> bool {
        while !self.told || self.timer.is_elapsed() {
            self.told = true;
            if let Poll::Ready(()) = self.timer.as_mut().poll(cx) {
                self.count += 1;
                self.told = false;
                self.timer.as_mut().reset(Instant::now() + BEAT);
            }
        }
        self.count >= beats
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn passed(beat: &mut Beat, beats: u32) {
        poll_fn(|cx| if beat.passed(beats, cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    #[tokio::test(start_paused = true)]
    async fn beats_are_counted_from_the_last_restart() {
        let mut beat = Beat::new();
        let start = Instant::now();
        passed(&mut beat, 2).await;
        assert_eq!(start.elapsed(), 2 * BEAT);
        sleep(BEAT / 2).await;
        beat.restart();
        let start = Instant::now();
        passed(&mut beat, 2).await;
        assert!(start.elapsed() > BEAT && start.elapsed() <= 2 * BEAT);
    }
}
