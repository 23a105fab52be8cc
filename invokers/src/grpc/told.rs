//! What a method says, in JSON: a stream message by message, and a status that is no OK.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use schemas::{Body, BodyError, Fault, Later, Reply};
use transcoding::{Binding, Options};

use super::{
    catalog::Loaded,
    exchange::Incoming,
    frame::Reader,
    json::{JSON, broke, joined},
    metadata,
    status::{BROKEN, Code, Status},
};

/// What is needed to print what a method says.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) loaded: Arc<Loaded>,
    pub(super) binding: Binding,
    pub(super) options: Options,
}

impl Told {
    /// A status in JSON, as `google.rpc.Status` is printed; its details are shown where their types
    /// are known.
    fn status(&self, status: &Status) -> Vec<u8> {
        if !status.details.is_empty()
            && let Ok(text) = self.loaded.descriptors.status(&status.details, &self.options)
        {
            return text;
        }
        let said = serde_json::json!({
            "code": status.code as u8,
            "message": status.message,
            "details": [],
        });
        said.to_string().into_bytes()
    }

    /// The answer that a status makes: the function's own error.
    pub(super) fn failure(
        &self,
        status: &Status,
        untouched: bool,
        mut headers: HeaderMap,
        trailers: &HeaderMap,
    ) -> Reply {
        let text = self.status(status);
        metadata::trailers(&mut headers, status, trailers);
        headers.insert(header::CONTENT_TYPE, JSON);
        if let Some(wait) = status.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        let reply = Reply::ok(status.code.http(), headers, Body::from(Bytes::from(text)));
        Reply { verdict: status.verdict(untouched), ..reply }
    }
}

/// How the messages of a stream stand in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A line for each.
    Lines,
    /// Server-sent events.
    Events,
    /// One JSON array.
    Array,
}

impl Form {
    /// What the caller asks for: the first that is known of its Accept header; lines by default.
    pub(super) fn wanted(headers: &HeaderMap) -> Self {
        let accepts =
            headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut words = accepts.flat_map(|text| text.split(','));
        let known = words.find_map(|word| {
            match word.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
                "text/event-stream" => Some(Self::Events),
                "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
                    Some(Self::Lines)
                }
                "application/json" => Some(Self::Array),
                _ => None,
            }
        });
        known.unwrap_or(Self::Lines)
    }

    fn media(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
            Self::Array => "application/json",
        })
    }

    fn message(self, text: &[u8], first: bool) -> Bytes {
        match self {
            Self::Lines => joined(&[text, b"\n"]),
            // A JSON text of one line: the printer makes no line breaks.
            Self::Events => joined(&[b"data: ", text, b"\n\n"]),
            Self::Array => joined(&[if first { b"[" } else { b"," }, text]),
        }
    }

    /// The last record of a stream that failed, which is marked as one.
    fn error(self, text: &[u8], first: bool) -> Bytes {
        match self {
            Self::Lines => joined(&[b"{\"error\":", text, b"}\n"]),
            Self::Events => joined(&[b"event: error\ndata: ", text, b"\n\n"]),
            Self::Array => joined(&[if first { b"[" } else { b"," }, b"{\"error\":", text, b"}]"]),
        }
    }

    fn end(self, first: bool) -> Bytes {
        match self {
            Self::Array if first => Bytes::from_static(b"[]"),
            Self::Array => Bytes::from_static(b"]"),
            Self::Lines | Self::Events => Bytes::new(),
        }
    }
}

