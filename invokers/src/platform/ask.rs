//! One question to a platform that is no call of a function: what it has, or for a token.

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header::DATE};
use schemas::{Body, BodyError, Class, Fault};
use serde::de::DeserializeOwned;
use tokio::time::timeout_at;

use crate::client::{Answered, Client, Failed, Head};

/// The bytes of an answer. A list of ten thousand functions has about as many.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A question.
pub(crate) struct Ask<'a> {
    /// The method.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: &'a str,
    /// The fields.
    pub(crate) own: &'a [(HeaderName, HeaderValue)],
    /// The body.
    pub(crate) body: Bytes,
    /// When nobody waits any more.
    pub(crate) deadline: Instant,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Told {
    /// The status.
    pub(crate) status: StatusCode,
    /// The fields.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

impl Told {
    /// What time it is there, if it says so.
    pub(crate) fn date(&self) -> Option<SystemTime> {
        let date = self.headers.get(DATE)?.to_str().ok()?;
        httpdate::parse_http_date(date).ok()
    }

    /// The body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let what = "the platform's answer is not the JSON that it should be";
            Fault::new(Class::UpstreamProtocol, what).because(error)
        })
    }

    /// The fault that a status other than 200 is.
    pub(crate) fn refused(&self) -> Fault {
        let class = match self.status.as_u16() {
            401 | 403 => Class::UpstreamAuth,
            404 => Class::FunctionNotDeployed,
            429 => Class::Throttled,
            _ => Class::UpstreamProtocol,
        };
        Fault::new(class, format!("the platform answers {}", self.status.as_u16()))
    }

    /// The body as JSON, if the status is 200.
    pub(crate) fn ok<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        if self.status == StatusCode::OK { self.json() } else { Err(self.refused()) }
    }
}

/// Asks once, and reads the answer whole.
pub(crate) async fn ask(client: &Client, asked: Ask<'_>) -> Result<Told, Fault> {
    let Ask { method, path, own, body, deadline } = asked;
    let asking = async {
        let line = client.open(None, deadline).await?;
        let none = HeaderMap::new();
        let head = Head { method: &method, prefix: "", path, headers: &none, own, upgrade: None };
        let mut body = Body::from(body);
        let answered = client.send(line, &head, &mut body, deadline).await;
        let answered = answered.map_err(|failed| match failed {
            Failed::Unsent(fault) | Failed::Sent(fault) => fault,
        })?;
        let Answered { status, headers, body, .. } = answered;
        let body = body.collect(ANSWER_BYTES_MAX).await.map_err(|error| {
            let fault = |what| Fault::new(Class::UpstreamProtocol, what);
            let fault = match error {
                BodyError::TooLarge { .. } => {
                    fault("the platform's answer is too large").for_good()
                }
                _ => fault("the platform's answer broke off"),
            };
            fault.because(error)
        })?;
        Ok(Told { status, headers, body })
    };
    let late = || Fault::new(Class::Timeout, "the platform took too long to answer");
    timeout_at(deadline.into(), Box::pin(asking)).await.map_err(|_| late())?
}
