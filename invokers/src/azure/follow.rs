//! A durable function, followed to its end: its starter answers 202 and says where to ask how the
//! orchestration stands (Durable Functions, "HTTP API reference", Get instance status).
//!
//! The place is asked with what the starter has put into its URL, which is a key of the app. No other
//! key goes along, for the host would look at that one instead; and the URL is shown nowhere.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONTENT_TYPE, LOCATION},
};
use schemas::{Body, Class, EndpointId, Fault, Reply};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    client::{Answered, Client, Origin},
    http::incoming,
    platform::{Ask, Authoriser, Own, Told, ask, within},
};

/// How often one orchestration is asked for.
const LOOKS_MAX: u32 = 1000;
/// How long it is left alone, where the app does not say, at first and at most.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long one look may take.
const LOOK_WITHIN: Duration = Duration::from_secs(10);
/// How long before the end of the call the last look is.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// Bytes of a starter's answer that are looked into.
const STARTED_BYTES_MAX: usize = 64 << 10;
/// Letters of why an orchestration failed that the log gets.
const REASON_MAX: usize = 200;

/// An orchestration that was started, and who asks for it.
pub(super) struct Started<'a> {
    /// The connections to the app.
    pub(super) client: &'a Client,
    /// The token that the app's front may ask for.
    pub(super) bearer: &'a Authoriser,
    /// Path and query of where it is asked for.
    pub(super) place: String,
    /// How long it is to be left alone.
    pub(super) pause: Option<Duration>,
    /// When nobody waits any more.
    pub(super) deadline: Instant,
    /// The endpoint that started it.
    pub(super) endpoint: Option<EndpointId>,
}

/// How it stands.
enum Stands {
    /// It is not over, and wants to be left alone so long.
    Running(Option<Duration>),
    /// It is over.
    Over(Box<Reply>),
}

/// Where an answer says that what it has started is asked for: its `Location`, or what stands in its
/// body. `None` if it has started nothing, or the place is not one of the app.
pub(super) async fn place(origin: &Origin, reply: &mut Reply) -> Result<Option<String>, Fault> {
    #[derive(Deserialize)]
    struct Payload {
        #[serde(rename = "statusQueryGetUri")]
        place: String,
    }
    if reply.head.status != StatusCode::ACCEPTED {
        return Ok(None);
    }
    if let Some(location) = reply.head.headers.get(LOCATION) {
        let place = location.to_str().ok().and_then(|url| origin.below(url));
        if place.is_some() {
            // Nobody needs it any more, and its connection can be used again once it is read.
            drop(std::mem::take(&mut reply.data).collect(STARTED_BYTES_MAX).await);
        }
        return Ok(place);
    }
    let media = reply.head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !media.is_some_and(|media| media.to_ascii_lowercase().starts_with(b"application/json")) {
        return Ok(None);
    }
    let body =
        std::mem::take(&mut reply.data).collect(STARTED_BYTES_MAX).await.map_err(|error| {
            let what = "the answer that should say what was started broke off or is too long";
            Fault::new(Class::UpstreamProtocol, what).maybe().because(error)
        })?;
    let payload = serde_json::from_slice::<Payload>(&body).ok();
    reply.data = Body::from(body);
    Ok(payload.and_then(|payload| origin.below(&payload.place)))
}

impl Started<'_> {
    /// Asks until it is over. What it came to is the answer.
    ///
    /// # Errors
    /// If it came to nothing good, or the time is up. It has run, or does so yet.
    pub(super) async fn follow(self) -> Result<Reply, Fault> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let last = self.deadline.checked_sub(LAST_LOOK.min(left / 10)).unwrap_or(self.deadline);
        let chance = RandomState::new();
        let mut asked = self.pause;
        for looks in 0..LOOKS_MAX {
            let pause = asked.map_or_else(|| pause(looks, chance.hash_one(looks)), at_least);
            let at = Instant::now().checked_add(pause).map_or(last, |at| at.min(last));
            tokio::time::sleep_until(at.into()).await;
            match self.look().await.map_err(Fault::maybe)? {
                Stands::Over(reply) => return Ok(Reply { endpoint: self.endpoint, ..*reply }),
                Stands::Running(pause) if at < last => asked = pause,
                Stands::Running(_) => break,
            }
        }
        let what = "the orchestration that the function started has not ended in time, and runs on";
        Err(Fault::new(Class::Timeout, what).maybe())
    }

    /// Asks as the app's front wants it: once, or twice where there is a newer token.
    async fn ask(&self, deadline: Instant) -> Result<Told, Fault> {
        let mut own = Own::new();
        self.bearer.show(&mut own, deadline).await?;
        let asked = async |own: &Own| {
            let (path, body) = (self.place.as_str(), Bytes::new());
            ask(self.client, Ask { method: Method::GET, path, own, body, deadline }).await
        };
        let told = asked(&own).await?;
        if told.status == StatusCode::UNAUTHORIZED
            && self.bearer.renews()
            && self.bearer.renew(&mut own, deadline).await
        {
            return asked(&own).await;
        }
        Ok(told)
    }

    /// Looks once. Who does not answer now may do so the next time.
    async fn look(&self) -> Result<Stands, Fault> {
        let deadline = within(LOOK_WITHIN, self.deadline);
        let told = match self.ask(deadline).await {
            Ok(told) => told,
            Err(fault) if fault.for_good => return Err(fault),
            Err(_) => return Ok(Stands::Running(None)),
        };
        let pause = incoming::retry_after(&told.headers);
        match told.status.as_u16() {
            202 | 429 | 501..=599 => Ok(Stands::Running(pause)),
            200 | 500 => match Status::of(&told.body) {
                Some(status) => status.stands(pause),
                // A place of the app's own, which says in its own way that it is done.
                None if told.status == StatusCode::OK => own(told),
                None => Ok(Stands::Running(pause)),
            },
            401 | 403 => {
                let what = "the function app does not let the gateway ask how the orchestration \
                            stands that it has started";
                Err(Fault::new(Class::UpstreamAuth, what))
            }
            404 | 410 => {
                let what = "the function app does not know the orchestration any more that it has \
                            started";
                Err(Fault::new(Class::UpstreamProtocol, what))
            }
            _ => own(told),
        }
    }
}

