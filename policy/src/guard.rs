//! A body that may neither stand still nor creep nor grow without end.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http1::hop;
use schemas::{Body, BodyError};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a caller may be waited for in all, however little comes.
const GRACE: Duration = Duration::from_secs(8);
/// What buys a second more.
const BYTES_PER_SECOND: u64 = 1024;

/// Ends a body with [`BodyError::Idle`] when no byte has come for `idle`, and with
/// [`BodyError::TooLarge`] at the first byte past `bytes_max`. Time counts only while the reader
/// waits: a slow reader is not the sender's fault. Trailers that belong at the head are dropped.
#[must_use]
pub fn guard_body(body: Body, idle: Duration, bytes_max: Option<u64>) -> Body {
    guard(body, idle, bytes_max, None)
}

/// Guards the body of a request as [`guard_body`] does, and ends it with [`BodyError::Slow`] where
/// it creeps, until the answer has begun: a byte now and then would else hold a request for ever.
/// Both sides may take their time once they talk to each other.
#[must_use]
pub fn guard_request(body: Body, idle: Duration, bytes_max: u64, pace: &Pace) -> Body {
    guard(body, idle, Some(bytes_max), Some(pace.clone()))
}

fn guard(body: Body, idle: Duration, bytes_max: Option<u64>, pace: Option<Pace>) -> Body {
    // What is whole does not stand still, and its size is known.
    let fits = |size: usize| bytes_max.is_none_or(|max| size as u64 <= max);
    if body.whole().is_some_and(|whole| fits(whole.len())) {
        return body;
    }
    Body::boxed(Guarded { bytes_max, pace, ..Guarded::new(body, idle) })
}

/// Whether the answer to a request has begun.
#[derive(Clone, Debug, Default)]
pub struct Pace(Arc<AtomicBool>);

impl Pace {
    /// Says that it has.
    pub fn answered(&self) {
        self.0.store(true, Relaxed);
    }
}

/// A body that may not stand still. What holds it inline needs no box for it.
#[derive(Debug)]
pub struct Guarded {
    body: Body,
    idle: Duration,
    /// How many have passed.
    bytes: u64,
    bytes_max: Option<u64>,
    /// Where the body must not creep.
    pace: Option<Pace>,
    /// How long it was waited for in all; counted where it must not creep.
    waited: Duration,
    /// Since when it is waited for. The timer is set when the body is first found waiting and left
    /// alone when a byte comes, so that a body in full flow never touches it.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    /// Ends the body with [`BodyError::Idle`] when no byte has come for `idle`.
    #[must_use]
    pub fn new(body: Body, idle: Duration) -> Self {
        Self {
            body,
            idle,
            bytes: 0,
            bytes_max: None,
            pace: None,
            waited: Duration::ZERO,
            since: None,
            timer: None,
        }
    }

