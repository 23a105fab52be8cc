//! Answers that a function writes piece by piece (InvokeWithResponseStream): frames of
//! `application/vnd.amazon.eventstream`, and in them, where the function says so, status and headers
//! in front of the body (`application/vnd.awslambda.http-integration-response`).

use std::{
    future::poll_fn,
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::Message;
use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use schemas::{Body, BodyError, Fault, Reply};
use serde::Deserialize;

use super::{refusal, reply, reply::Reading};
use crate::client::Answered;

/// Bytes of one frame; a piece of an answer is at most 6 MiB.
const FRAME_BYTES_MAX: usize = 8 << 20;
/// Bytes of the least frame: two lengths and two sums.
const FRAME_BYTES_MIN: usize = 16;
/// Bytes in front of a body within which its head ends, as API Gateway has it.
const PRELUDE_BYTES_MAX: usize = 16 << 10;
/// What stands between head and body.
const DELIMITER: [u8; 8] = [0; 8];

const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
const INTEGRATION: &str = "application/vnd.awslambda.http-integration-response";
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Makes the answer of a stream. Its body goes on coming.
///
/// # Errors
/// If it is no such stream, or breaks off before there is an answer: the function has run.
pub(super) async fn read(answered: Answered, reading: Reading) -> Result<Reply, Fault> {
    let media = answered.headers.get(header::CONTENT_TYPE).cloned();
    let is = |what: &str| {
        let media = media.as_ref().and_then(|media| media.to_str().ok()).unwrap_or_default();
        media.trim_start().starts_with(what)
    };
    let own = media.clone().filter(|_| !is(EVENT_STREAM) && !is(INTEGRATION)).unwrap_or(OCTETS);
    let mut pieces = Pieces::new(answered.body);
    let mut ahead = BytesMut::new();
    let mut looking = reading.envelope;
    while looking || ahead.is_empty() {
        match poll_fn(|cx| pieces.poll_piece(cx)).await {
            Ok(Some(piece)) => ahead.extend_from_slice(&piece),
            Ok(None) => break,
            Err(Broke::Failed(failure)) => return Ok(refusal::failed(&failure)),
            Err(Broke::Body(error)) => {
                let fault = reply::odd("its stream broke off or is malformed".to_owned());
                return Err(fault.because(reply::cut(&error)));
            }
        }
        let found = ahead.windows(DELIMITER.len()).position(|eight| eight == DELIMITER);
        if let Some(end) = found.filter(|_| looking) {
            let head = ahead.split_to(end);
            ahead.advance(DELIMITER.len());
            let (status, headers) = reply::prelude(&head)?;
            return Ok(streamed(status, headers, ahead.freeze(), pieces));
        }
        let may_begin = ahead.first().is_none_or(|first| *first == b'{' || is(INTEGRATION));
        looking &= may_begin && ahead.len() <= PRELUDE_BYTES_MAX;
    }
    if is(INTEGRATION) && reading.envelope {
        return Err(reply::odd("its stream has no status in front of its body".to_owned()));
    }
    // A function that streams nothing has returned its value in one piece.
    if pieces.complete && looking {
        return reading.read(ahead.freeze());
    }
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::CONTENT_TYPE, own);
    Ok(streamed(StatusCode::OK, headers, ahead.freeze(), pieces))
}

fn streamed(status: StatusCode, headers: HeaderMap, ahead: Bytes, pieces: Pieces) -> Reply {
    let body = Body::boxed(Pieces { ahead, ..pieces });
    Reply { data: body, ..reply::answer(status, headers, Bytes::new()) }
}

/// The pieces of an answer.
#[derive(Debug)]
struct Pieces {
    body: Body,
    /// What has come of the next frame.
    bytes: BytesMut,
    /// What was read of the answer's body while its head was looked for.
    ahead: Bytes,
    /// The function has said that this is all.
    complete: bool,
}

/// Why there is no more.
enum Broke {
    /// The function has failed; what it says of it.
    Failed(Bytes),
    Body(BodyError),
}

/// What the last frame says.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Complete {
    error_code: Option<String>,
    error_details: Option<String>,
}

impl Pieces {
    fn new(body: Body) -> Self {
        Self { body, bytes: BytesMut::new(), ahead: Bytes::new(), complete: false }
    }

    /// The next piece; none at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Broke>> {
        loop {
            if self.complete {
                return Poll::Ready(Ok(None));
            }
            while let Some(message) = self.message()? {
                match self.take(&message)? {
                    Some(piece) if piece.is_empty() => {}
                    Some(piece) => return Poll::Ready(Ok(Some(piece))),
                    None => return Poll::Ready(Ok(None)),
                }
            }
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            match frame.transpose().map_err(Broke::Body)? {
                Some(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.bytes.extend_from_slice(&data);
                    }
                }
                None => return Poll::Ready(Err(malformed("it ended before it was complete"))),
            }
        }
    }

    /// The next frame, if all of it is here.
    fn message(&mut self) -> Result<Option<Message>, Broke> {
        let Some(length) = self.bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)) else {
            return Ok(None);
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&length) {
            return Err(malformed("a frame has an impossible length"));
        }
        if self.bytes.len() < length {
            return Ok(None);
        }
        let frame = self.bytes.split_to(length).freeze();
        read_message_from(frame).map(Some).map_err(|error| {
            Broke::Body(BodyError::Broken(io::Error::new(io::ErrorKind::InvalidData, error).into()))
        })
    }

    /// What a frame brings: a piece, perhaps an empty one, or the end.
    fn take(&mut self, message: &Message) -> Result<Option<Bytes>, Broke> {
        let header = |name: &str| {
            let found = message.headers().iter().find(|header| header.name().as_str() == name);
            found.and_then(|header| header.value().as_string().ok()).map(|text| text.as_str())
        };
        match (header(":message-type"), header(":event-type")) {
            (Some("event"), Some("PayloadChunk")) => Ok(Some(message.payload().clone())),
            (Some("event"), Some("InvokeComplete")) => {
                let end: Complete = serde_json::from_slice(message.payload()).unwrap_or_default();
                let Some(code) = end.error_code else {
                    self.complete = true;
                    return Ok(None);
                };
                let said = serde_json::json!({
                    "errorType": code,
                    "errorMessage": end.error_details.unwrap_or_default(),
                });
                // The details are the function's own error where they are one.
                let own = said["errorMessage"].as_str().filter(|text| text.starts_with('{'));
                let own = own.map(|text| Bytes::from(text.to_owned()));
                Err(Broke::Failed(own.unwrap_or_else(|| Bytes::from(said.to_string()))))
            }
            // What is to come one day is no reason to break off.
            (Some("event"), _) => Ok(Some(Bytes::new())),
            _ => Err(malformed("the platform broke it off")),
        }
    }
}

fn malformed(what: &'static str) -> Broke {
    Broke::Body(BodyError::Broken(io::Error::new(io::ErrorKind::InvalidData, what).into()))
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.ahead.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.ahead)))));
        }
        Poll::Ready(match ready!(self.poll_piece(cx)) {
            Ok(Some(piece)) => Some(Ok(Frame::data(piece))),
            Ok(None) => None,
            Err(Broke::Body(error)) => Some(Err(error)),
            // The answer has begun, so that its breaking off is all that can be said.
            Err(Broke::Failed(_)) => {
                let what = io::Error::other("the function failed after its answer had begun");
                Some(Err(BodyError::Broken(what.into())))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.complete && self.ahead.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.complete {
            SizeHint::with_exact(self.ahead.len() as u64)
        } else {
            SizeHint::default()
        }
    }
}

#[cfg(test)]
mod tests;