/// What the app says of an orchestration.
#[derive(Deserialize)]
struct Status<'a> {
    #[serde(rename = "runtimeStatus")]
    word: &'a str,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
}

impl<'a> Status<'a> {
    /// Reads it. `None` if it is something else.
    fn of(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// How it stands. Whether it has done well, its status 200 does not say.
    fn stands(&self, pause: Option<Duration>) -> Result<Stands, Fault> {
        let what = match self.word {
            "Completed" => {
                let json = HeaderValue::from_static("application/json");
                let headers = HeaderMap::from_iter([(CONTENT_TYPE, json)]);
                let output = self.output.map_or("null", RawValue::get);
                let output = Bytes::copy_from_slice(output.as_bytes());
                let reply = Reply::ok(StatusCode::OK, headers, Body::from(output));
                return Ok(Stands::Over(Box::new(reply)));
            }
            "Failed" => "the orchestration that the function started has failed",
            "Terminated" => "the orchestration that the function started was terminated",
            "Canceled" => "the orchestration that the function started was cancelled",
            _ => return Ok(Stands::Running(pause)),
        };
        let fault = Fault::new(Class::FunctionFailed, what);
        Err(match self.reason() {
            Some(reason) => fault.because(reason),
            None => fault,
        })
    }

    /// The first line of why it failed, for the log.
    fn reason(&self) -> Option<String> {
        let text: String = serde_json::from_str(self.output?.get()).ok()?;
        let line = text.lines().next().filter(|line| !line.is_empty())?;
        Some(line.chars().take(REASON_MAX).collect())
    }
}

/// The answer of a place that is not the extension's, unchanged.
fn own(told: Told) -> Result<Stands, Fault> {
    let Told { status, headers, body } = told;
    let verdict = incoming::classify(status, &headers);
    let answered = Answered { status, headers, body: Body::from(body), tunnel: None };
    let reply = incoming::reply(answered, verdict, EndpointId(0), false)?;
    Ok(Stands::Over(Box::new(reply)))
}

/// What an app asks for, but no more than one look in a second.
fn at_least(pause: Duration) -> Duration {
    pause.max(PAUSE_FIRST)
}

/// How long to wait before a look: it doubles, and a part of it is by chance, so that what was started
/// together is not asked for together.
fn pause(looks: u32, chance: u64) -> Duration {
    let most = PAUSE_FIRST.saturating_mul(1 << looks.min(10)).min(PAUSE_MAX);
    most + most.mul_f64(f64::from(u32::try_from(chance >> 32).unwrap_or(0)) / f64::from(u32::MAX))
        / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stands(body: &str) -> Result<Stands, Fault> {
        Status::of(body.as_bytes()).unwrap().stands(None)
    }

    #[tokio::test]
    async fn an_orchestration_that_is_done_is_answered_with_its_output_byte_for_byte() {
        let output = |body: &str| {
            let Ok(Stands::Over(reply)) = stands(body) else { panic!("{body} is done") };
            assert_eq!(reply.head.status, 200);
            reply.data
        };
        let done = output(r#"{"runtimeStatus":"Completed","input":{},"output":{"n": 1.50e3}}"#);
        assert_eq!(done.collect(99).await.unwrap(), r#"{"n": 1.50e3}"#);
        for none in
            [r#"{"runtimeStatus":"Completed","output":null}"#, r#"{"runtimeStatus":"Completed"}"#]
        {
            assert_eq!(output(none).collect(99).await.unwrap(), "null", "{none}");
        }
    }

    #[test]
    fn one_that_did_not_do_well_is_a_fault_with_its_reason_for_the_log_alone() {
        for word in ["Failed", "Terminated", "Canceled"] {
            let body = format!(r#"{{"runtimeStatus":"{word}","output":"it fell\n  at line 7"}}"#);
            let Err(fault) = stands(&body) else { panic!("{word} is no success") };
            assert_eq!(fault.class, Class::FunctionFailed);
            assert!(!fault.detail.contains("fell"));
            assert!(fault.chain().ends_with("it fell"), "{}", fault.chain());
        }
        for word in ["Running", "Pending", "ContinuedAsNew", "Suspended"] {
            let body = format!(r#"{{"runtimeStatus":"{word}","output":null}}"#);
            assert!(matches!(stands(&body), Ok(Stands::Running(None))), "{word}");
        }
        assert!(Status::of(b"[]").is_none() && Status::of(br#"{"state":"done"}"#).is_none());
    }

    #[test]
    fn pauses_grow_stay_bounded_and_are_never_shorter_than_a_second() {
        assert_eq!(pause(0, 0), PAUSE_FIRST);
        assert_eq!(pause(3, 0), Duration::from_secs(8));
        assert_eq!(pause(999, 0), PAUSE_MAX);
        assert_eq!(pause(999, u64::MAX), PAUSE_MAX + PAUSE_MAX / 4);
        assert_eq!(at_least(Duration::ZERO), PAUSE_FIRST);
        assert_eq!(at_least(Duration::from_secs(9)), Duration::from_secs(9));
    }
}
