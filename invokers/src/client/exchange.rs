//! One request and its response over one connection, in the task of whoever asks: the request is
//! written and the response awaited at once, since a service may answer before it has read it all.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::Weak,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::{Body as _, Frame};
use http1::{Framing, Limits, ResponseHead};
use schemas::{Body, BodyError, Tunnel};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::{
    Origin,
    ahead::put_back,
    incoming::{Half, Incoming, Source},
    pool::Pool,
    stream::Stream,
};

/// Bytes that are read at once, at first.
const READ_BYTES: usize = 4 << 10;
/// Bytes that are read at once when a body is long.
const READ_BYTES_MAX: usize = 64 << 10;
/// What is read of a response's head.
const LIMITS: Limits = Limits { head_bytes: 96 << 10, target_bytes: 0, fields: 200 };
/// A piece of a body up to this size is copied behind what is written before it.
const COPIED_MAX: usize = 16 << 10;
/// Room for a head.
const HEAD_BYTES: usize = 1 << 10;

thread_local! {
    /// Where heads are gathered: connections need no buffer of their own for it.
    static GATHERED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

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

/// The head of a request as it is to be written. Fields that concern the connection are decided
/// here, whatever the headers say of them.
#[derive(Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// What goes between the endpoint's own path and `path`; mostly nothing.
    pub prefix: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// The fields. Without a `Host` among them it is the endpoint's.
    pub headers: &'a HeaderMap,
    /// Fields of the gateway's own, in place of all of the same name; `Host` may be one.
    pub own: &'a [(HeaderName, HeaderValue)],
    /// The protocol to change to.
    pub upgrade: Option<&'a HeaderValue>,
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

/// A request on its way out.
struct Sending {
    /// What is gathered, and how much of it is written.
    out: Vec<u8>,
    done: usize,
    /// A piece of the body that is written behind it.
    piece: Bytes,
    /// Whether a line break follows the piece.
    breaks: bool,
    framing: Framing,
    /// How many bytes of a body of known length are still to come.
    left: u64,
    /// Whether all of the body has been taken.
    ended: bool,
    /// Not a byte was written.
    untouched: bool,
    /// Whether the body was looked at before the first byte.
    looked: bool,
    /// What was taken of it then.
    ahead: Option<Bytes>,
    /// Why it cannot be written on. The service may have answered all the same.
    failed: Option<io::Error>,
    stopped: bool,
}

impl Sending {
    fn new(origin: &Origin, head: &Head<'_>, body: &Body) -> Self {
        let framing = match body.size_hint().exact() {
            Some(0) => Framing::Empty,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        let mut out = GATHERED.take();
        out.clear();
        // At once what nearly every head needs, or a fresh one would grow by and by.
        out.reserve(HEAD_BYTES);
        write_head(origin, head, framing, &mut out);
        Self {
            out,
            done: 0,
            piece: Bytes::new(),
            breaks: false,
            framing,
            left: body.size_hint().exact().unwrap_or(0),
            ended: framing == Framing::Empty,
            untouched: true,
            looked: false,
            ahead: None,
            failed: None,
            stopped: false,
        }
    }

    fn done(&self) -> bool {
        self.ended && self.done == self.out.len() && self.piece.is_empty() && !self.stopped
    }

    /// Writes on. Ready once all is written, or nothing more can be.
    fn poll(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        body: &mut Body,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broke>> {
        if self.stopped || self.done() {
            return Poll::Ready(Ok(()));
        }
        if self.untouched && !self.looked && !self.ended {
            self.looked = true;
            self.look(body, cx)?;
        }
        loop {
            match ready!(self.poll_write(io, cx)) {
                Ok(()) => {}
                Err(error) if self.untouched => {
                    if let Some(ahead) = self.ahead.take() {
                        put_back(ahead, body);
                    }
                    return Poll::Ready(Err(Broke::Unwritten(error)));
                }
                Err(error) => {
                    self.failed = Some(error);
                    self.stopped = true;
                    return Poll::Ready(Ok(()));
                }
            }
            if self.ended {
                drop(std::mem::take(body));
                self.give_back();
                return Poll::Ready(Ok(()));
            }
            let fits = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.put(data),
                    Err(frame) => self.end(frame.into_trailers().ok().as_ref()),
                },
                None => self.end(None),
                Some(Err(error)) => Err(error),
            };
            // What is gathered must be written before the end is put behind it.
            let fits = match fits {
                Ok(()) if self.piece.is_empty() && body.is_end_stream() => self.end(None),
                fits => fits,
            };
            if let Err(error) = fits {
                self.stopped = true;
                return Poll::Ready(Err(Broke::Body(error)));
            }
        }
    }

    /// Takes what is here of the body, so that it goes out with the head. Until a byte of the head
    /// is written it can be put back.
    fn look(&mut self, body: &mut Body, cx: &mut Context<'_>) -> Result<(), Broke> {
        if let Some(whole) = body.whole() {
            self.ended = true;
            return self.put(whole).map_err(Broke::Body);
        }
        let Poll::Ready(polled) = Pin::new(&mut *body).poll_frame(cx) else { return Ok(()) };
        match polled.transpose().map_err(Broke::Body)?.map(Frame::into_data) {
            Some(Ok(data)) => {
                self.ahead = Some(data.clone());
                match self.put(data) {
                    // What is gathered must be written before the end is put behind it.
                    Ok(()) if self.piece.is_empty() && body.is_end_stream() => self.end(None),
                    put => put,
                }
            }
            Some(Err(frame)) => self.end(frame.into_trailers().ok().as_ref()),
            None => self.end(None),
        }
        .map_err(Broke::Body)
    }

    /// Writes what is at hand, and flushes it.
    fn poll_write(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.done < self.out.len() || !self.piece.is_empty() {
            let written = if self.piece.is_empty() {
                ready!(Pin::new(&mut *io).poll_write(cx, &self.out[self.done..]))?
            } else {
                let both = [IoSlice::new(&self.out[self.done..]), IoSlice::new(&self.piece)];
                ready!(Pin::new(&mut *io).poll_write_vectored(cx, &both))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.untouched = false;
            self.ahead = None;
            let of_out = written.min(self.out.len() - self.done);
            self.done += of_out;
            self.piece.advance(written - of_out);
            if self.done == self.out.len() && self.piece.is_empty() {
                self.out.clear();
                self.done = 0;
                if std::mem::take(&mut self.breaks) {
                    http1::chunk_end(&mut self.out);
                }
            }
        }
        Pin::new(io).poll_flush(cx)
    }

    /// Puts a piece of the body behind what is gathered.
    fn put(&mut self, data: Bytes) -> Result<(), BodyError> {
        if data.is_empty() {
            return Ok(());
        }
        if self.framing == Framing::Chunked {
            http1::chunk_size(data.len(), &mut self.out);
        } else {
            // One byte too many would be the next request's first.
            self.left = self.left.checked_sub(data.len() as u64).ok_or_else(wrong_length)?;
        }
        if data.len() <= COPIED_MAX {
            self.out.extend_from_slice(&data);
            if self.framing == Framing::Chunked {
                http1::chunk_end(&mut self.out);
            }
        } else {
            self.piece = data;
            self.breaks = self.framing == Framing::Chunked;
        }
        Ok(())
    }

    /// Leaves the room for heads to the next request: while this one waits for its response there
    /// are others to be written.
    fn give_back(&mut self) {
        let capacity = self.out.capacity();
        if capacity > 0 && capacity <= 4 * COPIED_MAX {
            GATHERED.set(std::mem::take(&mut self.out));
            self.done = 0;
        }
    }

    /// The body has ended.
    fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), BodyError> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        if self.framing == Framing::Chunked {
            http1::last_chunk(trailers, &mut self.out);
        }
        if self.left > 0 { Err(wrong_length()) } else { Ok(()) }
    }
}

