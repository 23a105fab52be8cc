//! AWS Lambda: one request of its API (2015-03-31, Invoke) for each call, signed here and sent over
//! the gateway's own pool.
//!
//! A plain request goes in the envelope of API Gateway and its answer comes out of one; an event goes
//! as one document. The API's status says whether the platform took the call, and not how the
//! function fared: that is in a header. See `refusal.rs` for what each failure means.

mod config;
mod control;
mod envelope;
mod function;
mod keys;
mod payload;
mod provider;
mod refusal;
mod reply;
mod sign;
mod stream;

use std::{mem, sync::Arc};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::Method;
use schemas::{Ack, Body, BodyError, Call, Class, Fault, Guarantee, Invoker, Receipt, Reply};

pub use self::config::{Keypair, Role, Target, Written};
pub(crate) use self::control::{list, probe};
use self::{function::Function, keys::Keys, refusal::Refusal, reply::Reading, sign::Unsigned};
use crate::{
    Tools,
    client::{Answered, Client, Failed, Head},
};

/// Bytes of a payload that is answered, and of one that is queued (Lambda quotas).
const REQUEST_BYTES_MAX: usize = 6 << 20;
const EVENT_BYTES_MAX: usize = 1 << 20;
/// Bytes of an answer that comes whole. Lambda allows 6 MiB and a little for what surrounds them.
const ANSWER_BYTES_MAX: usize = (6 << 20) + (64 << 10);

const FUNCTION_ERROR: &str = "x-amz-function-error";

/// One core's connections.
#[derive(Debug)]
pub struct Lane {
    target: Arc<Target>,
    client: Client,
    tools: Tools,
}

impl Lane {
    /// Makes the lane; it connects with its first call.
    #[must_use]
    pub fn new(target: &Arc<Target>, tools: &Tools) -> Self {
        let origins = [Arc::clone(&target.origin)];
        let client = Client::new(&origins, None, target.connect_timeout, tools);
        let client = client.expect("there is one origin");
        Self { target: Arc::clone(target), client, tools: tools.clone() }
    }

    async fn send(&self, mut call: Call) -> Result<Reply, Fault> {
        let Some(function) = Function::parse(&call.function) else {
            let what = "the address names no function; write a name, name:qualifier or an ARN";
            return Err(Fault::new(Class::FunctionNotDeployed, what));
        };
        let queued = call.ack == Ack::Published;
        let streaming = self.target.streaming && !queued;
        let path = function.path(streaming);
        let limit = if queued { EVENT_BYTES_MAX } else { REQUEST_BYTES_MAX };
        let payload = payload::of(&mut call, limit).await?;
        let answered = match self.exchange(&call, &path, queued, payload).await {
            Ok(answered) => answered,
            Err(Failed::Sent(fault)) => return Err(fault),
            Err(Failed::Unsent(fault)) => return Err(fault.unsent(call)),
        };
        let reading = Reading::of(&call);
        http1::recycle(mem::take(&mut call.head.headers));
        if queued {
            return Ok(receipt(&call.function, &answered));
        }
        // Errors are short and whole, whichever way the answer was asked for.
        if answered.headers.contains_key(FUNCTION_ERROR) {
            let error = answered.body.collect(ANSWER_BYTES_MAX).await.unwrap_or_default();
            return Ok(refusal::failed(&error));
        }
        if streaming {
            return Box::pin(stream::read(answered, reading)).await;
        }
        reading.read(answered.body.collect(ANSWER_BYTES_MAX).await.map_err(cut)?)
    }

