//! JSON in front of a method: an HTTP request becomes its messages, and its messages become the
//! answer.

use std::{future::poll_fn, mem, pin::Pin};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, uri::PathAndQuery};
use http_body::Body as _;
use schemas::{
    Attributes, Body, Call, Class, Context, Fault, Format, Reply, Verdict, Violation, cloudevents,
};
use transcoding::{Binding, Capture, Place, Request};

use super::{
    Lane,
    catalog::Loaded,
    event,
    exchange::{self, Incoming},
    frame::{Reader, framed},
    lines::Lines,
    metadata, of_bad,
    status::{Code, Status},
    told::{self, Form, Told},
};

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The text of a message may be so much longer than the message.
const TEXT_PER_BYTE: usize = 4;

/// A method as a request means it.
pub(super) struct Meant<'a> {
    pub(super) binding: &'a Binding,
    pub(super) captures: Vec<Capture<'a>>,
    pub(super) query: &'a str,
}

impl Meant<'_> {
    /// The message of a JSON text.
    pub(super) fn message(
        &self,
        body: &[u8],
        options: &transcoding::Options,
    ) -> Result<Bytes, transcoding::Violation> {
        let Self { binding, captures, query } = self;
        binding.request(&Request { body, captures, query }, options)
    }
}

/// Calls the method that the request means.
pub(super) async fn call(lane: &Lane, mut call: Call) -> Result<Reply, Fault> {
    let target = &lane.target;
    target.catalog.keep(&target.service, &lane.tools);
    let loaded = target.catalog.get(call.deadline).await?;
    let is_event = matches!(call.event.context, Context::Event(..));
    match &call.event.context {
        Context::Event(attributes, _) if matches!(call.format, Format::Message | Format::Auto) => {
            cloudevents::write_binary(attributes, &mut call.head.headers);
        }
        _ => cloudevents::remove_binary(&mut call.head.headers),
    }
    let uri = call.head.uri.clone();
    let parameters = mem::take(&mut call.parameters);
    let meant = match find(&loaded, &call, uri.path(), uri.query(), &parameters) {
        Ok(meant) => meant,
        Err(fault) => {
            target.catalog.ring();
            return Err(fault);
        }
    };
    let method = meant.binding.method();
    let (sends, tells) = (method.client_streaming, method.server_streaming);
    if is_event && (sends || tells) {
        let what = "an event is one message for one answer, and the method streams";
        return Err(Fault::new(Class::Unprocessable, what).code("method_streams"));
    }
    let path = PathAndQuery::try_from(method.path.as_str()).map_err(|error| {
        Fault::new(Class::Internal, "the method's name is no path").because(error)
    })?;
    let form = Form::wanted(&call.head.headers);
    let options = &target.options;
    let text_max = target.max_message.saturating_mul(TEXT_PER_BYTE);
    let body = if sends {
        let body = mem::take(&mut call.event.data);
        Body::boxed(Lines::new(body, &meant, options, text_max))
    } else {
        let text = text(mem::take(&mut call.event.data), text_max).await?;
        let message = match call.event.attributes() {
            Some(attributes) if call.format == Format::Structured => {
                structured(&meant, attributes, &text, target.max_message)?
            }
            _ => meant.message(&text, options).map_err(|violation| refused(&violation))?,
        };
        // Should the call come back unsent, it comes back as it came.
        call.event.data = Body::from(text);
        Body::from(framed(&message))
    };
    let line = match lane.client.open(call.avoid, call.deadline).await {
        Ok(line) => line,
        Err(fault) if sends => return Err(fault),
        Err(fault) => {
            call.parameters = parameters;
            return Err(fault.unsent(call));
        }
    };
    let id = line.id;
    let mut request = lane.request(&line, path)?;
    *request.headers_mut() = mem::take(&mut call.head.headers);
    metadata::request(request.headers_mut());
    if !sends && !tells {
        metadata::timeout(request.headers_mut(), call.deadline);
    }
    let answer = exchange::send(line, request, body).await?;
    let told =
        Told { loaded: loaded.clone(), binding: meant.binding.clone(), options: options.clone() };
    let reply = if tells {
        told::stream(answer, told, target.max_message, form).await
    } else {
        one(answer, &told, target.max_message).await
    };
    let reply = reply.map_err(|fault| fault.at(id))?;
    if matches!(reply.verdict, Verdict::Failed { class: Class::FunctionNotDeployed, .. }) {
        // The service may have changed.
        target.catalog.ring();
    }
    Ok(Reply { endpoint: Some(id), ..reply })
}

