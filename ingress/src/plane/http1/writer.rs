//! What a connection writes: the head of an answer, and its body in the framing that fits.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use bytes::{Buf as _, Bytes};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header, response};
use http_body::Body as _;
use tokio::io::AsyncWrite;

use super::beat::Beat;
use crate::outgoing::Outgoing;

/// Beats for which a caller may take no byte.
const STALLED_BEATS: u32 = 12;
/// A piece of a body up to this size is copied behind what is written before it.
const COPIED_MAX: usize = 16 << 10;
/// Room for a head.
const HEAD_BYTES: usize = 1 << 10;
/// What is gathered is written when there is so much of it.
const GATHERED_MAX: usize = 32 << 10;

thread_local! {
    /// Where heads are gathered: connections need no buffer of their own for it.
    static GATHERED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static DATE: RefCell<Option<(Instant, HeaderValue)>> = const { RefCell::new(None) };
}

/// The writing half of a connection.
#[derive(Debug)]
pub(super) struct Writer<W>(pub(super) W);

/// What of a request decides how its answer is written.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) head_alone: bool,
    pub(super) modern: bool,
    /// Whether the connection may carry another request.
    pub(super) keep_alive: bool,
}

impl Asked {
    pub(super) fn of(method: &Method, version: Version, keep_alive: bool) -> Self {
        let modern = version == Version::HTTP_11;
        Self { head_alone: *method == Method::HEAD, modern, keep_alive }
    }
}

