//! What is kept of a call so that it can be sent again.
//!
//! Nothing has to be kept for `connect`: a call of which not a byte was written comes back in its
//! fault and is sent again as it is. For every other reason the first try has used the call up, so
//! a copy is made before it. The common call is answered at the first try and pays for the copy in
//! vain; so it is the cheapest that still loses nothing: the headers as a flat list (half the
//! price of a `HeaderMap`'s clone, and the map is built again only if it is needed), a body that is
//! here already as a second handle on the same bytes, and a body that still streams through a tee,
//! which delays no byte of it.

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Body as _;
use schemas::{Body, Call, Event, Head};

use crate::{On, OnName, Retry, tee::Tee};

/// A call, kept.
pub(crate) struct Kept {
    /// Everything but the headers and the data.
    call: Call,
    headers: Vec<(HeaderName, HeaderValue)>,
    data: Data,
}

enum Data {
    Whole(Bytes),
    Streamed(Tee),
}

impl Kept {
    /// Keeps what the policy may want to send again; `None` if there is nothing that it could, or
    /// if the body is too long to be kept. The call's body is replaced by one that can be kept.
    pub(crate) async fn of(call: &mut Call, retry: &Retry) -> Option<Self> {
        let more_than_connect = retry.on.iter().any(|on| *on != On::Named(OnName::Connect));
        if retry.attempts < 2 || !more_than_connect {
            return None;
        }
        let data = match call.event.data.whole() {
            Some(whole) => Data::Whole(whole),
            None => keep_stream(call, retry.buffer_bytes).await?,
        };
        let headers = &call.head.headers;
        let mut kept = Vec::with_capacity(headers.len());
        kept.extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        Some(Self { call: without_parts(call), headers: kept, data })
    }

    /// The call once more; `None` if its body has grown too long to be kept.
    pub(crate) fn again(&self) -> Option<Call> {
        let mut call = without_parts(&self.call);
        call.event.data = match &self.data {
            Data::Whole(whole) => Body::from(whole.clone()),
            Data::Streamed(tee) => tee.again()?,
        };
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            headers.append(name.clone(), value.clone());
        }
        call.head.headers = headers;
        Some(call)
    }
}

/// Keeps a body that is not whole. What of it is here already is taken without waiting: a short
/// body often came together with its head, and is whole then.
async fn keep_stream(call: &mut Call, room: usize) -> Option<Data> {
    if room == 0 || call.event.data.size_hint().lower() > room as u64 {
        return None;
    }
    let mut body = std::mem::take(&mut call.event.data);
    // Who waits to be told to continue is told by the first look at the body, so that look is left
    // to the try.
    let ahead = if call.head.headers.contains_key(header::EXPECT) {
        Poll::Pending
    } else {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await
    };
    let ahead = match ahead {
        Poll::Pending => None,
        Poll::Ready(None) => return Some(Data::Whole(Bytes::new())),
        Poll::Ready(Some(Ok(frame))) if frame.is_data() && body.is_end_stream() => {
            let data = frame.into_data().unwrap_or_default();
            call.event.data = Body::from(data.clone());
            return Some(Data::Whole(data));
        }
        Poll::Ready(Some(frame)) => Some(frame),
    };
    let tee = Tee::new(body, ahead, room);
    call.event.data = tee.first();
    Some(Data::Streamed(tee))
}

/// Everything of a call but its headers and its data.
fn without_parts(call: &Call) -> Call {
    Call {
        event: Event { context: call.event.context.clone(), data: Body::empty() },
        head: Head {
            method: call.head.method.clone(),
            uri: call.head.uri.clone(),
            headers: HeaderMap::new(),
        },
        function: Arc::clone(&call.function),
        ack: call.ack,
        format: call.format,
        deadline: call.deadline,
        attempt: call.attempt,
        avoid: call.avoid,
        identity: call.identity,
        upgrade: call.upgrade.clone(),
    }
}
