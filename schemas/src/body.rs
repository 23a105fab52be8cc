//! The data of an event, a request or a reply: whole in memory, or a stream that passes once.

use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

/// Data on its way. A whole body can be sent again; a stream passes once, with back-pressure, and
/// is never gathered but by [`Body::collect`].
pub struct Body(Inner);

enum Inner {
    Empty,
    Whole(Bytes),
    /// From a connection of HTTP/1.1 that hyper reads: one of the control plane.
    Incoming(Incoming),
    /// From a stream of HTTP/2 that hyper reads.
    Http2(Incoming),
    Boxed(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>),
}

/// Why a body stopped.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the limit.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// No byte for as long as the route allows.
    #[error("no byte of the body for {millis} ms")]
    Idle {
        /// The limit in milliseconds.
        millis: u64,
    },
    /// Too few bytes in too long a time.
    #[error("the body came at less than {bytes_per_second} bytes a second")]
    Slow {
        /// What it must bring at least.
        bytes_per_second: u64,
    },
    /// The other side broke off, or what it sent is no valid body.
    #[error("the body broke off")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
}

impl Body {
    /// A body of no bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Inner::Empty)
    }

    /// A stream that is no connection's own body.
    pub fn boxed<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        Self(Inner::Boxed(Box::pin(body)))
    }

    /// The body of a message that hyper reads.
    #[must_use]
    pub fn incoming(body: Incoming) -> Self {
        use http_body::Body as _;
        Self(if body.is_end_stream() { Inner::Empty } else { Inner::Incoming(body) })
    }

    /// The body of a request over HTTP/2 that hyper reads.
    ///
    /// A stream that its sender resets with `NO_ERROR` ends well for hyper, as the reset of a server
    /// that has answered does (RFC 9113, section 8.1). Half a request would look like a whole one.
    #[must_use]
    pub fn http2(body: Incoming) -> Self {
        use http_body::Body as _;
        Self(if body.is_end_stream() { Inner::Empty } else { Inner::Http2(body) })
    }

    /// The bytes, if all of them are here.
    #[must_use]
    pub fn whole(&self) -> Option<Bytes> {
        match &self.0 {
            Inner::Empty => Some(Bytes::new()),
            Inner::Whole(bytes) => Some(bytes.clone()),
            Inner::Incoming(_) | Inner::Http2(_) | Inner::Boxed(_) => None,
        }
    }

    /// The same body once more, if all of it is here.
    #[must_use]
    pub fn again(&self) -> Option<Self> {
        self.whole().map(Self::from)
    }

    /// Gathers the body into memory, up to `limit` bytes. The only place in the program that holds
    /// a whole body. Trailers are dropped.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] as soon as the body is known to be larger, before it is read where
    /// its length was declared; [`BodyError::Broken`] when the sender broke off.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, BodyError> {
        use http_body::Body as _;
        if let Some(bytes) = self.whole() {
            return if bytes.len() > limit {
                Err(BodyError::TooLarge { limit })
            } else {
                Ok(bytes)
            };
        }
        if self.size_hint().lower() > limit as u64 {
            return Err(BodyError::TooLarge { limit });
        }
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(frame) =
            std::future::poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await.transpose()?
        {
            let Ok(data) = frame.into_data() else { continue };
            if first.len() + rest.len() + data.len() > limit {
                return Err(BodyError::TooLarge { limit });
            }
            if first.is_empty() {
                first = data; // One frame is the common case, and needs no copy.
            } else {
                rest.extend_from_slice(&data);
            }
        }
        if rest.is_empty() {
            return Ok(first);
        }
        let mut all = BytesMut::with_capacity(first.len() + rest.len());
        all.extend_from_slice(&first);
        all.extend_from_slice(&rest);
        Ok(all.freeze())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(if bytes.is_empty() { Inner::Empty } else { Inner::Whole(bytes) })
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Empty => out.write_str("Body(empty)"),
            Inner::Whole(bytes) => write!(out, "Body({} bytes)", bytes.len()),
            Inner::Incoming(_) | Inner::Http2(_) | Inner::Boxed(_) => out.write_str("Body(stream)"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Inner::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Inner::Incoming(body) => {
                Pin::new(body).poll_frame(cx).map_err(|error| BodyError::Broken(error.into()))
            }
            Inner::Http2(body) => match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                Some(frame) => {
                    Poll::Ready(Some(frame.map_err(|error| BodyError::Broken(error.into()))))
                }
                None if body.is_end_stream() => Poll::Ready(None),
                None => {
                    let error = io::Error::from(io::ErrorKind::UnexpectedEof);
                    Poll::Ready(Some(Err(BodyError::Broken(error.into()))))
                }
            },
            Inner::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Whole(_) => false,
            Inner::Incoming(body) | Inner::Http2(body) => body.is_end_stream(),
            Inner::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Incoming(body) | Inner::Http2(body) => body.size_hint(),
            Inner::Boxed(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A stream of these frames that declares a length or none.
    struct Frames(VecDeque<Frame<Bytes>>, Option<u64>);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }

        fn size_hint(&self) -> SizeHint {
            self.1.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }

    fn stream(frames: &[&'static str], length: Option<u64>) -> Body {
        let frames = frames.iter().map(|data| Frame::data(Bytes::from_static(data.as_bytes())));
        let end = Frame::trailers(http::HeaderMap::new());
        Body::boxed(Frames(frames.chain([end]).collect(), length))
    }

    #[tokio::test]
    async fn a_stream_is_gathered_up_to_the_limit_and_not_sent_again() {
        assert!(stream(&["a"], None).again().is_none());
        for frames in [&["hello"][..], &["", "he", "", "llo"], &["h", "e", "l", "l", "o"]] {
            assert_eq!(stream(frames, None).collect(5).await.unwrap(), "hello");
            let over = stream(frames, None).collect(4).await;
            assert!(matches!(over, Err(BodyError::TooLarge { limit: 4 })));
        }
        assert_eq!(stream(&[], None).collect(0).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_declared_length_over_the_limit_is_refused_before_a_byte_is_read() {
        let over = stream(&[], Some(6)).collect(5).await;
        assert!(matches!(over, Err(BodyError::TooLarge { limit: 5 })));
    }

    #[tokio::test]
    async fn a_whole_body_is_sent_again_and_over_the_limit_is_refused() {
        let body = Body::from(Bytes::from_static(b"hello"));
        assert_eq!(body.again().unwrap().collect(5).await.unwrap(), "hello");
        assert!(matches!(body.collect(4).await, Err(BodyError::TooLarge { limit: 4 })));
        assert_eq!(Body::empty().collect(0).await.unwrap(), "");
    }
}