/// Finds the method: the one that the address names, or the one whose rule the request fits.
fn find<'a>(
    loaded: &'a Loaded,
    call: &Call,
    path: &'a str,
    query: Option<&'a str>,
    parameters: &'a [(String, String)],
) -> Result<Meant<'a>, Fault> {
    let plain = !matches!(call.event.context, Context::Event(..));
    let query = query.filter(|_| plain).unwrap_or_default();
    if !call.function.is_empty() {
        let Some(binding) = loaded.method(&call.function) else {
            let what = "the upstream has no such method";
            return Err(Fault::new(Class::FunctionNotDeployed, what));
        };
        let captures = parameters
            .iter()
            .map(|(name, text)| Capture { field: name.into(), text: text.into() })
            .collect();
        return Ok(Meant { binding, captures, query });
    }
    let method = call.head.method.as_str();
    if let Some(found) = loaded.rules.find(method, path) {
        return Ok(Meant { binding: found.binding, captures: found.captures, query });
    }
    let allowed = loaded.rules.allowed(path);
    Err(if allowed.is_empty() {
        let what = "no method of the upstream has a rule for this path";
        Fault::new(Class::NotFound, what).code("no_method")
    } else {
        let what = format!("this path is for {}", allowed.join(", "));
        Fault::new(Class::MethodNotAllowed, what)
    })
}

/// The message of an event for a method that takes events.
fn structured(
    meant: &Meant<'_>,
    attributes: &Attributes,
    data: &[u8],
    max: usize,
) -> Result<Bytes, Fault> {
    let method = meant.binding.method();
    if method.input != event::CLOUD_EVENT {
        let what = format!(
            "the method takes {}, and no event; send it the data alone, as `format: message` does",
            method.input
        );
        return Err(Fault::new(Class::Unprocessable, what).code("method_takes_no_event"));
    }
    let message = event::message(attributes, data);
    if message.len() > max {
        let what = format!("a message of {} bytes is larger than {max}", message.len());
        return Err(Fault::new(Class::TooLarge, what).code("message_too_large"));
    }
    Ok(message.into())
}

/// All of a request's text.
async fn text(body: Body, max: usize) -> Result<Bytes, Fault> {
    body.collect(max).await.map_err(super::of_body)
}

/// What a caller is told of a message that cannot be made.
pub(super) fn refused(violation: &transcoding::Violation) -> Fault {
    let (line, column) = match violation.place {
        Place::Body { line, column } => (Some(line), Some(column)),
        Place::Path | Place::Query => (None, None),
    };
    let place = match violation.place {
        Place::Body { .. } => "body",
        Place::Path => "path",
        Place::Query => "query",
    };
    Fault::new(Class::BadRequest, violation.to_string()).code("invalid_message").violates(
        Violation {
            place,
            field: violation.field.clone(),
            detail: violation.problem.clone(),
            line,
            column,
        },
    )
}

/// Reads the one message of an answer, and its end.
async fn one(answer: Response<Incoming>, told: &Told, max: usize) -> Result<Reply, Fault> {
    let (head, mut incoming) = answer.into_parts();
    let mut headers = head.headers;
    let (mut status, mut trailers) = match metadata::trailers_only(&mut headers) {
        Some((status, trailers)) => (Some(status), trailers),
        None => (None, HeaderMap::new()),
    };
    let mut reader = Reader::new(max, metadata::is_gzip(&headers));
    let mut message = None;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
        match frame.map_err(|error| broke("the upstream broke off").because(error))?.into_data() {
            // An intermediary's page is not for gRPC.
            Ok(_) if head.status != StatusCode::OK => break,
            Ok(data) => reader.push(&data),
            Err(frame) => {
                trailers = frame.into_trailers().unwrap_or_default();
                status = Status::read(&trailers);
            }
        }
        while let Some(found) = reader.next().map_err(|bad| broke(of_bad(&bad).detail))? {
            if message.replace(found).is_some() {
                return Err(broke("the upstream sent a second message where there is one"));
            }
        }
    }
    if matches!(&status, Some(Status { code: Code::Ok, .. })) {
        reader.end().map_err(|bad| broke(bad.to_string()))?;
    }
    let status = match status {
        Some(status) => status,
        None if head.status == StatusCode::OK => Status::missing(),
        None => Status::of_http(head.status),
    };
    metadata::reply(&mut headers);
    if status.code != Code::Ok {
        return Ok(told.failure(&status, message.is_none(), headers, &trailers));
    }
    let Some(message) = message else {
        return Err(broke("the upstream said OK and sent no message"));
    };
    let text = told.binding.response(&message, &told.options).map_err(|broken| {
        broke("the upstream's message does not fit its own descriptor").because(broken)
    })?;
    metadata::trailers(&mut headers, &status, &trailers);
    headers.insert(header::CONTENT_TYPE, JSON);
    Ok(Reply::ok(StatusCode::OK, headers, Body::from(text)))
}

/// The server's answer is no answer.
pub(super) fn broke(what: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::new(Class::UpstreamProtocol, what).maybe()
}

/// Joins pieces of an answer.
pub(super) fn joined(pieces: &[&[u8]]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(pieces.iter().map(|piece| piece.len()).sum());
    for piece in pieces {
        bytes.put_slice(piece);
    }
    bytes.freeze()
}
