//! The body of an answer on its way to the caller, with the record of its request: the record is
//! written when the last byte has gone, or when the caller leaves.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use policy::Guarded;
use schemas::{Body, BodyError, Class};

use crate::recorder::Trace;

/// An answer's body and its request's record.
#[derive(Debug)]
pub(crate) struct Outgoing {
    body: Guarded,
    trace: Option<Box<Trace>>,
    ended: bool,
}

impl Outgoing {
    /// Joins an answer's body with the record. The body ends when it has stood still for `idle`.
    pub(crate) fn new(body: Body, idle: Duration, trace: Box<Trace>) -> Self {
        use http_body::Body as _;
        let ended = body.is_end_stream();
        Self { body: Guarded::new(body, idle), trace: Some(trace), ended }
    }

    /// The answer that opens a tunnel: its record goes with the tunnel.
    pub(crate) fn nothing() -> Self {
        Self { body: Guarded::new(Body::empty(), Duration::ZERO), trace: None, ended: true }
    }

    /// The caller asked for the head alone, so that no byte will go.
    pub(crate) fn head_alone(mut self) -> Self {
        self.ended = true;
        self
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(data), Some(trace)) = (frame.data_ref(), &mut this.trace) {
                    trace.record.bytes_out += data.len() as u64;
                }
                this.ended = this.body.is_end_stream();
            }
            Poll::Ready(None) => this.ended = true,
            Poll::Ready(Some(Err(error))) => {
                // The head has gone; all that is left is to break off, and to say so in the log.
                this.ended = true;
                if let Some(trace) = &mut this.trace {
                    trace.record.class = Some(match error {
                        BodyError::Idle { .. } | BodyError::Slow { .. } => Class::Timeout,
                        BodyError::TooLarge { .. } | BodyError::Broken(_) => {
                            Class::UpstreamProtocol
                        }
                    });
                    trace.record.code = Some("answer_broken");
                    trace.record.cause = Some(error.to_string());
                }
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let (false, Some(trace)) = (self.ended, &mut self.trace) {
            trace.record.class = Some(Class::Cancelled);
        }
    }
}
