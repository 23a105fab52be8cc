//! What is said to the server: messages that it confirms, and questions to its API. Nothing waits
//! longer than [`PATIENCE`], and what is said while there is no connection fails at once.

use std::{collections::HashMap, time::Duration};

use async_nats::{
    Client, HeaderMap, Message, Request, RequestErrorKind, Subject, connection::State, jetstream,
};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::names::{self, Names};
use crate::{Id, NotStored};

/// How long an answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// So many subjects are asked for at most: those of leases, targets and letters are fewer.
const SUBJECTS_MAX: usize = 2_000_000;

/// A connection that is made again for ever, and whether it is up.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The client.
    pub client: Client,
    /// Whether it is up now.
    pub up: watch::Receiver<bool>,
}

/// A message that was confirmed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acked {
    pub(super) seq: u64,
    pub(super) duplicate: bool,
}

/// Why something was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("there is no connection to the NATS server")]
    Away,
    #[error("the NATS server has not answered")]
    Silent,
    #[error("JetStream is not there: nobody answers on {0}")]
    Nobody(String),
    #[error("the message is larger than the NATS server takes")]
    TooLarge,
    #[error("the NATS server says: {description} ({err_code})")]
    Said { code: u16, err_code: u32, description: String },
    #[error("the NATS server gave an odd answer: {0}")]
    Odd(String),
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

/// A message of a stream.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) seq: u64,
    pub(super) subject: String,
    pub(super) data: Bytes,
}

/// How much a stream holds.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Amount {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

/// The server's side of an outbox.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) client: Client,
    pub(super) up: watch::Receiver<bool>,
    pub(super) jetstream: jetstream::Context,
    pub(super) names: Names,
}

impl Api {
    pub(super) fn new(connection: Connection, names: Names) -> Self {
        let Connection { client, up } = connection;
        let jetstream = jetstream::new(client.clone());
        Self { client, up, jetstream, names }
    }

    pub(super) fn is_up(&self) -> bool {
        *self.up.borrow() && self.client.connection_state() == State::Connected
    }

