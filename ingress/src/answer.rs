//! Answers: a reply as it came, a receipt as a 202, a fault as a problem document.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use invokers::grpc;
use schemas::{Ack, Attributes, Body, Fault, Ran, Receipt, Reply, Violation};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::problem;

/// How far an event has come: `replied`, `published` or `stored`.
pub(crate) const GUSSET_ACK: HeaderName = HeaderName::from_static("gusset-ack");
/// The id of the request, in the answer and towards the target.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What a 202 says. RFC 9110 leaves its form open; this one says exactly what has happened.
#[derive(Debug, Serialize)]
struct Accepted<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(flatten)]
    receipt: &'a Receipt,
}

/// A problem document of RFC 9457, with what a caller needs to decide whether to send again.
#[derive(Debug, Serialize)]
pub(crate) struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    ran: Ran,
    retry: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a About>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Box<RawValue>>,
    /// Which fields of the request are wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    violations: Option<[&'a Violation; 1]>,
}

/// Which event an answer is about.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct About {
    source: String,
    id: String,
}

impl About {
    /// The identity of an event.
    pub(crate) fn of(event: &Attributes) -> Self {
        Self { source: event.source.clone(), id: event.id.clone() }
    }
}

impl<'a> Problem<'a> {
    /// Says what went wrong, to the caller.
    pub(crate) fn of(fault: &'a Fault, event: Option<&'a About>) -> Self {
        let status = problem::status(fault.class);
        Self {
            r#type: "about:blank",
            title: problem::title(fault.class),
            status: status.as_u16(),
            detail: &fault.detail,
            code: fault.name(),
            request_id: None,
            ran: fault.ran,
            retry: problem::retry(fault),
            event,
            attempts: None,
            results: None,
            violations: fault.violation.as_deref().map(|violation| [violation]),
        }
    }
}

/// An answer and what is said of it in the record.
pub(crate) type Answer = Response<Body>;

/// Passes a reply on, or makes a 202 of a receipt.
pub(crate) fn reply(mut reply: Reply, ack: Ack, event: Option<&About>) -> Answer {
    if let Some(receipt) = reply.receipt.take() {
        return accepted(&receipt, event);
    }
    let mut answer = Response::new(reply.data);
    *answer.status_mut() = reply.head.status;
    *answer.headers_mut() = reply.head.headers;
    answer.headers_mut().insert(GUSSET_ACK, ack_value(ack));
    answer
}

fn ack_value(ack: Ack) -> HeaderValue {
    HeaderValue::from_static(ack.name())
}

/// A 202 made of a receipt.
pub(crate) fn accepted(receipt: &Receipt, event: Option<&About>) -> Answer {
    let said = Accepted {
        id: event.map(|event| event.id.as_str()),
        source: event.map(|event| event.source.as_str()),
        receipt,
    };
    let mut answer = json(StatusCode::ACCEPTED, JSON, to_bytes(&said));
    answer.headers_mut().insert(GUSSET_ACK, ack_value(receipt.ack));
    answer
}

/// What one event of a batch came to, as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct BatchResult<'a> {
    index: usize,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ack: Option<Ack>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<&'a Receipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem<'a>>,
}

impl<'a> BatchResult<'a> {
    /// An event that was taken, or was not.
    pub(crate) fn of(
        index: usize,
        event: &'a About,
        outcome: &'a Result<Box<Receipt>, Fault>,
    ) -> Self {
        let (receipt, problem) = match outcome {
            Ok(receipt) => (Some(&**receipt), None),
            Err(fault) => (None, Some(Problem::of(fault, Some(event)))),
        };
        Self { index, id: &event.id, ack: receipt.map(|receipt| receipt.ack), receipt, problem }
    }
}

/// Answers a batch: 202 if every event was taken, 207 if some were, and if none was the first
/// one's problem, with each result, so that the whole batch can be sent again.
pub(crate) fn batch(
    events: &[About],
    outcomes: &[Result<Box<Receipt>, Fault>],
    request_id: &HeaderValue,
) -> Answer {
    #[derive(Serialize)]
    struct Results<'a> {
        results: Vec<BatchResult<'a>>,
    }
    let results: Vec<_> = events
        .iter()
        .zip(outcomes)
        .enumerate()
        .map(|(index, (event, outcome))| BatchResult::of(index, event, outcome))
        .collect();
    let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    if let Some(Err(first)) = outcomes.first()
        && taken == 0
    {
        let results = serde_json::value::to_raw_value(&results).ok();
        return refused(first, Problem { results, ..Problem::of(first, None) }, request_id);
    }
    let ack = outcomes.iter().flatten().map(|receipt| receipt.ack).next();
    let status =
        if taken == outcomes.len() { StatusCode::ACCEPTED } else { StatusCode::MULTI_STATUS };
    let mut answer = json(status, JSON, to_bytes(&Results { results }));
    if let Some(ack) = ack {
        answer.headers_mut().insert(GUSSET_ACK, ack_value(ack));
    }
    answer
}

/// Says what went wrong.
pub(crate) fn fault(
    fault: &Fault,
    event: Option<&About>,
    attempts: u32,
    request_id: &HeaderValue,
) -> Answer {
    let attempts = (attempts > 0).then_some(attempts);
    refused(fault, Problem { attempts, ..Problem::of(fault, event) }, request_id)
}

/// Says what went wrong to a caller who speaks gRPC or gRPC-Web, by a head with a status.
pub(crate) fn grpc_fault(fault: &Fault, media: &HeaderValue) -> Answer {
    let mut answer = Response::new(Body::empty());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, media.clone());
    grpc::refuse(headers, problem::grpc_code(fault.class), &fault.detail, fault.retry_after);
    answer
}

fn refused(fault: &Fault, problem: Problem<'_>, request_id: &HeaderValue) -> Answer {
    let status = problem::status(fault.class);
    let problem = Problem { request_id: request_id.to_str().ok(), ..problem };
    let mut answer = json(status, PROBLEM, to_bytes(&problem));
    let wait = fault.retry_after.or(match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            Some(Duration::from_secs(1))
        }
        _ => None,
    });
    if let Some(wait) = wait {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    answer
}

fn to_bytes(said: &impl Serialize) -> Bytes {
    serde_json::to_vec(said).map_or_else(|_| Bytes::from_static(b"{}"), Bytes::from)
}

fn json(status: StatusCode, media: HeaderValue, body: Bytes) -> Answer {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, media);
    answer
}