/// How an answer's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Nothing,
    Length(u64),
    Chunked,
    UntilClose,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes an answer. True if the connection may carry another request.
    pub(super) async fn answer(
        &mut self,
        parts: response::Parts,
        body: &mut Outgoing,
        asked: &Asked,
        beat: &mut Beat,
        mut gone: impl FnMut(&mut Context<'_>) -> bool,
    ) -> io::Result<bool> {
        let frame = frame(&parts, body, asked);
        let keep_alive = asked.keep_alive && frame != Frame::UntilClose;
        let mut out = GATHERED.take();
        out.clear();
        out.reserve(HEAD_BYTES);
        let alone = asked.head_alone.then(|| body.size_hint().exact()).flatten();
        write_head(&parts, frame, alone, asked, keep_alive, &mut out);
        ::http1::recycle(parts.headers);
        let written = self.body(frame, body, &mut out, beat, &mut gone).await;
        if out.capacity() <= 2 * GATHERED_MAX {
            GATHERED.set(out);
        }
        written.map(|()| keep_alive)
    }

    async fn body(
        &mut self,
        frame: Frame,
        body: &mut Outgoing,
        out: &mut Vec<u8>,
        beat: &mut Beat,
        gone: &mut impl FnMut(&mut Context<'_>) -> bool,
    ) -> io::Result<()> {
        let mut left = match frame {
            Frame::Nothing => return self.flush(out, Bytes::new(), beat).await,
            Frame::Length(length) => length,
            Frame::Chunked | Frame::UntilClose => 0,
        };
        let mut trailers = None;
        loop {
            let ready = poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await;
            let next = match ready {
                Poll::Ready(next) => next.map(|frame| frame.map_err(io::Error::other)),
                Poll::Pending => {
                    self.flush(out, Bytes::new(), beat).await?;
                    poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
                        Poll::Pending if gone(cx) => {
                            Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
                        }
                        polled => polled.map_err(io::Error::other),
                    })
                    .await
                }
            };
            let data = match next {
                None => break,
                Some(Err(error)) => {
                    // What there was goes out, so that it can be seen to break off.
                    self.flush(out, Bytes::new(), beat).await?;
                    return Err(error);
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(frame) => {
                        trailers = frame.into_trailers().ok();
                        continue;
                    }
                },
            };
            if data.is_empty() {
                continue;
            }
            match frame {
                Frame::Chunked => ::http1::chunk_size(data.len(), out),
                Frame::Length(_) => {
                    // A body that is longer than it was said to be would be the next answer's head.
                    left = left.checked_sub(data.len() as u64).ok_or_else(wrong_length)?;
                }
                Frame::Nothing | Frame::UntilClose => {}
            }
            if data.len() <= COPIED_MAX {
                out.extend_from_slice(&data);
            } else {
                self.flush(out, data, beat).await?;
            }
            if frame == Frame::Chunked {
                ::http1::chunk_end(out);
            }
            if matches!(frame, Frame::Length(_)) && left == 0 {
                break;
            }
            if out.len() >= GATHERED_MAX {
                self.flush(out, Bytes::new(), beat).await?;
            }
        }
        if left > 0 {
            return Err(wrong_length());
        }
        if frame == Frame::Chunked {
            ::http1::last_chunk(trailers.as_ref(), out);
        }
        self.flush(out, Bytes::new(), beat).await
    }

    /// Writes what is gathered, and `more` behind it.
    async fn flush(
        &mut self,
        out: &mut Vec<u8>,
        mut more: Bytes,
        beat: &mut Beat,
    ) -> io::Result<()> {
        let mut done = 0;
        beat.restart();
        poll_fn(|cx: &mut Context<'_>| -> Poll<io::Result<()>> {
            while done < out.len() || !more.is_empty() {
                let polled = if more.is_empty() {
                    Pin::new(&mut self.0).poll_write(cx, &out[done..])
                } else {
                    let both = [IoSlice::new(&out[done..]), IoSlice::new(&more)];
                    Pin::new(&mut self.0).poll_write_vectored(cx, &both)
                };
                let count = match polled {
                    Poll::Pending if beat.passed(STALLED_BEATS, cx) => {
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(count) => count?,
                };
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                beat.restart();
                let of_out = count.min(out.len() - done);
                done += of_out;
                more.advance(count - of_out);
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        out.clear();
        Ok(())
    }

    /// Says that the body may come.
    pub(super) async fn go_on(&mut self, beat: &mut Beat) -> io::Result<()> {
        let mut line = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
        self.flush(&mut line, Bytes::new(), beat).await
    }
}

fn wrong_length() -> io::Error {
    io::Error::other("the body has another length than its head says")
}

/// How the end of an answer is found. What is known of the body counts more than what its head says
/// of it; what only the head says is held to.
fn frame(parts: &response::Parts, body: &Outgoing, asked: &Asked) -> Frame {
    if asked.head_alone
        || parts.status.is_informational()
        || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    {
        return Frame::Nothing;
    }
    if let Some(length) = body.size_hint().exact() {
        return Frame::Length(length);
    }
    let said = parts.headers.get(header::CONTENT_LENGTH);
    match said.and_then(|length| length.to_str().ok()?.parse().ok()) {
        Some(length) => Frame::Length(length),
        None if asked.modern => Frame::Chunked,
        None => Frame::UntilClose,
    }
}

fn write_head(
    parts: &response::Parts,
    frame: Frame,
    head_alone: Option<u64>,
    asked: &Asked,
    keep_alive: bool,
    out: &mut Vec<u8>,
) {
    ::http1::status_line(parts.status, out);
    let switches = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    // Nothing follows the head of these, so what it says of a length is about another answer.
    let keeps_length = frame == Frame::Nothing
        && head_alone.is_none_or(|length| length == 0)
        && !parts.status.is_informational()
        && parts.status != StatusCode::NO_CONTENT;
    let mut dated = false;
    for (name, value) in &parts.headers {
        if is_framing(name) {
            let kept = *name == header::CONTENT_LENGTH && keeps_length;
            if !kept {
                continue;
            }
        }
        dated |= *name == header::DATE;
        ::http1::field(name, value, out);
    }
    if !dated {
        date(out);
    }
    match frame {
        Frame::Length(length) => {
            ::http1::content_length(length, out);
        }
        Frame::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Frame::Nothing => {
            // The length that the answer to a GET would have; of an upstream's only its head is here.
            if let Some(length) = head_alone.filter(|length| *length > 0) {
                ::http1::content_length(length, out);
            }
        }
        Frame::UntilClose => {}
    }
    if switches {
        out.extend_from_slice(b"connection: upgrade\r\n");
    } else if !keep_alive {
        out.extend_from_slice(b"connection: close\r\n");
    } else if !asked.modern {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// What this hop says itself.
fn is_framing(name: &HeaderName) -> bool {
    *name == header::CONTENT_LENGTH
        || *name == header::TRANSFER_ENCODING
        || *name == header::CONNECTION
}

/// `Date`, made once a second.
fn date(out: &mut Vec<u8>) {
    DATE.with_borrow_mut(|kept| {
        let now = Instant::now();
        let fresh = kept.as_ref().filter(|(made, _)| now - *made < Duration::from_secs(1));
        let date = match fresh {
            Some((_, date)) => date.clone(),
            None => {
                let text = httpdate::fmt_http_date(SystemTime::now());
                let Ok(date) = HeaderValue::try_from(text) else { return };
                *kept = Some((now, date.clone()));
                date
            }
        };
        ::http1::field(&header::DATE, &date, out);
    });
}
