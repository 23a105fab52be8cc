//! What is kept of a call so that it can be sent again.
//!
//! Nothing has to be kept for `connect`: a call of which not a byte was written comes back in its
//! fault and is sent again as it is. For every other reason the first try has used the call up, so
//! a copy is made before it. The common call is answered at the first try and pays for the copy in
//! vain, so it is a cheap one: one clone of the headers, whose values share their bytes; of a body
//! that is here already a second handle on it; and into a body that still streams goes a tee, which
//! delays no byte.

use std::{future::poll_fn, mem, pin::Pin, task::Poll};

use bytes::Bytes;
use http::header;
use http_body::{Body as _, Frame};
use schemas::{Body, BodyError, Call};

use crate::{On, OnName, Retry, tee::Tee};

/// A call, kept.
pub(crate) struct Kept {
    call: Call,
    /// The body, if it is not whole in the call.
    stream: Option<Tee>,
}

impl Kept {
    /// Keeps what the policy may want to send again; `None` if there is nothing that it could, or
    /// if the body is too long to be kept. The call's body is replaced by one that can be kept.
    pub(crate) async fn of(call: &mut Call, retry: &Retry) -> Option<Self> {
        let more_than_connect = retry.on.iter().any(|on| *on != On::Named(OnName::Connect));
        if retry.attempts < 2 || !more_than_connect {
            return None;
        }
        let room = retry.buffer_bytes;
        // The limit holds for a body that is here already, too: whether it is depends on how the
        // bytes came in, and nothing may depend on that.
        if call.event.data.size_hint().lower() > room as u64 {
            return None;
        }
        if let Some(call) = call.again() {
            return Some(Self { call, stream: None });
        }
        if room == 0 {
            return None;
        }
        let body = mem::take(&mut call.event.data);
        // Who waits to be told to continue is told by the first look at the body, so that look is
        // left to the try.
        let look = !call.head.headers.contains_key(header::EXPECT);
        let stream = match here(body, look).await {
            Here::Whole(body) => {
                call.event.data = body;
                None
            }
            Here::Partly(ahead, rest) => Some(Tee::new(rest, ahead, room)),
        };
        let copy = call.again()?;
        if let Some(tee) = &stream {
            call.event.data = tee.first();
        }
        Some(Self { call: copy, stream })
    }

    /// The call once more; `None` if its body has grown too long to be kept.
    pub(crate) fn again(&self) -> Option<Call> {
        let mut call = self.call.again()?;
        if let Some(tee) = &self.stream {
            call.event.data = tee.again()?;
        }
        Some(call)
    }
}

/// How much of a stream is here already.
enum Here {
    Whole(Body),
    /// At most its first frame, and the rest.
    Partly(Option<Result<Frame<Bytes>, BodyError>>, Body),
}

/// Looks once, and waits for nothing: a short body often came together with its head.
async fn here(mut body: Body, look: bool) -> Here {
    if !look {
        return Here::Partly(None, body);
    }
    match poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await {
        Poll::Pending => Here::Partly(None, body),
        Poll::Ready(None) => Here::Whole(Body::empty()),
        Poll::Ready(Some(Ok(frame))) if frame.is_data() && body.is_end_stream() => {
            Here::Whole(Body::from(frame.into_data().unwrap_or_default()))
        }
        Poll::Ready(ahead) => Here::Partly(ahead, body),
    }
}