fn wrong_length() -> BodyError {
    BodyError::Broken("the body has another length than was said".into())
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn write_head(origin: &Origin, head: &Head<'_>, framing: Framing, out: &mut Vec<u8>) {
    http1::request_line(head.method, [&origin.base, head.prefix, head.path], out);
    let own = |wanted: &HeaderName| head.own.iter().find(|(name, _)| name == wanted);
    let host = match own(&header::HOST) {
        Some((_, host)) => host,
        None => head.headers.get(header::HOST).unwrap_or(&origin.authority),
    };
    http1::field(&header::HOST, host, out);
    let mut trailers = false;
    for (name, value) in head.headers {
        if is_decided_here(name) {
            trailers |= *name == header::TE;
        } else if own(name).is_none() {
            http1::field(name, value, out);
        }
    }
    for (name, value) in head.own.iter().filter(|(name, _)| !is_decided_here(name)) {
        http1::field(name, value, out);
    }
    match framing {
        Framing::Length(length) => {
            http1::content_length(length, out);
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        // Where a body is expected, none is said to be none (RFC 9110, section 8.6).
        Framing::Empty if matches!(*head.method, Method::POST | Method::PUT | Method::PATCH) => {
            out.extend_from_slice(b"content-length: 0\r\n");
        }
        Framing::Empty | Framing::UntilClose => {}
    }
    // What this hop needs of the fields that concern it is said again (RFC 9110, sections 7.8 and
    // 10.1.4).
    if trailers {
        out.extend_from_slice(b"te: trailers\r\n");
    }
    if let Some(protocol) = head.upgrade {
        http1::field(&header::UPGRADE, protocol, out);
    }
    match (head.upgrade.is_some(), trailers) {
        (false, false) => {}
        (true, false) => out.extend_from_slice(b"connection: upgrade\r\n"),
        (false, true) => out.extend_from_slice(b"connection: te\r\n"),
        (true, true) => out.extend_from_slice(b"connection: upgrade, te\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

/// Fields that are written by what is known of the connection and the body. Nobody waits for 100
/// (Continue) here: the caller is told to go on when its body is first asked for, and that happens
/// when the request is under way.
fn is_decided_here(name: &HeaderName) -> bool {
    *name == header::HOST
        || *name == header::CONTENT_LENGTH
        || *name == header::EXPECT
        || http1::hop::is_hop_by_hop(name.as_str())
}