    /// Sends the call, and a second time only where its signature was refused and there is a better
    /// one: the platform has run nothing then. What it answers otherwise, if it took the call.
    async fn exchange(
        &self,
        call: &Call,
        path: &str,
        queued: bool,
        payload: Bytes,
    ) -> Result<Answered, Failed> {
        let keyring = &self.target.keyring;
        let secrets = &self.tools.secrets;
        let trace = sign::trace(&call.head.headers);
        let mut keys = keyring.current(secrets, call.deadline).await.map_err(Failed::Unsent)?;
        let mut first = true;
        loop {
            let line = self.client.open(None, call.deadline).await.map_err(Failed::Unsent)?;
            let skew = keyring.skew();
            let base = &line.origin.base;
            let whole = if base.is_empty() { None } else { Some(format!("{base}{path}")) };
            let unsigned = Unsigned {
                host: &line.origin.authority,
                path: whole.as_deref().unwrap_or(path),
                invocation: if queued { "Event" } else { "RequestResponse" },
                trace: trace.as_ref(),
                payload: &payload,
            };
            let now = keys::moved(skew);
            let headers = sign::headers(unsigned, &keys, &self.target.region, now);
            let headers = headers.map_err(Failed::Unsent)?;
            let head = Head {
                prefix: "",
                method: &Method::POST,
                path,
                headers: &headers,
                own: &[],
                upgrade: None,
            };
            let mut body = Body::from(payload.clone());
            let answered = self.client.send(line, &head, &mut body, call.deadline).await?;
            http1::recycle(headers);
            if answered.status.is_success() {
                return Ok(answered);
            }
            let refused = Box::pin(self.refused(answered, &keys, skew, first, call)).await;
            match refused {
                Refused::Again(better) => keys = better,
                Refused::Failed(answered) => return Ok(*answered),
                Refused::No(fault) => return Err(Failed::Sent(*fault)),
            }
            first = false;
        }
    }

    /// What becomes of a call that the platform did not take. Rare, so that its future is boxed.
    async fn refused(
        &self,
        answered: Answered,
        keys: &Arc<Keys>,
        skew: i64,
        first: bool,
        call: &Call,
    ) -> Refused {
        let Answered { status, mut headers, body, .. } = answered;
        let body = body.collect(refusal::ERROR_BYTES_MAX).await.unwrap_or_default();
        let Some(refusal) = Refusal::read(status, &headers, &body) else {
            headers.insert(FUNCTION_ERROR, http::HeaderValue::from_static("Unhandled"));
            let body = Body::from(body);
            return Refused::Failed(Box::new(Answered { status, headers, body, tunnel: None }));
        };
        if first && refusal.is_about_credentials() {
            let keyring = &self.target.keyring;
            if refusal.date.is_some_and(|theirs| keyring.correct(theirs, skew)) {
                return Refused::Again(Arc::clone(keys));
            }
            let secrets = &self.tools.secrets;
            if let Some(better) = keyring.renewed(keys, secrets, call.deadline).await {
                return Refused::Again(better);
            }
        }
        let ours = call.format.is_envelope()
            || call.event.attributes().is_some()
            || call.format == schemas::Format::Auto;
        Refused::No(Box::new(refusal.fault(ours)))
    }
}

/// What becomes of a call that the platform did not take.
enum Refused {
    /// It is signed once more, with these.
    Again(Arc<Keys>),
    /// The function has failed, and an emulator says so by the status.
    Failed(Box<Answered>),
    No(Box<Fault>),
}

/// What Lambda says that has put the event into its queue.
fn receipt(function: &str, answered: &Answered) -> Reply {
    let mut receipt = serde_json::Map::new();
    receipt.insert("function".to_owned(), function.into());
    let id = answered.headers.get("x-amzn-requestid").and_then(|id| id.to_str().ok());
    if let Some(id) = id {
        receipt.insert("request_id".to_owned(), id.into());
    }
    Reply::published(Receipt {
        ack: Ack::Published,
        guarantee: Guarantee::BrokerMemory,
        duplicate: false,
        receipt,
    })
}

/// An answer that did not arrive whole.
fn cut(error: BodyError) -> Fault {
    let what = match &error {
        BodyError::TooLarge { .. } => "the function's answer is larger than the platform allows",
        _ => "the function's answer broke off",
    };
    Fault::new(Class::UpstreamProtocol, what).because(reply::cut(&error)).maybe()
}

impl Invoker for Lane {
    fn call(&self, call: Call) -> LocalBoxFuture<'_, Result<Reply, Fault>> {
        Box::pin(self.send(call))
    }
}
