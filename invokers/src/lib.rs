//! One event to one function: a file or folder for each kind, over one shared pooled HTTP client.
//!
//! A kind has two halves. Its `Target` is checked, immutable and in the route table, and opens
//! nothing. Its lane is made from the target by a data-plane core, lazily, and owns that core's
//! connections; it implements [`schemas::Invoker`].

pub mod amqp;
mod answer;
pub mod client;
pub mod consume;
pub mod embedded;
pub mod http;
mod late;
mod link;
pub mod message;
pub mod nats;
pub mod probe;
pub mod tls;
mod urls;

use std::{fmt, rc::Rc, sync::Arc};

use outbox::Outbox;
use schemas::{Ack, Format, Grammar, Invoker, Reveal};

pub use self::{late::late_replies, urls::Urls};

/// A checked upstream of any kind. Adding a kind adds a variant, and the compiler names the arms.
#[derive(Clone, Debug)]
pub enum Target {
    /// An HTTP service.
    Http(Arc<http::Target>),
    /// A NATS server, core or JetStream.
    Nats(Arc<nats::Target>),
    /// An AMQP 0.9.1 broker.
    Amqp(Arc<amqp::Target>),
    /// Topics in the gateway's own outbox.
    Embedded(Arc<embedded::Target>),
}

/// What a lane may use of the program around it.
#[derive(Clone)]
pub struct Tools {
    /// Reads secrets and certificates.
    pub secrets: Arc<dyn Reveal>,
    /// Where events are kept that are accepted before they are delivered.
    pub outbox: Arc<Outbox>,
}

impl fmt::Debug for Tools {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Tools")
    }
}

impl Target {
    /// The kind as it is written in a configuration.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Nats(_) => "nats",
            Self::Amqp(_) => "amqp",
            Self::Embedded(_) => "embedded",
        }
    }

    /// What a function part of this kind is made of.
    #[must_use]
    pub fn grammar(&self) -> Grammar {
        match self {
            Self::Http(_) => Grammar::Path,
            Self::Nats(_) => Grammar::Subject,
            Self::Amqp(_) => Grammar::RoutingKey,
            Self::Embedded(_) => Grammar::Topic,
        }
    }

    /// The levels of acknowledgement that the kind can give; the first is its default.
    #[must_use]
    pub fn acks(&self) -> &'static [Ack] {
        match self {
            Self::Http(_) => &[Ack::Replied],
            Self::Nats(target) if target.jetstream() => &[Ack::Published],
            Self::Nats(_) | Self::Amqp(_) => &[Ack::Published, Ack::Replied],
            Self::Embedded(_) => &[Ack::Stored],
        }
    }

    /// What the target gets unless the route says otherwise.
    #[must_use]
    pub fn default_format(&self) -> Format {
        match self {
            Self::Http(_) => Format::Auto,
            Self::Nats(_) | Self::Amqp(_) | Self::Embedded(_) => Format::Binary,
        }
    }

    /// Whether what it calls is code that was deployed to be run by a call, and not a service or a
    /// broker that is there anyhow.
    #[must_use]
    pub fn runs_code(&self) -> bool {
        match self {
            Self::Http(_) | Self::Nats(_) | Self::Amqp(_) | Self::Embedded(_) => false,
        }
    }

    /// Whether the kind hands an event's identity on for deduplication.
    #[must_use]
    pub fn deduplicates(&self) -> bool {
        matches!(self, Self::Nats(target) if target.jetstream())
    }

    /// Whether the kind hands an event's identity on: what [`Self::deduplicates`] does, and AMQP, whose
    /// consumers find it in `message-id` and may deduplicate by it.
    #[must_use]
    pub fn identifies(&self) -> bool {
        self.deduplicates() || matches!(self, Self::Amqp(_))
    }

    /// Makes the lane of one core. Opens nothing.
    #[must_use]
    pub fn lane(&self, tools: &Tools) -> Rc<dyn Invoker> {
        match self {
            Self::Http(target) => Rc::new(http::Lane::new(target, tools)),
            Self::Nats(target) => Rc::new(nats::Lane::new(Arc::clone(target), tools.clone())),
            Self::Amqp(target) => Rc::new(amqp::Lane::new(Arc::clone(target), tools.clone())),
            Self::Embedded(target) => {
                Rc::new(embedded::Lane::new(Arc::clone(target), Arc::clone(&tools.outbox)))
            }
        }
    }
}
