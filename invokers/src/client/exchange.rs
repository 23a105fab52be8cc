//! One request and its response over one connection, in the task of whoever asks: the request is
//! written and the response awaited at once, since a service may answer before it has read it all.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Weak,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http1::{Framing, Limits, ResponseHead};
use schemas::{Body, BodyError, Tunnel};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

use super::{
    Origin,
    incoming::{Half, Incoming, Source},
    pool::Pool,
    sending::{Head, Sending},
    stream::Stream,
};

/// Bytes that are read at once, at first.
const READ_BYTES: usize = 4 << 10;
/// Bytes that are read at once when a body is long.
const READ_BYTES_MAX: usize = 64 << 10;
/// What is read of a response's head.
const LIMITS: Limits = Limits { head_bytes: 96 << 10, target_bytes: 0, fields: 200 };

/// A connection between two exchanges, or in one.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// What was read and not yet used; empty between exchanges.
    pub(super) bytes: BytesMut,
    pub(super) room: usize,
    pub(super) home: Weak<Pool>,
    /// The sweep after which it was last used.
    pub(super) used: u32,
}

/// What came back.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The fields as they came.
    pub headers: HeaderMap,
    /// The body. The connection goes back to the pool with its last byte.
    pub body: Body,
    /// The connection, if it has changed protocol (status 101).
    pub tunnel: Option<Tunnel>,
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum Broke {
    /// Not a byte was written, and the body is still there.
    Unwritten(io::Error),
    /// The request's own body failed.
    Body(BodyError),
    /// What came is no response.
    Malformed(&'static str),
    /// The connection broke, or ended before there was a byte of a response.
    Silent(io::Error),
    /// The connection broke, or ended, within a response.
    Off(io::Error),
}

impl Connection {
    pub(super) fn new(stream: Stream, home: Weak<Pool>, used: u32) -> Self {
        Self { stream, bytes: BytesMut::new(), room: READ_BYTES, home, used }
    }

    /// Whether it is as it should be between exchanges: open, and silent. Wakes `told` once it is
    /// not any more.
    pub(super) fn is_idle(&mut self, told: &Waker) -> bool {
        let mut byte = [0; 1];
        let mut into = ReadBuf::new(&mut byte);
        let mut cx = Context::from_waker(told);
        self.bytes.is_empty()
            && Pin::new(&mut self.stream).poll_read(&mut cx, &mut into).is_pending()
    }

    /// Reads more; ready with 0 at the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        poll_fill(&mut self.stream, &mut self.bytes, &mut self.room, cx)
    }

    /// Back to the pool, if it may be used again.
    pub(super) fn put_back(mut self: Box<Self>, keep_alive: bool) {
        // Bytes that belong to no response would be taken for the next one's.
        if keep_alive
            && self.bytes.is_empty()
            && let Some(pool) = self.home.upgrade()
        {
            self.room = READ_BYTES;
            pool.put(self);
        }
    }
}

/// Reads more into `bytes`. What fills the room that was made makes twice as much the next time.
pub(super) fn poll_fill(
    io: &mut (impl AsyncRead + Unpin),
    bytes: &mut BytesMut,
    room: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if bytes.capacity() - bytes.len() < *room / 4 {
        bytes.reserve(*room);
    }
    let free = bytes.capacity() - bytes.len();
    let read = ready!(pin!(io.read_buf(bytes)).poll(cx));
    if read.as_ref().is_ok_and(|count| *count == free) {
        *room = (*room * 2).min(READ_BYTES_MAX);
    }
    Poll::Ready(read)
}

/// Sends a request once. Dropping the future closes the connection.
///
/// # Errors
/// Says whether a byte was written. If none was, `body` is as it came.
pub(super) async fn exchange(
    mut connection: Box<Connection>,
    origin: &Origin,
    head: &Head<'_>,
    body: &mut Body,
) -> Result<Answered, Broke> {
    let mut sending = Sending::new(origin, head, body);
    let mut scanned = 0;
    let mut interim = 0;
    let answered = poll_fn(|cx| {
        if let Poll::Ready(Err(broke)) = sending.poll(&mut connection.stream, body, cx) {
            return Poll::Ready(Err(broke));
        }
        if sending.untouched {
            return Poll::Pending;
        }
        loop {
            match http1::response(&mut connection.bytes, &mut scanned, &LIMITS, head.method) {
                Ok(Some(found)) if is_interim(found.status) => {
                    interim += 1;
                    if interim > INTERIM {
                        let what = "there are too many interim responses";
                        return Poll::Ready(Err(Broke::Malformed(what)));
                    }
                    continue;
                }
                Ok(Some(found)) => return Poll::Ready(Ok(found)),
                Ok(None) => {}
                Err(what) => return Poll::Ready(Err(Broke::Malformed(what))),
            }
            match ready!(connection.poll_fill(cx)) {
                Ok(0) => {
                    let error = sending.failed.take();
                    let error = error.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                    return Poll::Ready(Err(broke_off(&connection, interim, error)));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(broke_off(&connection, interim, error))),
            }
        }
    })
    .await?;
    let sending = if sending.done() { None } else { Some(sending) };
    Ok(answer(connection, answered, sending, body))
}

/// Says whether anything had come.
fn broke_off(connection: &Connection, interim: u32, error: io::Error) -> Broke {
    match connection.bytes.is_empty() && interim == 0 {
        true => Broke::Silent(error),
        false => Broke::Off(error),
    }
}

/// Interim responses that may come before the one that counts.
const INTERIM: u32 = 100;

/// Interim responses are for this hop (RFC 9110, section 15.2). Nobody waits for 100 (Continue).
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Makes the answer of its head and of what follows.
fn answer(
    mut connection: Box<Connection>,
    found: ResponseHead,
    sending: Option<Sending>,
    body: &mut Body,
) -> Answered {
    let ResponseHead { status, headers, framing, keep_alive } = found;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let Connection { stream, bytes, .. } = *connection;
        let tunnel = Some(Tunnel::new(bytes, stream));
        return Answered { status, headers, body: Body::empty(), tunnel };
    }
    let reusable = keep_alive;
    let keep_alive = keep_alive && sending.is_none();
    let here = match framing {
        Framing::Empty => Some(Bytes::new()),
        Framing::Length(length) => usize::try_from(length)
            .ok()
            .filter(|length| *length <= connection.bytes.len())
            .map(|length| connection.bytes.split_to(length).freeze()),
        Framing::Chunked | Framing::UntilClose => None,
    };
    let body = match (here, sending) {
        (Some(here), _) => {
            // If the request is still being sent, what is left of it is for nobody.
            connection.put_back(keep_alive);
            Body::from(here)
        }
        (None, None) => Body::boxed(Incoming::new(Source::Own(connection), framing, keep_alive)),
        (None, Some(sending)) => {
            // It goes on being sent while the answer comes in, and no longer.
            let Connection { stream, bytes, room, home, used } = *connection;
            let (read, mut write) = tokio::io::split(stream);
            let (mut sending, mut rest) = (sending, std::mem::take(body));
            let pump = tokio::spawn(async move {
                // What goes wrong shows in the answer.
                let sent = poll_fn(|cx| sending.poll(&mut write, &mut rest, cx)).await;
                (sent.is_ok() && sending.done()).then_some(write)
            });
            let half = Half { read, bytes, room, pump, home, used };
            Body::boxed(Incoming::new(Source::Half(Box::new(half)), framing, reusable))
        }
    };
    Answered { status, headers, body, tunnel: None }
}
