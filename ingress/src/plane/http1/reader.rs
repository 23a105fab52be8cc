//! What a connection reads: heads for the connection itself, and bodies for whoever serves their
//! requests.

use std::{
    fmt, io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use ::http1::{Decoder, Step};
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use schemas::BodyError;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes that are read at once, at first.
const READ_BYTES: usize = 4 << 10;
/// Bytes that are read at once when a body is long.
const READ_BYTES_MAX: usize = 64 << 10;
/// Bytes that are read ahead of the request that is being served.
const AHEAD_MAX: usize = 16 << 10;

/// The reading half of a connection.
#[derive(Debug)]
pub(super) struct Reader<R> {
    pub(super) io: R,
    /// What was read and not yet used.
    pub(super) bytes: BytesMut,
    /// The body of the request that is being served.
    pub(super) body: Decoder,
    /// Which request that is; the handle on an earlier one's body reads nothing.
    pub(super) serial: u64,
    /// Bytes that the next read makes room for.
    room: usize,
    /// The body broke off or is malformed, so that no other request can follow.
    pub(super) broken: bool,
    /// The caller waits for 100 (Continue) before it sends the body.
    pub(super) holds_back: bool,
    /// The body was asked for, and it is held back.
    pub(super) asked: bool,
    /// The connection's task, which writes the 100.
    pub(super) connection: Option<Waker>,
}

/// The reader, shared between a connection and the body that is being read from it. Both live on
/// one core and nearly always in one task, so nobody ever waits for the lock.
pub(super) type Shared<R> = Arc<Mutex<Reader<R>>>;

pub(super) fn lock<R>(reader: &Mutex<Reader<R>>) -> MutexGuard<'_, Reader<R>> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(io: R) -> Self {
        Self {
            io,
            bytes: BytesMut::new(),
            body: Decoder::default(),
            serial: 0,
            room: READ_BYTES,
            broken: false,
            holds_back: false,
            asked: false,
            connection: None,
        }
    }

    /// Reads more; ready with 0 at the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.bytes.capacity() - self.bytes.len() < self.room / 4 {
            self.bytes.reserve(self.room);
        }
        let room = self.bytes.capacity() - self.bytes.len();
        let read = ready!(pin!(self.io.read_buf(&mut self.bytes)).poll(cx));
        if read.as_ref().is_ok_and(|count| *count == room) {
            self.room = (self.room * 2).min(READ_BYTES_MAX);
        }
        Poll::Ready(read)
    }

    /// Whether the caller has left. Asked while its request is served, and answered only once the
    /// request's body has been read: before that, whoever reads the body finds out.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> bool {
        while self.body.ended() && self.bytes.len() < AHEAD_MAX {
            match self.poll_fill(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(0) | Err(_)) => return true,
                Poll::Ready(Ok(_)) => {}
            }
        }
        false
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let step = match self.body.step(&mut self.bytes) {
                Ok(step) => step,
                Err(malformed) => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, malformed);
                    return self.break_off(error);
                }
            };
            match step {
                Step::Data(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Step::Trailers(map) => return Poll::Ready(Some(Ok(Frame::trailers(map)))),
                Step::End => {
                    self.room = READ_BYTES;
                    return Poll::Ready(None);
                }
                Step::More => {}
            }
            if self.holds_back && !self.asked {
                self.asked = true;
                if let Some(connection) = self.connection.take() {
                    connection.wake();
                }
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) => return self.break_off(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) => return self.break_off(error),
            }
        }
    }

    fn break_off(&mut self, error: io::Error) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.broken = true;
        self.body = Decoder::default();
        Poll::Ready(Some(Err(BodyError::Broken(error.into()))))
    }

    /// Reads what is left of a body that nobody wants, as far as it is here and at most `limit`
    /// bytes. True if it has ended.
    pub(super) fn poll_leftover(&mut self, limit: &mut usize, cx: &mut Context<'_>) -> bool {
        loop {
            match self.body.step(&mut self.bytes) {
                Ok(Step::Data(data)) => match limit.checked_sub(data.len()) {
                    Some(left) => *limit = left,
                    None => return false,
                },
                Ok(Step::More) => match self.poll_fill(cx) {
                    Poll::Ready(Ok(count)) if count > 0 => {}
                    _ => return false,
                },
                Ok(Step::Trailers(_) | Step::End) => return true,
                Err(_) => {
                    self.broken = true;
                    return false;
                }
            }
        }
    }
}

/// A request's body as it comes in.
pub(super) struct Incoming<R> {
    pub(super) reader: Shared<R>,
    pub(super) serial: u64,
}

impl<R> fmt::Debug for Incoming<R> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Incoming").field("serial", &self.serial).finish_non_exhaustive()
    }
}

impl<R: AsyncRead + Unpin> http_body::Body for Incoming<R> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut reader = lock(&self.reader);
        if reader.serial == self.serial { reader.poll_body(cx) } else { Poll::Ready(None) }
    }

    fn is_end_stream(&self) -> bool {
        let reader = lock(&self.reader);
        // A body that broke off has not ended: whoever asks must still be told.
        reader.serial != self.serial || (reader.body.ended() && !reader.broken)
    }

    fn size_hint(&self) -> SizeHint {
        let reader = lock(&self.reader);
        let left = if reader.serial == self.serial { reader.body.left() } else { Some(0) };
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
