//! The second target of a route (`mirror`), which gets a copy of some of its requests and whose
//! answer nobody sees. It costs the caller nothing that could be felt: a copy of a body is made as
//! its bytes pass, and is sent once they have; where there is no room for one, none is made. It
//! takes the jobs' share of its upstream's permits, is sent once, and counts in metrics of its own.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue};
use http_body::{Body as _, Frame, SizeHint};
use policy::{Guards, permits::Share};
use schemas::{Body, BodyError, Call, Class, Event, Verdict};
use tokio::sync::oneshot;

use crate::{
    Route, View,
    make::{Asked, Made, call as make_call},
    recorder::{Recorder, series::SeriesId},
    reply::read_leftover,
    routes::Chosen,
    table::Mirror,
};

/// Marks a copy, with the name of the route that made it. A marked request is not copied again, so
/// that mirrors of each other come to an end.
const MARK: HeaderName = HeaderName::from_static("gusset-mirror");

/// What copies may hold of one core's memory, in bytes.
const BYTES_MAX: usize = 32 << 20;

/// How many copies one core has under way at once.
const AT_ONCE: usize = 256;

/// What is left of a core's room for copies.
#[derive(Debug)]
pub(crate) struct Room {
    bytes: Cell<usize>,
    copies: Cell<usize>,
}

impl Default for Room {
    fn default() -> Self {
        Self { bytes: Cell::new(BYTES_MAX), copies: Cell::new(AT_ONCE) }
    }
}

/// A part of the room, given back when it is dropped.
struct Taken {
    room: Rc<Room>,
    bytes: usize,
}

impl Room {
    fn take(self: &Rc<Self>, bytes: usize) -> Option<Taken> {
        let copies = self.copies.get().checked_sub(1)?;
        self.bytes.set(self.bytes.get().checked_sub(bytes)?);
        self.copies.set(copies);
        Some(Taken { room: Rc::clone(self), bytes })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.bytes.set(self.room.bytes.get() + self.bytes);
        self.room.copies.set(self.room.copies.get() + 1);
    }
}

/// A copy of a request, which nobody has been sent yet.
pub(crate) struct Prepared {
    view: Rc<View>,
    route: Arc<Route>,
    call: Box<Call>,
    data: Data,
    taken: Taken,
    counts: Counts,
}

/// Copies a request for the route's mirror, if it has one and this request is among its share. The
/// event's body is replaced by one that is copied as it passes, unless it is here already.
pub(crate) fn prepare(
    view: &Rc<View>,
    chosen: &Chosen<'_>,
    asked: &Asked<'_>,
    event: &mut Event,
    recorder: &Rc<Recorder>,
) -> Option<Prepared> {
    let route = chosen.route;
    let mirror = route.mirror.as_deref()?;
    if asked.parts.headers.contains_key(&MARK) || !mirror.takes_next() {
        return None;
    }
    let counts = Counts { recorder: Rc::clone(recorder), series: view.mirror_series(route) };
    match make(view, chosen, mirror, asked, event) {
        Ok((call, data, taken)) => {
            let (view, route) = (Rc::clone(view), Arc::clone(route));
            Some(Prepared { view, route, call, data, taken, counts })
        }
        Err(class) => {
            counts.failed(class);
            None
        }
    }
}

impl Prepared {
    /// Sends the copy once its data is here. Returns at once.
    pub(crate) fn start(self) {
        drop(tokio::task::spawn_local(self.send()));
    }

    async fn send(self) {
        let Self { view, route, mut call, data, taken: _taken, counts } = self;
        let Some(mirror) = route.mirror.as_deref() else { return };
        call.event.data = match data {
            Data::Here(data) => data,
            Data::Coming(coming) => match coming.await {
                Ok(data) => Body::from(data),
                Err(_) => return counts.failed(Class::Cancelled),
            },
        };
        let (target, policy) = (&mirror.target, &mirror.policy);
        call.deadline = Instant::now() + target.timeout.unwrap_or(policy.timeout);
        let guards = Guards { share: Share::Jobs, ..target.guards.clone() };
        let lane = view.lane(&target.upstream);
        let send = async |call| lane.call(call).await;
        let attempted = policy::attempt(policy, &guards, *call, send).await;
        match attempted.result {
            Ok(reply) => {
                match reply.verdict {
                    Verdict::Ok => counts.sent(),
                    Verdict::Failed { class, .. } => counts.failed(class),
                }
                read_leftover(reply.data, policy).await;
            }
            Err(fault) => counts.failed(fault.class),
        }
    }
}

/// The data of a copy.
enum Data {
    Here(Body),
    /// Told once the last byte has passed; never, if it does not or there were too many.
    Coming(oneshot::Receiver<Bytes>),
}

