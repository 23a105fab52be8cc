//! One HTTP/1.1 connection: requests one after another, each answered before the next is read.

mod beat;
mod reader;
mod writer;

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use ::http1::{Decoder, Framing, Limits, Refusal, RequestHead};
use http::{Request, Response, StatusCode};
use schemas::{Body, Class, Tunnel};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    sync::oneshot,
};

use self::{
    beat::Beat,
    reader::{Incoming, Reader, Shared, lock},
    writer::{Asked, Writer},
};
use crate::outgoing::Outgoing;

/// Beats for which a connection may say nothing between two requests.
const IDLE_BEATS: u32 = 15;
/// Beats within which a head that has begun must be here.
const HEAD_BEATS: u32 = 2;
/// Beats for which a connection that ends is still listened to, so that its last answer arrives.
const LINGER_BEATS: u32 = 1;
/// Bytes of a body that are read although nobody wants them, so that the connection lives on.
const LEFTOVER_BYTES: usize = 64 << 10;
/// Bytes that are read of a connection that ends.
const LINGER_BYTES: usize = 4 << 20;

/// What a connection is served by.
pub(super) trait Service {
    /// Serves one request. `tunnel` is where the connection will be, should it change protocol.
    fn serve(
        &self,
        request: Request<Body>,
        tunnel: Option<oneshot::Receiver<Tunnel>>,
    ) -> impl Future<Output = Response<Outgoing>>;

    /// The answer to a head that was not read.
    fn refuse(&self, class: Class, detail: &'static str) -> Response<Outgoing>;

    /// Whether the gateway drains.
    fn drains(&self) -> bool;
}

struct Connection<R, W> {
    reader: Shared<R>,
    writer: Writer<W>,
    beat: Beat,
}

/// What came instead of a head.
enum NoHead {
    /// The connection ended, was idle for too long, or the gateway drains.
    Ended,
    Refused(Class, &'static str),
}

/// Serves a connection to its end. `drained` ends when the gateway drains.
pub(super) async fn serve<R, W>(
    read: R,
    write: W,
    limits: &Limits,
    service: &impl Service,
    drained: impl Future<Output = ()>,
) where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let reader = Arc::new(Mutex::new(Reader::new(read)));
    let mut connection = Connection { reader, writer: Writer(write), beat: Beat::new() };
    let mut drained = pin!(drained);
    let mut told = false;
    loop {
        let drains = |cx: &mut Context<'_>| {
            // It is woken for every packet: once it has asked to be woken for a drain, a look at a
            // flag says whether that is why.
            if told && !service.drains() {
                return false;
            }
            told = true;
            drained.as_mut().poll(cx).is_ready()
        };
        let head = match connection.head(limits, drains).await {
            Ok(head) => head,
            Err(NoHead::Ended) => return,
            Err(NoHead::Refused(class, detail)) => {
                let refused = service.refuse(class, detail);
                return connection.refuse(refused).await;
            }
        };
        match connection.exchange(head, service).await {
            Some(Next::Head) if !service.drains() => {}
            Some(Next::Tunnel(give)) => {
                let Connection { reader, writer: Writer(write), .. } = connection;
                // Whoever else held the reader was the request's body, which is gone.
                if let Some(reader) = Arc::into_inner(reader).and_then(|one| one.into_inner().ok())
                {
                    let Reader { io, bytes, .. } = reader;
                    drop(give.send(Tunnel::new(bytes, tokio::io::join(io, write))));
                }
                return;
            }
            Some(Next::Head | Next::Linger) => return connection.linger().await,
            None => return,
        }
    }
}

/// How a connection goes on after an exchange.
enum Next {
    Head,
    Linger,
    Tunnel(oneshot::Sender<Tunnel>),
}

