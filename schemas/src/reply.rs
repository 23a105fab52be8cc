//! What came back from a function or a broker, and what the kind thinks of it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

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
    /// Where the end of the body may say otherwise: what it says, once it has passed.
    pub later: Option<Later>,
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

/// A verdict that comes with the end of a reply's body, as gRPC's status does in trailers. The kind
/// settles it, at most once; until then, and for ever if the body broke off, there is none.
#[derive(Clone, Default)]
pub struct Later(Arc<Mutex<Settling>>);

#[derive(Default)]
struct Settling {
    verdict: Option<Verdict>,
    then: Option<Box<dyn FnOnce(Verdict) + Send>>,
}

impl Later {
    /// Says what it came to. What was said first stays.
    pub fn settle(&self, verdict: Verdict) {
        let mut settling = self.lock();
        if settling.verdict.is_some() {
            return;
        }
        settling.verdict = Some(verdict);
        let then = settling.then.take();
        drop(settling);
        if let Some(then) = then {
            then(verdict);
        }
    }

    /// What it came to, if that is known.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.lock().verdict
    }

    /// Has `then` told once it is known; the last who asks is.
    pub fn then(&self, then: impl FnOnce(Verdict) + Send + 'static) {
        let mut settling = self.lock();
        match settling.verdict {
            Some(verdict) => {
                drop(settling);
                then(verdict);
            }
            None => settling.then = Some(Box::new(then)),
        }
    }

    /// A panic while the lock was held left it as good as it was.
    fn lock(&self) -> MutexGuard<'_, Settling> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Later").field(&self.verdict()).finish()
    }
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
            later: None,
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
