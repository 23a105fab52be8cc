//! A stream that can be sent again while it is short: what has passed is kept, up to a limit, and
//! what has not passed yet is still there.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use schemas::{Body, BodyError};

/// The stream behind the body of every try.
#[derive(Debug)]
pub(crate) struct Tee(Arc<Mutex<Source>>);

#[derive(Debug)]
struct Source {
    /// What was read before the first pass.
    ahead: Option<Result<Frame<Bytes>, BodyError>>,
    /// What has not passed yet.
    rest: Body,
    /// What has passed, as long as it fits.
    kept: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// How many more bytes may be kept; `None` once they are too many, or the stream broke.
    room: Option<usize>,
    /// Which pass may read. An older one is cut off.
    pass: u32,
    /// Wakes the pass that waits, so that it learns that it is cut off.
    waiting: Option<Waker>,
}

/// The stream as one try sends it: first what was kept, then the rest.
struct Pass {
    source: Arc<Mutex<Source>>,
    number: u32,
    /// How many of the kept chunks have passed here.
    at: usize,
    trailers_passed: bool,
}

impl Tee {
    /// Puts a tee into the stream. `ahead` is what has been read of it already, `room` how many
    /// bytes may be kept.
    pub(crate) fn new(
        rest: Body,
        ahead: Option<Result<Frame<Bytes>, BodyError>>,
        room: usize,
    ) -> Self {
        Self(Arc::new(Mutex::new(Source {
            ahead,
            rest,
            kept: Vec::new(),
            trailers: None,
            room: Some(room),
            pass: 0,
            waiting: None,
        })))
    }

    /// The body for the first try.
    pub(crate) fn first(&self) -> Body {
        self.pass()
    }

    /// The body once more, if no byte of it is lost. Cuts off the pass before.
    pub(crate) fn again(&self) -> Option<Body> {
        {
            let mut source = lock(&self.0);
            source.room?;
            source.pass += 1;
            if let Some(waiting) = source.waiting.take() {
                waiting.wake();
            }
        }
        Some(self.pass())
    }

    fn pass(&self) -> Body {
        let number = lock(&self.0).pass;
        let source = Arc::clone(&self.0);
        Body::boxed(Pass { source, number, at: 0, trailers_passed: false })
    }
}

impl Source {
    fn keep(&mut self, data: &Bytes) {
        match self.room.and_then(|room| room.checked_sub(data.len())) {
            Some(room) => {
                self.room = Some(room);
                self.kept.push(data.clone());
            }
            None => {
                self.room = None;
                self.kept = Vec::new();
            }
        }
    }

    /// Reads on, and keeps what fits.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = match self.ahead.take() {
            Some(ahead) => Poll::Ready(Some(ahead)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        };
        match &polled {
            Poll::Pending => self.waiting = Some(cx.waker().clone()),
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.keep(data);
                } else if self.room.is_some() {
                    self.trailers = frame.trailers_ref().cloned();
                }
            }
            // A stream that broke cannot be sent again.
            Poll::Ready(Some(Err(_))) => self.room = None,
            Poll::Ready(None) => {}
        }
        polled
    }
}

impl http_body::Body for Pass {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let mut source = lock(&this.source);
        if source.pass != this.number {
            let why = "the body is sent elsewhere, with another try";
            return Poll::Ready(Some(Err(BodyError::Broken(why.into()))));
        }
        if let Some(kept) = source.kept.get(this.at) {
            this.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(kept.clone()))));
        }
        if let Some(trailers) = &source.trailers
            && !this.trailers_passed
        {
            this.trailers_passed = true;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers.clone()))));
        }
        let polled = source.poll_rest(cx);
        // What was just read has passed here, whether it was kept or let go.
        this.at = source.kept.len();
        this.trailers_passed = source.trailers.is_some();
        polled
    }

    fn is_end_stream(&self) -> bool {
        let source = lock(&self.source);
        let trailers = source.trailers.is_some() && !self.trailers_passed;
        source.pass == self.number
            && self.at >= source.kept.len()
            && !trailers
            && source.ahead.is_none()
            && source.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let source = lock(&self.source);
        // A stream that broke has no length, and above all not zero: the sender must meet the error.
        if matches!(source.ahead, Some(Err(_))) {
            return SizeHint::default();
        }
        let kept: usize = source.kept.iter().skip(self.at).map(Bytes::len).sum();
        let read = source.ahead.as_ref().and_then(|ahead| ahead.as_ref().ok()?.data_ref());
        let ahead = kept + read.map_or(0, Bytes::len);
        let rest = source.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + ahead as u64);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + ahead as u64);
        }
        hint
    }
}

/// A panic while the lock was held left nothing half done that matters.
fn lock(source: &Mutex<Source>) -> MutexGuard<'_, Source> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}