impl<R, W> Connection<R, W>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    /// Reads the next head.
    async fn head(
        &mut self,
        limits: &Limits,
        mut drains: impl FnMut(&mut Context<'_>) -> bool,
    ) -> Result<RequestHead, NoHead> {
        let Self { reader, beat, .. } = self;
        let mut scanned = 0;
        let mut begun = false;
        beat.restart();
        poll_fn(|cx| {
            let mut reader = lock(reader);
            loop {
                if !reader.bytes.is_empty() {
                    if !begun {
                        begun = true;
                        beat.restart();
                    }
                    match ::http1::request(&mut reader.bytes, &mut scanned, limits) {
                        Ok(Some(head)) => return Poll::Ready(Ok(head)),
                        Ok(None) => {}
                        Err(refusal) => {
                            let (class, detail) = said(refusal);
                            return Poll::Ready(Err(NoHead::Refused(class, detail)));
                        }
                    }
                }
                match reader.poll_fill(cx) {
                    Poll::Ready(Ok(count)) if count > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(Err(NoHead::Ended)),
                    Poll::Pending => break,
                }
            }
            if begun {
                if beat.passed(HEAD_BEATS, cx) {
                    let detail = "the head of the request did not arrive in time";
                    let refused = NoHead::Refused(Class::RequestTimeout, detail);
                    return Poll::Ready(Err(refused));
                }
            } else if beat.passed(IDLE_BEATS, cx) || drains(cx) {
                return Poll::Ready(Err(NoHead::Ended));
            }
            Poll::Pending
        })
        .await
    }

    /// Serves one request and writes its answer. `None` if the connection is of no use any more.
    async fn exchange(&mut self, head: RequestHead, service: &impl Service) -> Option<Next> {
        let asked = Asked::of(&head.method, head.version, head.keep_alive);
        let holds_back = head.continues;
        let (give, take) = if head.upgrade {
            let (give, take) = oneshot::channel();
            (Some(give), Some(take))
        } else {
            (None, None)
        };
        let request = self.request(head);
        let response = {
            let mut served = pin!(service.serve(request, take));
            self.served(served.as_mut(), holds_back).await?
        };
        let (parts, mut body) = response.into_parts();
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(give)) = (parts.status, give) {
            let Self { writer, beat, .. } = self;
            writer.answer(parts, &mut body, &asked, beat, |_| false).await.ok()?;
            return Some(Next::Tunnel(give));
        }
        let keep_alive = asked.keep_alive && !service.drains() && self.reads_on(holds_back).await;
        let asked = Asked { keep_alive, ..asked };
        let Self { reader, writer, beat } = self;
        let gone = |cx: &mut Context<'_>| lock(reader).poll_gone(cx);
        let keep_alive = writer.answer(parts, &mut body, &asked, beat, gone).await.ok()?;
        // The record is written here: the last byte has gone.
        drop(body);
        let fit = keep_alive && self.is_read().await;
        Some(if fit { Next::Head } else { Next::Linger })
    }

    /// Makes the request of its head and of what follows.
    fn request(&mut self, head: RequestHead) -> Request<Body> {
        let body = match head.framing {
            Framing::Empty => Body::empty(),
            framing => self.body(framing, head.continues),
        };
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = head.uri;
        *request.version_mut() = head.version;
        *request.headers_mut() = head.headers;
        request
    }

    fn body(&mut self, framing: Framing, holds_back: bool) -> Body {
        let mut reader = lock(&self.reader);
        // A short body comes together with its head, and is whole then.
        if let Framing::Length(length) = framing
            && let Ok(length) = usize::try_from(length)
            && length <= reader.bytes.len()
        {
            return Body::from(reader.bytes.split_to(length).freeze());
        }
        reader.body = Decoder::new(framing);
        reader.serial += 1;
        // Who has sent some of the body already does not wait.
        reader.holds_back = holds_back && reader.bytes.is_empty();
        reader.asked = false;
        let serial = reader.serial;
        drop(reader);
        Body::boxed(Incoming { reader: Arc::clone(&self.reader), serial })
    }

    /// Awaits the answer, tells the caller to send the body once it is asked for, and ends with
    /// `None` if the caller leaves.
    async fn served(
        &mut self,
        mut served: Pin<&mut impl Future<Output = Response<Outgoing>>>,
        holds_back: bool,
    ) -> Option<Response<Outgoing>> {
        enum Turn {
            Answer(Box<Response<Outgoing>>),
            Continue,
            Gone,
        }
        let Self { reader, writer, beat } = self;
        let mut holds_back = holds_back;
        if !holds_back {
            return poll_fn(|cx| match served.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending if lock(reader).poll_gone(cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await;
        }
        loop {
            let turn = poll_fn(|cx| {
                if let Poll::Ready(response) = served.as_mut().poll(cx) {
                    return Poll::Ready(Turn::Answer(Box::new(response)));
                }
                let mut reader = lock(reader);
                if holds_back && reader.asked {
                    return Poll::Ready(Turn::Continue);
                }
                reader.connection = Some(cx.waker().clone());
                if reader.poll_gone(cx) { Poll::Ready(Turn::Gone) } else { Poll::Pending }
            })
            .await;
            match turn {
                Turn::Answer(response) => return Some(*response),
                Turn::Gone => return None,
                Turn::Continue => {
                    holds_back = false;
                    lock(reader).holds_back = false;
                    writer.go_on(beat).await.ok()?;
                }
            }
        }
    }

    /// Whether the request's body has been read, or is still being read by whoever answers. If
    /// nobody wants the rest of it, a little is read here, so that the connection lives on.
    async fn reads_on(&mut self, holds_back: bool) -> bool {
        {
            let reader = lock(&self.reader);
            let ended = reader.body.ended();
            // Whether the caller sends a body that it was never told to send is anybody's guess.
            if reader.broken || (holds_back && reader.holds_back && !ended) {
                return false;
            }
            if ended {
                return true;
            }
        }
        Arc::strong_count(&self.reader) > 1 || self.is_read().await
    }

    /// Whether the request's body is read to its end, and if not, whether the rest is here.
    async fn is_read(&mut self) -> bool {
        let mut limit = LEFTOVER_BYTES;
        let reader = &self.reader;
        poll_fn(|cx| {
            let mut reader = lock(reader);
            // What is read from here on is for nobody.
            let ended = reader.body.ended() || reader.poll_leftover(&mut limit, cx);
            Poll::Ready(ended && !reader.broken)
        })
        .await
    }

    /// Answers a head that was not read, and ends.
    async fn refuse(&mut self, refused: Response<Outgoing>) {
        let (parts, mut body) = refused.into_parts();
        let asked = Asked { head_alone: false, modern: true, keep_alive: false };
        let Self { writer, beat, .. } = self;
        if writer.answer(parts, &mut body, &asked, beat, |_| false).await.is_ok() {
            drop(body);
            self.linger().await;
        }
    }

    /// Ends the connection so that the last answer arrives: a socket that is closed while bytes
    /// are still coming in is reset, and the answer with it (RFC 9112, section 9.6).
    async fn linger(&mut self) {
        if self.writer.0.shutdown().await.is_err() {
            return;
        }
        let Self { reader, beat, .. } = self;
        beat.restart();
        let mut left = LINGER_BYTES;
        poll_fn(|cx| {
            let mut reader = lock(reader);
            loop {
                reader.bytes.clear();
                match reader.poll_fill(cx) {
                    Poll::Ready(Ok(count)) if count > 0 && count < left => left -= count,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending if beat.passed(LINGER_BEATS, cx) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }
}

/// What a caller is told of a head that is not read.
fn said(refusal: Refusal) -> (Class, &'static str) {
    match refusal {
        Refusal::Malformed(what) => (Class::BadRequest, what),
        Refusal::TargetTooLong => (Class::UriTooLong, "the request target is too long"),
        Refusal::TooLarge => (Class::HeadersTooLarge, "the head of the request is too large"),
        Refusal::Version => (Class::BadRequest, "this version of HTTP is not spoken here"),
        Refusal::Coding => (Class::BadRequest, "the only transfer coding that is read is chunked"),
    }
}