    /// Sends something and waits for the answer, or for the connection to break.
    async fn ask(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Message, Refused> {
        if !self.is_up() {
            return Err(Refused::Away);
        }
        let mut request = Request::new().payload(payload).timeout(Some(PATIENCE));
        if !headers.is_empty() {
            request = request.headers(headers);
        }
        let mut up = self.up.clone();
        let lost = async {
            // Who tells of it lives as long as the connection.
            if up.wait_for(|up| !*up).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            answer = self.client.send_request(subject.clone(), request) => {
                answer.map_err(|error| match error.kind() {
                    RequestErrorKind::NoResponders => Refused::Nobody(subject),
                    RequestErrorKind::MaxPayloadExceeded => Refused::TooLarge,
                    RequestErrorKind::InvalidSubject => Refused::Odd(error.to_string()),
                    RequestErrorKind::TimedOut | RequestErrorKind::Other => Refused::Silent,
                })
            }
            () = lost => Err(Refused::Silent),
        }
    }

    /// Publishes, and returns once the stream has the message.
    pub(super) async fn publish(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Acked, Refused> {
        let answer = self.ask(subject, headers, payload).await?;
        acked(&answer)
    }

    /// Publishes if a subject's last message has this number (0: there is none).
    pub(super) async fn swap(
        &self,
        subject: String,
        last: u64,
        mut headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Result<u64, Changed>, Refused> {
        headers.insert("Nats-Expected-Last-Subject-Sequence", last.to_string());
        match self.publish(subject, headers, payload).await {
            Ok(acked) => Ok(Ok(acked.seq)),
            Err(Refused::Said { err_code: 10_071 | 10_164, .. }) => Ok(Err(Changed)),
            Err(other) => Err(other),
        }
    }

    /// Publishes all of these to one stream or none (an atomic batch). Returns the number of the
    /// last; those before it have the numbers before it.
    pub(super) async fn batch(
        &self,
        messages: Vec<(String, HeaderMap, Bytes)>,
    ) -> Result<Acked, Refused> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let last = messages.len();
        for (at, (subject, mut headers, payload)) in (1..).zip(messages) {
            headers.insert("Nats-Batch-Id", id.as_str());
            headers.insert("Nats-Batch-Sequence", at.to_string());
            if at == last {
                headers.insert("Nats-Batch-Commit", "1");
                return self.publish(subject, headers, payload).await;
            }
            if !self.is_up() {
                return Err(Refused::Away);
            }
            // The first is confirmed, so that a stream that has too many batches open says so. One
            // that is not committed is forgotten by the server.
            if at == 1 {
                let answer = self.ask(subject, headers, payload).await?;
                if !answer.payload.is_empty() {
                    acked(&answer)?;
                }
            } else {
                let sent = self.client.publish_with_headers(subject, headers, payload).await;
                sent.map_err(|_| Refused::Away)?;
            }
        }
        Err(Refused::Odd("a batch of nothing".to_owned()))
    }

    /// Asks the API of JetStream.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        what: &str,
        question: &Value,
    ) -> Result<T, Refused> {
        let subject = format!("$JS.API.{what}");
        let payload = serde_json::to_vec(question).unwrap_or_default();
        let answer = self.ask(subject, HeaderMap::new(), payload.into()).await?;
        read(&answer.payload)
    }

    /// One message by its number, or the last of a subject.
    pub(super) async fn get(&self, stream: &str, what: Get<'_>) -> Result<Option<Kept>, Refused> {
        let question = match what {
            Get::Number(seq) => json!({ "seq": seq }),
            Get::NextOf(subject, from) => json!({ "seq": from, "next_by_subj": subject }),
            Get::LastOf(subject) => json!({ "last_by_subj": subject }),
        };
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let payload = serde_json::to_vec(&question).unwrap_or_default();
        let answer = self.ask(subject, HeaderMap::new(), payload.into()).await?;
        kept(answer)
    }

    /// The last message of a subject as the stream's leader knows it.
    pub(super) async fn last_for_sure(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<Kept>, Refused> {
        #[derive(Deserialize)]
        struct Found {
            message: Stored,
        }
        #[derive(Deserialize)]
        struct Stored {
            seq: u64,
            subject: String,
            #[serde(default)]
            data: String,
        }
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        let what = format!("STREAM.MSG.GET.{stream}");
        match self.call::<Found>(&what, &json!({ "last_by_subj": subject })).await {
            Ok(Found { message: Stored { seq, subject, data } }) => {
                let data = BASE64_STANDARD.decode(data).unwrap_or_default().into();
                Ok(Some(Kept { seq, subject, data }))
            }
            Err(Refused::Said { err_code: 10_037, .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Takes one message out of a stream. Says whether it was there.
    pub(super) async fn delete(&self, stream: &str, seq: u64) -> Result<bool, Refused> {
        #[derive(Deserialize)]
        struct Deleted {
            success: bool,
        }
        let what = format!("STREAM.MSG.DELETE.{stream}");
        match self.call::<Deleted>(&what, &json!({ "seq": seq })).await {
            Ok(deleted) => Ok(deleted.success),
            Err(Refused::Said { err_code: 10_057 | 10_043 | 10_037, .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Takes all messages of a subject out of a stream.
    pub(super) async fn purge(&self, stream: &str, subject: &str) -> Result<(), Refused> {
        let what = format!("STREAM.PURGE.{stream}");
        self.call::<Value>(&what, &json!({ "filter": subject })).await.map(drop)
    }

    /// How much a stream holds, and the subjects that fit with how many messages each has.
    pub(super) async fn amount(
        &self,
        stream: &str,
        subjects: Option<&str>,
    ) -> Result<(Amount, HashMap<String, u64>), Refused> {
        #[derive(Deserialize)]
        struct Info {
            state: State,
            #[serde(default)]
            total: usize,
        }
        #[derive(Deserialize)]
        struct State {
            #[serde(flatten)]
            amount: Amount,
            #[serde(default)]
            subjects: Option<HashMap<String, u64>>,
        }
        let what = format!("STREAM.INFO.{stream}");
        let mut all = HashMap::new();
        let mut seen = 0;
        loop {
            let question = match subjects {
                Some(filter) => json!({ "subjects_filter": filter, "offset": seen }),
                None => json!({}),
            };
            let info: Info = self.call(&what, &question).await?;
            let page = info.state.subjects.unwrap_or_default();
            seen += page.len();
            let last = page.is_empty() || seen >= info.total || seen >= SUBJECTS_MAX;
            all.extend(page);
            if last {
                return Ok((info.state.amount, all));
            }
        }
    }

    /// The numbers at the end of the subjects of a kind of letter, by their size.
    pub(super) async fn letters(&self, stream: &str, kind: &str) -> Result<Vec<Id>, Refused> {
        let (_, subjects) = self.amount(stream, Some(&self.names.all(kind))).await?;
        let numbers = subjects.keys().filter_map(|subject| names::last_number(subject));
        let mut ids: Vec<Id> = numbers.map(Id).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Says on an acknowledgement's subject that a record is dealt with, and waits until the server
    /// has it.
    pub(super) async fn ack(&self, reply: Subject) -> Result<(), Refused> {
        let payload = Bytes::from_static(b"+ACK");
        self.ask(reply.to_string(), HeaderMap::new(), payload).await.map(drop)
    }
}

/// Which message of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Get<'a> {
    /// This one.
    Number(u64),
    /// The first of these subjects, from a number on.
    NextOf(&'a str, u64),
    /// The last of a subject.
    LastOf(&'a str),
}

/// A subject's last message was another than expected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changed;

fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Refused> {
    #[derive(Deserialize)]
    struct Failed {
        error: Option<Said>,
    }
    if let Ok(Failed { error: Some(said) }) = serde_json::from_slice(payload) {
        let Said { code, err_code, description } = said;
        return Err(Refused::Said { code, err_code, description });
    }
    serde_json::from_slice(payload).map_err(|error| Refused::Odd(error.to_string()))
}

fn acked(answer: &Message) -> Result<Acked, Refused> {
    #[derive(Deserialize)]
    struct PubAck {
        seq: u64,
        #[serde(default)]
        duplicate: bool,
    }
    let PubAck { seq, duplicate } = read(&answer.payload)?;
    Ok(Acked { seq, duplicate })
}

fn kept(answer: Message) -> Result<Option<Kept>, Refused> {
    let status = answer.status.map(|status| status.as_u16());
    match status {
        None | Some(200) => {}
        Some(404) => return Ok(None),
        Some(code) => {
            let description = answer.description.unwrap_or_default();
            return Err(Refused::Said { code, err_code: 0, description });
        }
    }
    let headers = answer.headers.unwrap_or_default();
    let odd = || Refused::Odd("a message without a number".to_owned());
    let seq = headers.get("Nats-Sequence").and_then(|value| value.as_str().parse().ok());
    let subject = headers.get("Nats-Subject").map(|value| value.as_str().to_owned());
    let (Some(seq), Some(subject)) = (seq, subject) else { return Err(odd()) };
    Ok(Some(Kept { seq, subject, data: answer.payload }))
}

impl Refused {
    /// Whether the server has said no, or was not asked: nothing has happened.
    pub(super) fn is_certain(&self) -> bool {
        !matches!(self, Self::Silent | Self::Odd(_))
    }

    /// Whether a stream has said that it has as many batches open as it may.
    pub(super) fn is_crowded(&self) -> bool {
        matches!(self, Self::Said { err_code: 10_210 | 10_176, .. })
    }
}

/// Why nothing was stored, or why nothing can be looked at. What became of a record whose publish was
/// not answered, only `put` can tell.
impl From<Refused> for NotStored {
    // The numbers are those of nats-server/server/errors.json.
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Away | Refused::Nobody(_) | Refused::Silent => Self::Away,
            Refused::TooLarge => Self::TooLarge { records: 1, limit: 0 },
            Refused::Said { err_code: 10_077, description, .. }
                if description.contains("maximum") =>
            {
                Self::Full
            }
            Refused::Said { err_code: 10_077, description, .. }
                if description.contains("space") =>
            {
                Self::DiskFull
            }
            Refused::Said { err_code: 10_002 | 10_023 | 10_028 | 10_047, .. } => Self::DiskFull,
            Refused::Said { err_code: 10_008 | 10_009, .. } => Self::Away,
            Refused::Said { err_code: 10_054, .. } => Self::TooLarge { records: 1, limit: 0 },
            other => Self::Broken(other.to_string().into()),
        }
    }
}
