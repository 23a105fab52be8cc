//! JetStream: what an acknowledgement says, and where a stream keeps its messages.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use schemas::{Ack, Class, Fault, Guarantee, Receipt};
use serde::Deserialize;

use super::session::Session;

/// How long a stream's storage is believed. A stream can be made anew with another.
const BELIEVED: Duration = Duration::from_secs(60);

/// How many streams are remembered.
const STREAMS_MAX: usize = 256;

/// How long the question for a stream's storage may take.
const ASKING: Duration = Duration::from_secs(5);

/// When it makes sense to come again after a server had no room.
const AGAIN: Duration = Duration::from_secs(1);

/// What JetStream says of a message that it has stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) stream: String,
    seq: u64,
    domain: Option<String>,
    duplicate: bool,
}

#[derive(Deserialize)]
struct PubAck {
    stream: Option<String>,
    seq: Option<u64>,
    domain: Option<String>,
    #[serde(default)]
    duplicate: bool,
    error: Option<ApiFailure>,
}

#[derive(Debug, Deserialize, thiserror::Error)]
#[error("JetStream: {description} (code {code}, error {err_code})")]
struct ApiFailure {
    code: u16,
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

impl Stored {
    /// Reads the acknowledgement of a publish.
    pub(super) fn read(message: &Message) -> Result<Self, Fault> {
        if message.status == Some(async_nats::StatusCode::NO_RESPONDERS) {
            return Err(Fault::new(
                Class::NoResponders,
                "no stream takes this subject, or JetStream is not there now",
            )
            .after(AGAIN));
        }
        let odd = || {
            Fault::new(
                Class::UpstreamProtocol,
                "what came back is not an acknowledgement of JetStream; somebody else answers on \
                 this subject",
            )
            .code("no_puback")
            .maybe()
        };
        let ack: PubAck = serde_json::from_slice(&message.payload).map_err(|_| odd())?;
        if let Some(failure) = ack.error {
            return Err(failure.fault());
        }
        let (Some(stream), Some(seq)) = (ack.stream, ack.seq) else { return Err(odd()) };
        Ok(Self {
            stream,
            seq,
            domain: ack.domain.filter(|domain| !domain.is_empty()),
            duplicate: ack.duplicate,
        })
    }

    /// Whether this payload is an acknowledgement of JetStream.
    pub(super) fn is_ack(payload: &[u8]) -> bool {
        serde_json::from_slice::<PubAck>(payload)
            .is_ok_and(|ack| ack.stream.is_some() && ack.seq.is_some())
    }

