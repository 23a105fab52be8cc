//! JetStream: what an acknowledgement says, and what a stream's messages are safe from.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use schemas::{Ack, Class, Fault, Guarantee, Receipt};
use serde::Deserialize;

use super::{config::Target, session::Session, sync::Sync};
use crate::Tools;

/// How long is believed how a stream is kept. It can be made anew in another way.
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
    pub(super) fn receipt(self, subject: &str, kept: Kept) -> Receipt {
        let mut receipt = serde_json::Map::new();
        receipt.insert("stream".to_owned(), self.stream.into());
        receipt.insert("sequence".to_owned(), self.seq.into());
        receipt.insert("subject".to_owned(), subject.into());
        if let Some(domain) = self.domain {
            receipt.insert("domain".to_owned(), domain.into());
        }
        if let Some(sync) = kept.sync {
            receipt.insert("sync".to_owned(), sync.to_string().into());
        }
        Receipt {
            ack: Ack::Published,
            guarantee: kept.guarantee(),
            duplicate: self.duplicate,
            receipt,
        }
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

/// How a stream keeps its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// On a disk, and written there before it is acknowledged.
    on_disk: bool,
    /// When that is synced; none where nothing is written.
    sync: Option<Sync>,
}

impl Kept {
    /// As far as anybody knows.
    const UNKNOWN: Self = Self { on_disk: false, sync: Some(Sync::Unknown) };

    fn of(config: &Config, sync: Sync) -> Self {
        // With `persist_mode: async` a message is acknowledged before it is written.
        let on_disk = config.storage == "file" && config.persist_mode.as_deref() != Some("async");
        Self { on_disk, sync: on_disk.then_some(sync) }
    }

    /// What an acknowledgement is worth.
    fn guarantee(self) -> Guarantee {
        match (self.on_disk, self.sync) {
            (true, Some(Sync::Always)) => Guarantee::DiskSynced,
            (true, _) => Guarantee::BrokerDisk,
            (false, _) => Guarantee::BrokerMemory,
        }
    }
}

/// What is known of how streams keep their messages. It is asked for in the background; until the
/// answer is here, and where it may not be had, the weaker claim is made.
#[derive(Clone, Debug, Default)]
pub(super) struct Storages(Arc<Mutex<HashMap<String, (Kept, Instant)>>>);

impl Storages {
    /// How this stream keeps what it has acknowledged.
    pub(super) fn kept(
        &self,
        stored: &Stored,
        session: &Arc<Session>,
        target: &Arc<Target>,
        tools: &Tools,
    ) -> Kept {
        let mut known = self.known();
        let now = Instant::now();
        let (kept, fresh) = match known.get(&stored.stream) {
            Some((kept, at)) => (*kept, now.duration_since(*at) < BELIEVED),
            None => (Kept::UNKNOWN, false),
        };
        if fresh {
            return kept;
        }
        if known.len() >= STREAMS_MAX && !known.contains_key(&stored.stream) {
            return Kept::UNKNOWN;
        }
        // Noted before the answer is here, so that it is asked for once. What was believed too
        // long is not believed until then.
        known.insert(stored.stream.clone(), (Kept::UNKNOWN, now));
        let api = stored.domain.as_ref().map_or("$JS".to_owned(), |domain| format!("$JS.{domain}"));
        let (storages, session) = (self.clone(), Arc::clone(session));
        let (target, tools, stream) = (Arc::clone(target), tools.clone(), stored.stream.clone());
        drop(tokio::spawn(async move {
            let Some(config) = ask(&session, &api, &stream).await else { return };
            storages.note(&stream, Kept::of(&config, Sync::Unknown));
            let sync = session.sync(target.monitor.as_ref(), &tools).await;
            storages.note(&stream, Kept::of(&config, sync));
        }));
        Kept::UNKNOWN
    }

    fn note(&self, stream: &str, kept: Kept) {
        self.known().insert(stream.to_owned(), (kept, Instant::now()));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, (Kept, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
struct Config {
    storage: String,
    persist_mode: Option<String>,
}

/// How a stream is configured, if that may be known.
async fn ask(session: &Session, api: &str, stream: &str) -> Option<Config> {
    #[derive(Deserialize)]
    struct Info {
        config: Config,
    }
    let subject = format!("{api}.API.STREAM.INFO.{stream}");
    let asked = session.request(&subject, HeaderMap::new(), Bytes::new());
    let answer = tokio::time::timeout(ASKING, asked).await.ok()?.ok()?;
    serde_json::from_slice::<Info>(&answer.payload).ok().map(|info| info.config)
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
        let kept = Kept { on_disk: true, sync: Some(Sync::Every(Duration::from_secs(120))) };
        let receipt = Stored::read(&ack).unwrap().receipt("a.b", kept);
        assert_eq!(
            serde_json::to_value(receipt).unwrap(),
            serde_json::json!({
                "ack": "published", "guarantee": "broker-disk", "duplicate": true,
                "receipt": {
                    "stream": "S", "sequence": 7, "subject": "a.b", "domain": "d", "sync": "2m"
                }
            })
        );
    }

    #[test]
    fn only_what_is_written_and_synced_before_it_is_acknowledged_is_called_synced() {
        let every = Sync::Every(Duration::from_secs(1));
        for (storage, persist_mode, sync, guarantee, said) in [
            ("file", None, Sync::Always, Guarantee::DiskSynced, Some("always")),
            ("file", Some("default"), Sync::Always, Guarantee::DiskSynced, Some("always")),
            ("file", None, every, Guarantee::BrokerDisk, Some("1s")),
            ("file", None, Sync::Unknown, Guarantee::BrokerDisk, Some("unknown")),
            ("file", Some("async"), Sync::Always, Guarantee::BrokerMemory, None),
            ("memory", None, Sync::Always, Guarantee::BrokerMemory, None),
        ] {
            let persist_mode = persist_mode.map(str::to_owned);
            let config = Config { storage: storage.to_owned(), persist_mode };
            let kept = Kept::of(&config, sync);
            assert_eq!(kept.guarantee(), guarantee, "{storage} {sync}");
            assert_eq!(kept.sync.map(|sync| sync.to_string()).as_deref(), said);
        }
        assert_eq!(Kept::UNKNOWN.guarantee(), Guarantee::BrokerMemory);
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
