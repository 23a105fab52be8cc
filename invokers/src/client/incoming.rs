//! The body of a response as it comes in, and what becomes of its connection at the end.

use std::{
    fmt, io,
    pin::Pin,
    sync::Weak,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http1::{Decoder, Framing, Step};
use schemas::BodyError;
use tokio::{
    io::{ReadHalf, WriteHalf},
    task::JoinHandle,
};

use super::{
    exchange::{Connection, poll_fill},
    pool::Pool,
    stream::Stream,
};

/// A body. Its connection goes back to the pool with the last byte; dropped before, it is closed.
pub(super) struct Incoming {
    source: Option<Source>,
    decoder: Decoder,
    keep_alive: bool,
}

/// Where a body comes from.
pub(super) enum Source {
    /// The request has been sent: the connection is the body's alone.
    Own(Box<Connection>),
    /// The request is still being sent by a task, which ends with the body.
    Half(Box<Half>),
}

/// The reading half of a connection on which a request is still being sent.
pub(super) struct Half {
    pub(super) read: ReadHalf<Stream>,
    pub(super) bytes: BytesMut,
    pub(super) room: usize,
    /// Ends with the writing half once all is sent.
    pub(super) pump: JoinHandle<Option<WriteHalf<Stream>>>,
    pub(super) home: Weak<Pool>,
    pub(super) used: u32,
}

impl Half {
    /// The whole connection, if the request has been sent by now.
    fn join(self, cx: &mut Context<'_>) -> Option<Box<Connection>> {
        let Self { read, bytes, mut pump, home, used, .. } = self;
        match Pin::new(&mut pump).poll(cx) {
            Poll::Ready(Ok(Some(write))) => {
                let stream = read.unsplit(write);
                Some(Box::new(Connection { bytes, ..Connection::new(stream, home, used) }))
            }
            Poll::Ready(_) => None,
            Poll::Pending => {
                pump.abort();
                None
            }
        }
    }
}

impl Incoming {
    pub(super) fn new(source: Source, framing: Framing, keep_alive: bool) -> Self {
        Self { source: Some(source), decoder: Decoder::new(framing), keep_alive }
    }

    /// The body is over: the connection is free, or of no use.
    fn end(&mut self, whole: bool) {
        match self.source.take() {
            Some(Source::Own(connection)) => connection.put_back(whole && self.keep_alive),
            Some(Source::Half(half)) => {
                if let Some(connection) = half.join(&mut Context::from_waker(Waker::noop())) {
                    connection.put_back(whole && self.keep_alive);
                }
            }
            None => {}
        }
    }

    fn break_off(&mut self, error: io::Error) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.end(false);
        Poll::Ready(Some(Err(BodyError::Broken(error.into()))))
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Incoming").field("decoder", &self.decoder).finish_non_exhaustive()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.end(false);
    }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            let step = {
                let bytes = match &mut this.source {
                    Some(Source::Own(connection)) => &mut connection.bytes,
                    Some(Source::Half(half)) => &mut half.bytes,
                    None => return Poll::Ready(None),
                };
                this.decoder.step(bytes)
            };
            match step {
                Ok(Step::Data(data)) => {
                    if this.decoder.ended() {
                        this.end(true);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Step::Trailers(map)) => {
                    this.end(true);
                    return Poll::Ready(Some(Ok(Frame::trailers(map))));
                }
                Ok(Step::End) => {
                    this.end(true);
                    return Poll::Ready(None);
                }
                Ok(Step::More) => {}
                Err(malformed) => {
                    return this.break_off(io::Error::new(io::ErrorKind::InvalidData, malformed));
                }
            }
            let filled = match &mut this.source {
                Some(Source::Own(connection)) => ready!(connection.poll_fill(cx)),
                Some(Source::Half(half)) => {
                    ready!(poll_fill(&mut half.read, &mut half.bytes, &mut half.room, cx))
                }
                None => return Poll::Ready(None),
            };
            match filled {
                Ok(0) => {
                    return match this.decoder.close() {
                        Ok(()) => {
                            this.end(false);
                            Poll::Ready(None)
                        }
                        Err(cut) => {
                            this.break_off(io::Error::new(io::ErrorKind::UnexpectedEof, cut))
                        }
                    };
                }
                Ok(_) => {}
                Err(error) => return this.break_off(error),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.decoder.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