/// Makes the reply of a method that streams. It waits for nothing but what is here already: a stream
/// that fails before its first message has a status of its own then.
pub(super) async fn stream(
    answer: Response<Incoming>,
    told: Told,
    max: usize,
    form: Form,
) -> Result<Reply, Fault> {
    let (head, incoming) = answer.into_parts();
    let mut headers = head.headers;
    let reader = Reader::new(max, metadata::is_gzip(&headers));
    let (status, trailers) = match metadata::trailers_only(&mut headers) {
        Some((status, trailers)) => (Some(status), trailers),
        None if head.status != StatusCode::OK => {
            (Some(Status::of_http(head.status)), HeaderMap::new())
        }
        None => (None, HeaderMap::new()),
    };
    metadata::reply(&mut headers);
    let later = Later::default();
    let mut stream = Stream {
        incoming,
        reader,
        told,
        form,
        later: later.clone(),
        first: true,
        ended: status.clone(),
        trailers,
        broken: false,
        over: false,
        ahead: None,
    };
    if let Some(status) = &status {
        later.settle(status.verdict(true));
    } else {
        let next = poll_fn(|cx| Poll::Ready(stream.poll_next(cx))).await;
        if let Poll::Ready(next) = next {
            stream.ahead = Some(next);
        }
    }
    if stream.first
        && let Some(status) = stream.ended.clone()
        && status.code != Code::Ok
    {
        if stream.broken {
            return Err(broke(status.message));
        }
        return Ok(stream.told.failure(&status, true, headers, &stream.trailers));
    }
    headers.insert(header::CONTENT_TYPE, form.media());
    if form == Form::Events {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let reply = Reply::ok(StatusCode::OK, headers, Body::boxed(stream));
    Ok(Reply { later: Some(later), ..reply })
}

/// The messages of an answer as they become text.
#[derive(Debug)]
struct Stream {
    incoming: Incoming,
    reader: Reader,
    told: Told,
    form: Form,
    later: Later,
    /// No message has come yet.
    first: bool,
    /// How it ended, once it has.
    ended: Option<Status>,
    /// What came with the end.
    trailers: HeaderMap,
    /// The status is not the server's own, for its answer cannot be read to its end.
    broken: bool,
    /// The end has been told.
    over: bool,
    /// What was looked at before the head went on.
    ahead: Option<Option<Bytes>>,
}

impl Stream {
    /// The text of the next message; none once the stream has ended.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if self.ended.is_some() {
                return Poll::Ready(None);
            }
            match self.reader.next() {
                Ok(Some(message)) => {
                    match self.told.binding.response(&message, &self.told.options) {
                        Ok(text) => {
                            let piece = self.form.message(&text, self.first);
                            self.first = false;
                            return Poll::Ready(Some(piece));
                        }
                        Err(_) => self.break_off(Status::new(
                            Code::Internal,
                            "the upstream's message does not fit its own descriptor",
                        )),
                    }
                    continue;
                }
                Ok(None) => {}
                Err(bad) => {
                    self.break_off(Status::of_bad(&bad));
                    continue;
                }
            }
            match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.reader.push(&data),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        match Status::read(&trailers) {
                            Some(status) if status.code == Code::Ok => match self.reader.end() {
                                Ok(()) => self.end(status),
                                Err(bad) => self.break_off(Status::of_bad(&bad)),
                            },
                            Some(status) => self.end(status),
                            None => self.break_off(Status::missing()),
                        }
                        self.trailers = trailers;
                    }
                },
                Some(Err(_)) => {
                    self.break_off(Status::new(Code::Unavailable, "the upstream broke off"));
                }
                None => self.break_off(Status::missing()),
            }
        }
    }

    fn end(&mut self, status: Status) {
        self.later.settle(status.verdict(self.first));
        self.ended = Some(status);
    }

    fn break_off(&mut self, status: Status) {
        self.later.settle(BROKEN);
        self.broken = true;
        self.ended = Some(status);
    }
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let next = match this.ahead.take() {
            Some(ahead) => ahead,
            None => ready!(this.poll_next(cx)),
        };
        if let Some(piece) = next {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if this.over {
            return Poll::Ready(None);
        }
        this.over = true;
        let last = match &this.ended {
            Some(status) if status.code != Code::Ok => {
                this.form.error(&this.told.status(status), this.first)
            }
            _ => this.form.end(this.first),
        };
        Poll::Ready((!last.is_empty()).then(|| Ok(Frame::data(last))))
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }
}
