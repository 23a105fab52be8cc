//! One request and its answer on one stream. The request is sent and the answer awaited at once: a
//! server may answer before it has read it all, and with streams both ways it has to.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use schemas::{Body, BodyError, Class, EndpointId, Fault};
use tokio::task::AbortHandle;

use super::{client::Line, connection::Slot, of_body};

/// Bytes of a request that are asked room for at once.
const PIECE: usize = 64 << 10;

/// The body of an answer as it comes in. Dropped before its end, it resets the stream, and the
/// server sees that nobody waits any more.
#[derive(Debug)]
pub(super) struct Incoming {
    stream: Option<RecvStream>,
    /// Whether all data has come, so that the trailers are next.
    data_over: bool,
    /// Sends what is left of the request, and ends with the answer.
    pump: Option<Pump>,
    /// Given back with the stream.
    slot: Option<Slot>,
}

#[derive(Debug)]
struct Pump(AbortHandle);

impl Drop for Pump {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends a request once.
///
/// # Errors
/// [`schemas::Ran::No`] where the server promises that it has not looked at the stream.
pub(super) async fn send(
    line: Line,
    request: Request<()>,
    body: Body,
) -> Result<Response<Incoming>, Fault> {
    let Line { id, mut requests, slot, .. } = line;
    let whole = body.whole();
    let empty = whole.as_ref().is_some_and(Bytes::is_empty);
    let (mut response, mut stream) =
        requests.send_request(request, empty).map_err(|error| unsent(error).at(id))?;
    let mut rest = None;
    match whole {
        Some(bytes) if !bytes.is_empty() => {
            stream.send_data(bytes, true).map_err(|error| broke(error, id))?;
        }
        Some(_) => {}
        None => rest = Some(Sending { stream, body, piece: Bytes::new() }),
    }
    let response = poll_fn(|cx| {
        if let Some(sending) = &mut rest
            && let Poll::Ready(sent) = sending.poll(cx)
        {
            rest = None;
            if let Err(error) = sent {
                return Poll::Ready(Err(of_body(error).maybe().at(id)));
            }
        }
        pin!(&mut response).poll(cx).map_err(|error| broke(error, id))
    })
    .await?;
    let pump = rest.map(|mut sending| {
        // What goes wrong resets the stream, and so shows in the answer.
        let pump = tokio::spawn(async move { drop(poll_fn(|cx| sending.poll(cx)).await) });
        Pump(pump.abort_handle())
    });
    Ok(response.map(|stream| Incoming::new(stream, pump, slot)))
}

/// A request's body on its way out.
struct Sending {
    stream: SendStream<Bytes>,
    body: Body,
    piece: Bytes,
}

impl Sending {
    /// Sends on, as fast as the server takes it. Ready once all is sent, or nothing more can be.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        loop {
            while !self.piece.is_empty() {
                self.stream.reserve_capacity(self.piece.len().min(PIECE));
                match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(0)) => {}
                    Some(Ok(room)) => {
                        let piece = self.piece.split_to(room.min(self.piece.len()));
                        if self.stream.send_data(piece, false).is_err() {
                            return Poll::Ready(Ok(()));
                        }
                    }
                    // The server wants no more of it; its answer says why.
                    Some(Err(_)) | None => return Poll::Ready(Ok(())),
                }
            }
            // A server that resets the stream is seen although the caller says nothing.
            if self.stream.poll_reset(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                // A gRPC request has no trailers.
                Some(Ok(frame)) => self.piece = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Err(error));
                }
                None => {
                    drop(self.stream.send_data(Bytes::new(), true));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl Incoming {
    fn new(stream: RecvStream, pump: Option<Pump>, slot: Slot) -> Self {
        // Of a stream that has ended already nothing is left to hold a place for.
        if stream.is_end_stream() && pump.is_none() {
            return Self { stream: None, data_over: true, pump: None, slot: None };
        }
        Self { stream: Some(stream), data_over: false, pump, slot: Some(slot) }
    }

    fn end(&mut self) {
        self.stream = None;
        self.pump = None;
        self.slot = None;
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
        let Some(stream) = &mut this.stream else { return Poll::Ready(None) };
        let failed = loop {
            if this.data_over {
                match ready!(stream.poll_trailers(cx)) {
                    Ok(trailers) => {
                        this.end();
                        return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                    }
                    Err(error) => break error,
                }
            }
            match ready!(stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Whoever asks has room for it, so the server may send as much again.
                    if let Err(error) = stream.flow_control().release_capacity(data.len()) {
                        break error;
                    }
                    if data.is_empty() {
                        continue;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => break error,
                None => this.data_over = true,
            }
        };
        this.end();
        Poll::Ready(Some(Err(BodyError::Broken(failed.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.stream {
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(0),
        }
    }
}

/// Whether the server promises that it has not looked at the stream: it was above the last one that
/// a GOAWAY names, or refused by name (RFC 9113, sections 6.8 and 8.7).
fn is_refused(error: &h2::Error) -> bool {
    error.is_remote()
        && (error.is_go_away()
            || error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM))
}

/// The stream was not opened.
fn unsent(error: h2::Error) -> Fault {
    let what = "the upstream closed the connection before it took the request";
    Fault::new(Class::ConnectFailed, what).because(error)
}

/// The stream was opened, and there is no answer.
fn broke(error: h2::Error, id: EndpointId) -> Fault {
    let fault = if is_refused(&error) {
        Fault::new(Class::ConnectFailed, "the upstream refused the request unseen")
    } else if error.reason() == Some(Reason::ENHANCE_YOUR_CALM) {
        Fault::new(Class::Throttled, "the upstream asks for fewer requests").maybe()
    } else {
        let what = "the upstream broke off before it answered";
        Fault::new(Class::UpstreamProtocol, what).maybe()
    };
    fault.because(error).at(id)
}
