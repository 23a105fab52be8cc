//! Native gRPC: messages pass untouched, only their lengths are watched, and the status at the end
//! is read as it passes.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as _, Frame, SizeHint};
use schemas::{Body, BodyError, EndpointId, Later, Reply, ReplyHead, Verdict};

use super::{
    exchange::Incoming,
    frame::Meter,
    status::{BROKEN, Code, Status},
};

/// Bytes of an answer that are looked at before its head goes on, if they are here already.
const LOOK_BYTES: usize = 64 << 10;

/// A request's messages on their way to the server.
#[derive(Debug)]
pub(super) struct Metered {
    body: Body,
    meter: Meter,
}

impl Metered {
    pub(super) fn new(body: Body, max: usize) -> Self {
        Self { body, meter: Meter::new(max) }
    }
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &polled
            && let Some(data) = frame.data_ref()
            && let Err(bad) = this.meter.look(data)
        {
            return Poll::Ready(Some(Err(BodyError::Broken(bad.into()))));
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

/// Makes the reply. What is here of it already is looked at, without waiting: a unary answer comes in
/// one piece with its trailers as a rule, and then its verdict is known in time to be acted upon.
pub(super) async fn reply(answer: Response<Incoming>, id: EndpointId, max: usize) -> Reply {
    let (head, incoming) = answer.into_parts();
    let mut passing = Passing {
        ahead: VecDeque::new(),
        rest: incoming,
        meter: Meter::new(max),
        later: Later::default(),
        over: false,
    };
    if let Some(status) = Status::read(&head.headers) {
        passing.over = passing.rest.is_end_stream();
        passing.later.settle(status.verdict(true));
    } else if head.status != http::StatusCode::OK {
        // No server of gRPC's; its answer says what it says.
        passing.over = true;
        passing.later.settle(Status::of_http(head.status).verdict(false));
        let verdict = passing.later.verdict().unwrap_or(BROKEN);
        let (head, data) = (ReplyHead { status: head.status, headers: head.headers }, passing.rest);
        let reply = Reply::ok(head.status, head.headers, Body::boxed(data));
        return Reply { verdict, endpoint: Some(id), ..reply };
    } else {
        passing.look().await;
    }
    let later = passing.later.clone();
    let settled = later.verdict();
    let body =
        if passing.over && passing.ahead.is_empty() { Body::empty() } else { Body::boxed(passing) };
    Reply {
        verdict: settled.unwrap_or(Verdict::Ok),
        later: settled.is_none().then_some(later),
        endpoint: Some(id),
        ..Reply::ok(head.status, head.headers, body)
    }
}

/// An answer's messages and trailers on their way to the caller.
#[derive(Debug)]
struct Passing {
    /// What was looked at before the head went on.
    ahead: VecDeque<Frame<Bytes>>,
    rest: Incoming,
    meter: Meter,
    later: Later,
    /// Whether the status has been seen.
    over: bool,
}

impl Passing {
    /// Looks at what is here, and waits for nothing.
    async fn look(&mut self) {
        let mut bytes = 0;
        while !self.over && bytes < LOOK_BYTES {
            let next = poll_fn(|cx| Poll::Ready(self.poll_next(cx))).await;
            let Poll::Ready(Some(frame)) = next else { break };
            bytes += frame.data_ref().map_or(0, Bytes::len);
            self.ahead.push_back(frame);
        }
    }

    /// The next frame. A stream that ends badly ends with a status all the same.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let next = ready!(pin!(&mut self.rest).poll_frame(cx));
        let (status, verdict) = match next {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => match self.meter.look(&data) {
                    Ok(()) => return Poll::Ready(Some(Frame::data(data))),
                    Err(bad) => (Status::of_bad(&bad), BROKEN),
                },
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    match Status::read(&trailers) {
                        Some(status) => {
                            self.finish(status.verdict(!self.meter.passed));
                            return Poll::Ready(Some(Frame::trailers(trailers)));
                        }
                        None => (Status::missing(), BROKEN),
                    }
                }
            },
            Some(Err(_)) => (Status::new(Code::Unavailable, "the upstream broke off"), BROKEN),
            None => (Status::missing(), BROKEN),
        };
        self.finish(verdict);
        let mut trailers = HeaderMap::new();
        status.write(&mut trailers);
        Poll::Ready(Some(Frame::trailers(trailers)))
    }

    fn finish(&mut self, verdict: Verdict) {
        self.over = true;
        self.later.settle(verdict);
    }
}

impl http_body::Body for Passing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(frame) = this.ahead.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        this.poll_next(cx).map(|frame| frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.over && self.ahead.is_empty()
    }
}
