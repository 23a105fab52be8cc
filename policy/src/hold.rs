//! A body that holds a permit until its last byte has passed.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use schemas::{Body, BodyError};

use crate::permits::Permit;

/// Ties the permit to the body: it is given back when the body has ended or is dropped. For work
/// that has nothing else which lives as long as the reply's body does.
#[must_use]
pub fn hold(body: Body, permit: Option<Permit>) -> Body {
    // Of a body that is whole the last byte has come.
    if permit.is_none() || body.is_end_stream() || body.whole().is_some() {
        return body;
    }
    Body::boxed(Held { body, permit })
}

struct Held {
    body: Body,
    permit: Option<Permit>,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = &polled {
            self.permit = None;
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