/// Makes a copy, if there is room for it.
fn make(
    view: &Rc<View>,
    chosen: &Chosen<'_>,
    mirror: &Mirror,
    asked: &Asked<'_>,
    event: &mut Event,
) -> Result<(Box<Call>, Data, Taken), Class> {
    let policy = &chosen.route.policy;
    let limit = policy.event_bytes_max;
    let bytes = event.data.size_hint().upper().and_then(|upper| usize::try_from(upper).ok());
    // A length that was declared is known; any other may come to the limit.
    let bytes = bytes.unwrap_or(limit);
    if bytes > limit {
        return Err(Class::TooLarge);
    }
    let taken = view.mirrors().take(bytes).ok_or(Class::Overloaded)?;
    let copy = Event { context: event.context.clone(), data: Body::empty() };
    let made = make_call(chosen, &mirror.target, copy, asked.clone(), None);
    let Made { mut call, .. } = made.map_err(|fault| fault.class)?;
    if let Ok(name) = HeaderValue::from_str(chosen.route.name.as_str()) {
        call.head.headers.insert(MARK, name);
    }
    let data = match event.data.again() {
        Some(data) => Data::Here(data),
        None => {
            let (told, coming) = oneshot::channel();
            let body = std::mem::take(&mut event.data);
            let copy = Some(Copy { told, kept: BytesMut::new(), limit });
            event.data = Body::boxed(Copying { body, copy });
            Data::Coming(coming)
        }
    };
    Ok((Box::new(call), data, taken))
}

/// Where a copy counts.
struct Counts {
    recorder: Rc<Recorder>,
    series: SeriesId,
}

impl Counts {
    fn sent(&self) {
        self.recorder.metrics().count_copy(self.series, None);
    }

    fn failed(&self, class: Class) {
        self.recorder.metrics().count_copy(self.series, Some(class));
    }
}

/// A body that is copied as it passes.
struct Copying {
    body: Body,
    /// None once the copy is told, or given up.
    copy: Option<Copy>,
}

struct Copy {
    told: oneshot::Sender<Bytes>,
    kept: BytesMut,
    limit: usize,
}

impl Copying {
    fn keep(&mut self, data: &Bytes) {
        let Some(copy) = &mut self.copy else { return };
        if copy.kept.len() + data.len() > copy.limit {
            self.copy = None;
            return;
        }
        copy.kept.extend_from_slice(data);
        // Nobody asks for more once the end is known.
        if self.body.is_end_stream() {
            self.tell();
        }
    }

    fn tell(&mut self) {
        if let Some(copy) = self.copy.take() {
            // If nobody waits any more the gateway stops.
            copy.told.send(copy.kept.freeze()).ok();
        }
    }
}

impl http_body::Body for Copying {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) => this.keep(data),
                None => this.tell(),
            },
            None => this.tell(),
            Some(Err(_)) => this.copy = None,
        }
        Poll::Ready(frame)
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
    use std::collections::VecDeque;

    use super::*;

    /// A stream of these frames, which knows its end or not.
    struct Frames(VecDeque<&'static str>, bool);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(match self.0.pop_front() {
                Some("!") => Some(Err(BodyError::Idle { millis: 1 })),
                next => next.map(|data| Ok(Frame::data(Bytes::from_static(data.as_bytes())))),
            })
        }

        fn is_end_stream(&self) -> bool {
            self.1 && self.0.is_empty()
        }
    }

    async fn copied(frames: &[&'static str], knows: bool, read: usize) -> Option<Bytes> {
        let (told, coming) = oneshot::channel();
        let body = Body::boxed(Frames(frames.iter().copied().collect(), knows));
        let mut copying =
            Copying { body, copy: Some(Copy { told, kept: BytesMut::new(), limit: 5 }) };
        for _ in 0..read {
            drop(std::future::poll_fn(|cx| Pin::new(&mut copying).poll_frame(cx)).await);
        }
        drop(copying);
        coming.await.ok()
    }

    #[tokio::test]
    async fn a_copy_is_whole_or_there_is_none() {
        assert_eq!(copied(&["he", "llo"], false, 3).await.unwrap(), "hello");
        // Who knows the end is not asked whether there is more.
        assert_eq!(copied(&["he", "llo"], true, 2).await.unwrap(), "hello");
        assert_eq!(copied(&["he", "llo"], false, 2).await, None, "the sender left before the end");
        assert_eq!(copied(&["he", "!"], false, 2).await, None, "the stream broke");
        assert_eq!(copied(&["hel", "lo!"], false, 3).await, None, "over the limit");
    }

    #[test]
    fn the_room_is_bounded_and_comes_back() {
        let room = Rc::new(Room::default());
        let half = room.take(BYTES_MAX / 2).unwrap();
        assert!(room.take(BYTES_MAX).is_none());
        drop(half);
        let all: Vec<Taken> = std::iter::from_fn(|| room.take(1)).collect();
        assert_eq!(all.len(), AT_ONCE);
        drop(all);
        assert!(room.take(BYTES_MAX).is_some());
    }
}