    /// The receipt for the caller.
    pub(super) fn receipt(self, subject: &str, guarantee: Guarantee) -> Receipt {
        let mut receipt = serde_json::Map::new();
        receipt.insert("stream".to_owned(), self.stream.into());
        receipt.insert("sequence".to_owned(), self.seq.into());
        receipt.insert("subject".to_owned(), subject.into());
        if let Some(domain) = self.domain {
            receipt.insert("domain".to_owned(), domain.into());
        }
        Receipt { ack: Ack::Published, guarantee, duplicate: self.duplicate, receipt }
    }
}

impl ApiFailure {
    /// The stream has said no: the message is not in it.
    fn fault(self) -> Fault {
        // The numbers are those of nats-server/server/errors.json.
        let fault = match (self.err_code, self.code) {
            (10_060, _) => Fault::new(
                Class::UpstreamProtocol,
                "another stream than the expected one takes this subject",
            )
            .code("wrong_stream"),
            (10_054, _) => {
                Fault::new(Class::TooLarge, "the message is larger than the stream takes")
            }
            (10_077, _) => {
                Fault::new(Class::Unavailable, "the stream is full and takes no more messages")
                    .code("stream_full")
                    .after(AGAIN)
            }
            (_, 500..=599) => {
                Fault::new(Class::Unavailable, "JetStream cannot store the message now")
                    .after(AGAIN)
            }
            _ => Fault::new(Class::UpstreamProtocol, "JetStream refused the message"),
        };
        fault.because(self)
    }
}

/// What is known of where streams keep their messages. It is asked for in the background; until
/// the answer is here, and where it may not be had, the weaker claim is made.
#[derive(Clone, Debug, Default)]
pub(super) struct Storages(Arc<Mutex<HashMap<String, (Guarantee, Instant)>>>);

impl Storages {
    /// What an acknowledgement of this stream guarantees. Never [`Guarantee::DiskSynced`]: when a
    /// server syncs stands in its own configuration, which nobody can ask for.
    pub(super) fn guarantee(&self, stored: &Stored, session: &Arc<Session>) -> Guarantee {
        let mut known = self.known();
        let now = Instant::now();
        let (guarantee, fresh) = match known.get(&stored.stream) {
            Some((guarantee, at)) => (*guarantee, now.duration_since(*at) < BELIEVED),
            None => (Guarantee::BrokerMemory, false),
        };
        if fresh {
            return guarantee;
        }
        if known.len() >= STREAMS_MAX && !known.contains_key(&stored.stream) {
            return Guarantee::BrokerMemory;
        }
        // Noted before the answer is here, so that it is asked for once. What was believed too
        // long is not believed until then.
        known.insert(stored.stream.clone(), (Guarantee::BrokerMemory, now));
        let api = stored.domain.as_ref().map_or("$JS".to_owned(), |domain| format!("$JS.{domain}"));
        let ask = ask(self.clone(), Arc::clone(session), api, stored.stream.clone());
        drop(tokio::spawn(ask));
        Guarantee::BrokerMemory
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, (Guarantee, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(storages: Storages, session: Arc<Session>, api: String, stream: String) {
    #[derive(Deserialize)]
    struct Info {
        config: Config,
    }
    #[derive(Deserialize)]
    struct Config {
        storage: String,
    }
    let subject = format!("{api}.API.STREAM.INFO.{stream}");
    let asked = session.request(&subject, HeaderMap::new(), Bytes::new());
    let Ok(Ok(answer)) = tokio::time::timeout(ASKING, asked).await else { return };
    let Ok(info) = serde_json::from_slice::<Info>(&answer.payload) else { return };
    if info.config.storage == "file" {
        storages.known().insert(stream, (Guarantee::BrokerDisk, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &'static str, status: Option<u16>) -> Message {
        Message {
            subject: "_INBOX.x.1".into(),
            reply: None,
            payload: Bytes::from_static(payload.as_bytes()),
            headers: None,
            status: status.map(|status| async_nats::StatusCode::from_u16(status).unwrap()),
            description: None,
            length: 0,
        }
    }

    #[test]
    fn an_acknowledgement_becomes_a_receipt() {
        let ack = message(r#"{"stream":"S","seq":7,"domain":"d","duplicate":true}"#, None);
        let receipt = Stored::read(&ack).unwrap().receipt("a.b", Guarantee::BrokerDisk);
        assert_eq!(
            serde_json::to_value(receipt).unwrap(),
            serde_json::json!({
                "ack": "published", "guarantee": "broker-disk", "duplicate": true,
                "receipt": {"stream": "S", "sequence": 7, "subject": "a.b", "domain": "d"}
            })
        );
    }

    #[test]
    fn what_is_no_acknowledgement_has_its_class_and_says_whether_it_ran() {
        let check = |payload, status, name: &str, ran| {
            let fault = Stored::read(&message(payload, status)).unwrap_err();
            assert_eq!((fault.name(), fault.ran), (name, ran), "{payload}");
        };
        let (no, maybe) = (schemas::Ran::No, schemas::Ran::Maybe);
        check("", Some(503), "no_responders", no);
        check("hello", None, "no_puback", maybe);
        check("{}", None, "no_puback", maybe);
        check(r#"{"error":{"code":400,"err_code":10060}}"#, None, "wrong_stream", no);
        check(r#"{"error":{"code":400,"err_code":10054}}"#, None, "too_large", no);
        check(r#"{"error":{"code":503,"err_code":10077}}"#, None, "stream_full", no);
        check(r#"{"error":{"code":503,"err_code":10023}}"#, None, "unavailable", no);
        check(r#"{"error":{"code":400,"err_code":10071}}"#, None, "upstream_protocol", no);
    }
}
