//! How a try to deliver a stored event ends: delivered, with an answer that is kept, read away or
//! routed again; or not, and what is to be said of that.

use std::{future::poll_fn, pin::Pin};

use http::HeaderValue;
use http_body::Body as _;
use invokers::knative::Ended;
use outbox::{
    delivery::Failure,
    outcomes::{ANSWER_MAX, Answer},
};
use policy::Policy;
use schemas::{Body, Class, Fault, Ran, Reply};

use crate::{
    View,
    reply::read_leftover,
    stored::again::{self, Called, Replied},
};

/// How much of an answer that has not delivered is kept for a dead letter.
const START_BYTES: usize = 1 << 10;

/// What a target has answered to a stored event, and what became of its reply, if it is an event.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) answer: Answer,
    pub(super) replied: Option<Replied>,
}

/// What is needed once a try has come to its end.
pub(super) struct Finishing<'a> {
    pub(super) view: &'a View,
    pub(super) policy: &'a Policy,
    /// What the event was given to, if it was sent.
    pub(super) called: Option<&'a Called>,
}

impl Finishing<'_> {
    /// What came of a try whose answer nobody waits for. A reply that is an event is routed again.
    pub(super) async fn finish(
        &self,
        result: Result<Reply, Fault>,
        request_id: HeaderValue,
    ) -> Result<Delivered, Failure> {
        let reply = self.delivered(result).await?;
        let answer =
            Answer { status: reply.head.status, headers: reply.head.headers.clone(), body: None };
        let Some(called) = self.called else {
            read_leftover(reply.data, self.policy).await;
            return Ok(Delivered { answer, replied: None });
        };
        match again::route(self.view, called, reply, self.policy, request_id).await {
            Ok(replied) => Ok(Delivered { answer, replied }),
            Err(fault) => Err(self.failed(&Err(fault), &[])),
        }
    }

    /// What came of a try whose answer somebody wants, and which is kept.
    pub(super) async fn keep(&self, result: Result<Reply, Fault>) -> Result<Delivered, Failure> {
        let Reply { mut head, data, receipt, .. } = self.delivered(result).await?;
        let body = match receipt {
            Some(receipt) => serde_json::to_vec(&receipt).ok().map(Into::into),
            None => {
                let collecting = data.collect(ANSWER_MAX);
                let collected = tokio::time::timeout(self.policy.timeout, collecting).await;
                collected.ok().and_then(Result::ok)
            }
        };
        // What is kept has the length that it has.
        head.headers.remove(http::header::CONTENT_LENGTH);
        let answer = Answer { status: head.status, headers: head.headers, body };
        Ok(Delivered { answer, replied: None })
    }

    /// The reply, if it has delivered.
    async fn delivered(&self, mut result: Result<Reply, Fault>) -> Result<Reply, Failure> {
        if Failure::of(&result).is_none() {
            return result.map_err(|_| stopped(Ran::Maybe));
        }
        let start = match &mut result {
            Ok(reply) => {
                let body = std::mem::take(&mut reply.data);
                read_start(body, self.policy).await
            }
            Err(_) => Vec::new(),
        };
        Err(self.failed(&result, &start))
    }

    /// The failure that a result is, whose body begins so, in the words of the target's platform too.
    fn failed(&self, result: &Result<Reply, Fault>, start: &[u8]) -> Failure {
        let mut failure = failure(result);
        if let Some(called) = self.called {
            let ended = match result {
                Ok(reply) => Ended::Answered(reply.head.status, start),
                Err(fault) => Ended::Failed(fault),
            };
            failure.words = called.upstream.target.words(&called.function, &ended);
        }
        failure
    }
}

/// Reads an answer that has not delivered, and keeps how it begins.
async fn read_start(mut body: Body, policy: &Policy) -> Vec<u8> {
    let mut start = Vec::new();
    let reading = async {
        while start.len() < START_BYTES
            && let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
        {
            let data = frame.into_data().unwrap_or_default();
            start.extend_from_slice(&data[..data.len().min(START_BYTES - start.len())]);
        }
    };
    if tokio::time::timeout(policy.timeout, reading).await.is_ok() {
        read_leftover(body, policy).await;
    }
    start
}

/// A failure, where there surely is one.
pub(super) fn failure(result: &Result<Reply, Fault>) -> Failure {
    Failure::of(result).unwrap_or_else(|| stopped(Ran::Maybe))
}

/// The gateway ends before the try has.
pub(super) fn stopped(ran: Ran) -> Failure {
    Failure {
        class: Class::Cancelled,
        code: None,
        ran,
        reason: "the gateway is stopping".into(),
        retry_after: None,
        for_good: false,
        words: Vec::new(),
    }
}