    /// Ends the body: whoever asks again finds it ended.
    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.body = Body::empty();
        Poll::Ready(Some(Err(error)))
    }

    /// How long it may be waited for from now on before it creeps.
    fn patience(&self) -> Option<Duration> {
        let creeps = self.pace.as_ref().is_some_and(|pace| !pace.0.load(Relaxed));
        let bought = Duration::from_secs(self.bytes / BYTES_PER_SECOND);
        creeps.then(|| (GRACE + bought).saturating_sub(self.waited))
    }

    /// Ready when it has stood still or crept for too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let mut set = self.since.is_none();
        let since = *self.since.get_or_insert_with(Instant::now);
        loop {
            let patience = self.patience().filter(|patience| *patience < self.idle);
            let late = since + patience.unwrap_or(self.idle);
            let timer = self.timer.get_or_insert_with(|| {
                set = false;
                Box::pin(sleep_until(late))
            });
            if set {
                timer.as_mut().reset(late);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // What it was set for may have changed: the answer has begun meanwhile.
            if timer.deadline() < late {
                set = true;
                continue;
            }
            return Poll::Ready(match patience {
                Some(_) => BodyError::Slow { bytes_per_second: BYTES_PER_SECOND },
                None => BodyError::Idle {
                    millis: u64::try_from(self.idle.as_millis()).unwrap_or(u64::MAX),
                },
            });
        }
    }
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Poll::Ready(mut polled) = Pin::new(&mut this.body).poll_frame(cx) else {
            return match this.poll_late(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(error) => this.fail(error),
            };
        };
        if let Some(since) = this.since.take()
            && this.pace.is_some()
        {
            this.waited += since.elapsed();
        }
        if let Some(Ok(frame)) = &mut polled {
            this.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            if let Some(max) = this.bytes_max
                && this.bytes > max
            {
                let limit = usize::try_from(max).unwrap_or(usize::MAX);
                return this.fail(BodyError::TooLarge { limit });
            }
            if let Some(trailers) = frame.trailers_mut()
                && let Err(error) = hop::filter_trailers(trailers)
            {
                return this.fail(BodyError::Broken(error.into()));
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{sync::mpsc, time::sleep};

    use super::*;

    /// A body that is fed by hand.
    struct Fed(mpsc::Receiver<Bytes>);

    impl http_body::Body for Fed {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            self.0.poll_recv(cx).map(|data| data.map(|data| Ok(Frame::data(data))))
        }
    }

    const IDLE: Duration = Duration::from_secs(60);

    fn fed(bytes_max: Option<u64>) -> (mpsc::Sender<Bytes>, Body) {
        let (feed, body) = mpsc::channel(16);
        (feed, guard_body(Body::boxed(Fed(body)), IDLE, bytes_max))
    }

    async fn next(body: &mut Body) -> Option<Result<Bytes, BodyError>> {
        let frame = poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut *body), cx)).await?;
        Some(frame.map(|frame| frame.into_data().unwrap()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_ends_and_one_that_moves_does_not() {
        let (feed, mut body) = fed(None);
        let feeding = tokio::spawn(async move {
            for _ in 0..5 {
                sleep(IDLE - Duration::from_secs(1)).await;
                feed.send(Bytes::from_static(b"x")).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        for _ in 0..5 {
            assert_eq!(next(&mut body).await.unwrap().unwrap(), "x");
        }
        let since = Instant::now();
        assert!(matches!(next(&mut body).await, Some(Err(BodyError::Idle { millis: 60_000 }))));
        assert!(since.elapsed() >= IDLE && since.elapsed() < IDLE + Duration::from_secs(1));
        assert!(next(&mut body).await.is_none());
        feeding.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_not_the_senders_fault() {
        let (feed, mut body) = fed(None);
        feed.send(Bytes::from_static(b"a")).await.unwrap();
        feed.send(Bytes::from_static(b"b")).await.unwrap();
        assert_eq!(next(&mut body).await.unwrap().unwrap(), "a");
        sleep(IDLE * 3).await;
        assert_eq!(next(&mut body).await.unwrap().unwrap(), "b");
    }

    #[tokio::test(start_paused = true)]
    async fn the_byte_past_the_limit_ends_the_body() {
        let (feed, mut body) = fed(Some(3));
        feed.send(Bytes::from_static(b"abc")).await.unwrap();
        assert_eq!(next(&mut body).await.unwrap().unwrap(), "abc");
        feed.send(Bytes::from_static(b"d")).await.unwrap();
        assert!(matches!(next(&mut body).await, Some(Err(BodyError::TooLarge { limit: 3 }))));
        assert!(next(&mut body).await.is_none());
    }

    #[tokio::test]
    async fn what_is_whole_passes_as_it_is_unless_it_is_too_large() {
        let whole = || Body::from(Bytes::from_static(b"abc"));
        assert_eq!(guard_body(whole(), IDLE, Some(3)).whole().unwrap(), "abc");
        let mut body = guard_body(whole(), IDLE, Some(2));
        assert!(matches!(next(&mut body).await, Some(Err(BodyError::TooLarge { limit: 2 }))));
    }

    /// Feeds a guarded request so many bytes every `every`, and returns what ended it and when.
    async fn creep(bytes: usize, every: Duration, answered_after: Option<Duration>) -> Ended {
        let (feed, fed) = mpsc::channel(1);
        let pace = Pace::default();
        let mut body = guard_request(Body::boxed(Fed(fed)), IDLE, u64::MAX, &pace);
        let began = Instant::now();
        let feeding = tokio::spawn(async move {
            while began.elapsed() < IDLE * 5 {
                sleep(every).await;
                if answered_after.is_some_and(|after| began.elapsed() > after) {
                    pace.answered();
                }
                if feed.send(Bytes::from(vec![b'x'; bytes])).await.is_err() {
                    break;
                }
            }
        });
        let error = loop {
            match next(&mut body).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        let ended = (error, began.elapsed());
        feeding.abort();
        ended
    }

    type Ended = (Option<BodyError>, Duration);

    #[tokio::test(start_paused = true)]
    async fn a_request_that_creeps_ends_soon_and_one_that_is_merely_slow_does_not() {
        for every in [Duration::from_millis(100), Duration::from_secs(1), GRACE * 7] {
            let (error, after) = creep(1, every, None).await;
            assert!(matches!(error, Some(BodyError::Slow { bytes_per_second: 1024 })), "{error:?}");
            assert!(after >= GRACE && after < GRACE + Duration::from_secs(1), "{after:?}");
        }
        let (error, after) = creep(2048, Duration::from_secs(1), None).await;
        assert!(error.is_none() && after >= IDLE * 5, "{error:?} after {after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_may_take_its_time_once_the_answer_has_begun() {
        let answered = Some(Duration::from_millis(500));
        let (error, after) = creep(1, Duration::from_secs(1), answered).await;
        assert!(error.is_none() && after >= IDLE * 5, "{error:?} after {after:?}");
        let (error, after) = creep(1, IDLE * 2, None).await;
        assert!(matches!(error, Some(BodyError::Slow { .. })) && after < IDLE, "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_begins_while_the_body_is_waited_for_leaves_it_the_idle_time() {
        let (feed, fed) = mpsc::channel::<Bytes>(1);
        let pace = Pace::default();
        let mut body = guard_request(Body::boxed(Fed(fed)), IDLE, u64::MAX, &pace);
        let began = Instant::now();
        let answering = tokio::spawn(async move {
            sleep(GRACE / 2).await;
            pace.answered();
        });
        assert!(matches!(next(&mut body).await, Some(Err(BodyError::Idle { .. }))));
        assert!(began.elapsed() >= IDLE, "{:?}", began.elapsed());
        answering.await.unwrap();
        drop(feed);
    }
}
