//! A body of which a piece was read ahead and not used.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use schemas::{Body, BodyError};

/// The piece, and what comes after it.
#[derive(Debug)]
struct Ahead {
    first: Option<Frame<Bytes>>,
    rest: Body,
}

/// Puts a piece, or the trailers, back in front of the body that they were read from.
pub(crate) fn put_back(first: Frame<Bytes>, body: &mut Body) {
    let rest = std::mem::take(body);
    *body = Body::boxed(Ahead { first: Some(first), rest });
}

impl http_body::Body for Ahead {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = match &self.first {
            None => Some(0),
            // A body that has trailers is told by no length.
            Some(first) => first.data_ref().map(|first| first.len() as u64),
        };
        match (first, self.rest.size_hint().exact()) {
            (Some(first), Some(rest)) => SizeHint::with_exact(first + rest),
            _ => SizeHint::default(),
        }
    }
}
