//! What came back from a function or a broker, and what the kind thinks of it.

use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Body, Class, Ran, Tunnel};

/// An answer. The waiting caller gets it unchanged; retry, breaker, metrics and outbox read only
/// its verdict.
#[derive(Debug)]
pub struct Reply {
    /// Status and headers.
    pub head: ReplyHead,
    /// The body.
    pub data: Body,
    /// What the kind's `classify` says of it.
    pub verdict: Verdict,
    /// What a broker has confirmed. Where it is set the caller gets a 202 that is made of it, and
    /// `head` and `data` are not used.
    pub receipt: Option<Box<Receipt>>,
    /// The upstream's half of a connection that has changed protocol (status 101).
    pub upgrade: Option<Tunnel>,
    /// The endpoint that answered.
    pub endpoint: Option<crate::EndpointId>,
}

/// Status and headers of a reply.
#[derive(Clone, Debug, Default)]
pub struct ReplyHead {
    /// The status.
    pub status: StatusCode,
    /// The headers, hop-by-hop headers removed.
    pub headers: HeaderMap,
}

/// Whether the function did what it was called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It did.
    Ok,
    /// It did not.
    Failed {
        /// In which way.
        class: Class,
        /// May it have run?
        ran: Ran,
        /// When the platform wants to be asked again, in milliseconds.
        retry_after_ms: Option<u32>,
    },
}

/// What an answer means: how far the event has come when the caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// The function's own answer.
    Replied,
    /// A broker or platform has taken the event.
    Published,
    /// The event is on disk here, and will be delivered or be in the dead letters.
    Stored,
}

impl Ack {
    /// The word of the `Gusset-Ack` header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Replied => "replied",
            Self::Published => "published",
            Self::Stored => "stored",
        }
    }
}

/// Where a published event is safe from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// The server has processed it; nobody keeps it.
    None,
    /// It is in the memory of a broker.
    BrokerMemory,
    /// It is on the disk of a broker, perhaps not yet synced.
    BrokerDisk,
    /// It is on disk and synced.
    DiskSynced,
}

/// What a broker has confirmed.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    /// How far the event has come.
    pub ack: Ack,
    /// What it is safe from.
    pub guarantee: Guarantee,
    /// The broker knows this event already.
    pub duplicate: bool,
    /// Where it is, in the broker's words: subject, stream, sequence.
    pub receipt: serde_json::Map<String, serde_json::Value>,
}

impl Reply {
    /// A reply of a function that did what it was called for.
    #[must_use]
    pub fn ok(status: StatusCode, headers: HeaderMap, data: Body) -> Self {
        Self {
            head: ReplyHead { status, headers },
            data,
            verdict: Verdict::Ok,
            receipt: None,
            upgrade: None,
            endpoint: None,
        }
    }

    /// A broker's confirmation.
    #[must_use]
    pub fn published(receipt: Receipt) -> Self {
        Self {
            receipt: Some(Box::new(receipt)),
            ..Self::ok(StatusCode::ACCEPTED, HeaderMap::new(), Body::empty())
        }
    }
}
