//! A body that may neither stand still nor grow without end.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use schemas::{Body, BodyError};
use tokio::time::{Instant, Sleep, sleep};

/// Ends a body with [`BodyError::Idle`] when no byte has come for `idle`, and with
/// [`BodyError::TooLarge`] at the first byte past `bytes_max`. Time counts only while the reader
/// waits: a slow reader is not the sender's fault.
#[must_use]
pub fn guard_body(body: Body, idle: Duration, bytes_max: Option<u64>) -> Body {
    // What is whole does not stand still, and its size is known.
    let fits = |size: usize| bytes_max.is_none_or(|max| size as u64 <= max);
    if body.whole().is_some_and(|whole| fits(whole.len())) {
        return body;
    }
    Body::boxed(Guarded { bytes_max, ..Guarded::new(body, idle) })
}

/// A body that may not stand still. What holds it inline needs no box for it.
#[derive(Debug)]
pub struct Guarded {
    body: Body,
    idle: Duration,
    /// How many have passed.
    bytes: u64,
    bytes_max: Option<u64>,
    /// Whether the timer counts. It is set when the body is first found waiting and left alone
    /// when a byte comes, so that a body in full flow never touches it.
    waiting: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    /// Ends the body with [`BodyError::Idle`] when no byte has come for `idle`.
    #[must_use]
    pub fn new(body: Body, idle: Duration) -> Self {
        Self { body, idle, bytes: 0, bytes_max: None, waiting: false, timer: None }
    }

    /// Ends the body: whoever asks again finds it ended.
    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.body = Body::empty();
        Poll::Ready(Some(Err(error)))
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle = self.idle;
        let timer = self.timer.get_or_insert_with(|| {
            self.waiting = true;
            Box::pin(sleep(idle))
        });
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(Instant::now() + idle);
        }
        timer.as_mut().poll(cx)
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
        let Poll::Ready(polled) = Pin::new(&mut this.body).poll_frame(cx) else {
            if this.poll_idle(cx).is_pending() {
                return Poll::Pending;
            }
            let millis = u64::try_from(this.idle.as_millis()).unwrap_or(u64::MAX);
            return this.fail(BodyError::Idle { millis });
        };
        this.waiting = false;
        if let (Some(max), Some(Ok(frame))) = (this.bytes_max, &polled) {
            this.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            if this.bytes > max {
                let limit = usize::try_from(max).unwrap_or(usize::MAX);
                return this.fail(BodyError::TooLarge { limit });
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

    use tokio::sync::mpsc;

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
}
