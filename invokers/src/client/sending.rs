//! A request on its way out: its head in one piece, with what is here of its body behind it, and
//! then the rest of the body as it comes.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body::{Body as _, Frame};
use http1::Framing;
use schemas::{Body, BodyError};
use tokio::io::AsyncWrite;

use super::{Origin, ahead::put_back, exchange::Broke};

/// A piece of a body up to this size is copied behind what is written before it.
const COPIED_MAX: usize = 16 << 10;
/// Room for a head.
const HEAD_BYTES: usize = 1 << 10;

thread_local! {
    /// Where heads are gathered: connections need no buffer of their own for it.
    static GATHERED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
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
/// A request on its way out.
pub(super) struct Sending {
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
    pub(super) untouched: bool,
    /// Whether the body was looked at before the first byte.
    looked: bool,
    /// What was taken of it then.
    ahead: Option<Bytes>,
    /// Why it cannot be written on. The service may have answered all the same.
    pub(super) failed: Option<io::Error>,
    stopped: bool,
}

impl Sending {
    /// Nothing is written yet.
    pub(super) fn new(origin: &Origin, head: &Head<'_>, body: &Body) -> Self {
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

    /// Whether all of it is written.
    pub(super) fn done(&self) -> bool {
        self.ended && self.done == self.out.len() && self.piece.is_empty() && !self.stopped
    }

    /// Writes on. Ready once all is written, or nothing more can be.
    pub(super) fn poll(
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
                        put_back(Frame::data(ahead), body);
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
