//! One event to one function: a file or folder for each kind, over one shared pooled HTTP client.
//!
//! A kind has two halves. Its `Target` is checked, immutable and in the route table, and opens
//! nothing. Its lane is made from the target by a data-plane core, lazily, and owns that core's
//! connections; it implements [`schemas::Invoker`].

pub mod amqp;
mod answer;
pub mod azure;
pub mod client;
pub mod consume;
pub mod embedded;
pub mod google;
pub mod grpc;
pub mod http;
pub mod knative;
pub mod lambda;
mod late;
mod link;
pub mod list;
pub mod message;
pub mod nats;
pub mod openfaas;
mod platform;
pub mod probe;
pub mod tls;
mod urls;

use std::{fmt, rc::Rc, sync::Arc};

use ::http::HeaderMap;
use outbox::Outbox;
use schemas::{Ack, Format, Grammar, Invoker, Reveal, Template, Value};

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
    /// A gRPC service.
    Grpc(Arc<grpc::Target>),
    /// Topics in the gateway's own outbox.
    Embedded(Arc<embedded::Target>),
    /// The functions of an OpenFaaS.
    OpenFaas(Arc<openfaas::Target>),
    /// The functions of an Azure function app.
    Azure(Arc<azure::Target>),
    /// The functions of AWS Lambda in one region.
    Lambda(Arc<lambda::Target>),
    /// The services, brokers and channels of a Knative.
    Knative(Arc<knative::Target>),
    /// Functions and services of Google Cloud.
    Google(Arc<google::Target>),
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
            Self::Grpc(_) => "grpc",
            Self::Embedded(_) => "embedded",
            Self::OpenFaas(_) => "openfaas",
            Self::Azure(_) => "azure-functions",
            Self::Lambda(_) => "lambda",
            Self::Knative(_) => "knative",
            Self::Google(_) => "google-functions",
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
            Self::Grpc(_)
            | Self::Lambda(_)
            | Self::OpenFaas(_)
            | Self::Azure(_)
            | Self::Knative(_)
            | Self::Google(_) => Grammar::Function,
        }
    }

    /// Checks that a function part is what the kind calls a function: what is wrong with it, and
    /// what to write, in which `UPSTREAM` stands for the upstream's name.
    ///
    /// # Errors
    /// Both as texts.
    pub fn names(&self, function: &Template) -> Result<(), (String, String)> {
        match self {
            Self::Grpc(_) => grpc::Target::names(function),
            Self::Lambda(_) => lambda::Target::names(function),
            Self::OpenFaas(_) => openfaas::Target::names(function),
            Self::Azure(_) => azure::Target::names(function),
            Self::Knative(target) => target.names(function),
            Self::Google(target) => target.names(function),
            // The loader knows their grammars.
            Self::Http(_) | Self::Nats(_) | Self::Amqp(_) | Self::Embedded(_) => Ok(()),
        }
    }

    /// Whether a function, by the text in front of its first placeholder, gets events and nothing
    /// else.
    #[must_use]
    pub fn takes_events(&self, function: &str) -> bool {
        match self {
            Self::Knative(_) => knative::takes_events(function),
            Self::Http(_)
            | Self::Grpc(_)
            | Self::Lambda(_)
            | Self::OpenFaas(_)
            | Self::Azure(_)
            | Self::Google(_) => false,
            Self::Nats(_) | Self::Amqp(_) | Self::Embedded(_) => true,
        }
    }

    /// Whether a function takes what is written in this form, where it is to give this level of
    /// acknowledgement.
    ///
    /// # Errors
    /// What it takes, and what to write instead.
    pub fn takes(&self, function: &str, format: Format, ack: Ack) -> Result<(), [&'static str; 2]> {
        match format {
            Format::Binary if matches!(self, Self::Azure(_)) && ack == Ack::Published => {
                Err(["starts a function with one text", "write structured, or leave it out"])
            }
            Format::Auto | Format::Plain if self.is_sink(function) => {
                Err(["takes CloudEvents only here", "write binary or structured"])
            }
            Format::Auto if self.takes_events(function) => {
                Err(["takes events only", "write binary, structured or plain"])
            }
            Format::Binary if self.is_enveloped() => {
                Err(["takes one document", "write structured, or leave it out"])
            }
            Format::Binary if matches!(self, Self::Grpc(_)) => {
                Err(["puts no event into headers", "write message, plain or structured"])
            }
            format => self.replies(format),
        }
    }

    /// Whether a function takes CloudEvents whole, and nothing without their attributes.
    fn is_sink(&self, function: &str) -> bool {
        matches!(self, Self::Knative(_)) && knative::takes_events(function)
    }

    /// Takes out of a caller's fields what only the platform's own parts say to each other.
    pub fn remove_reserved(&self, headers: &mut HeaderMap) {
        match self {
            Self::Knative(_) => knative::remove_reserved(headers),
            Self::Google(_) => google::remove_reserved(headers),
            _ => {}
        }
    }

    /// Whether a function replies to an event with another that is to be routed again, if nobody
    /// waits for it.
    #[must_use]
    pub fn replies_with_events(&self) -> bool {
        matches!(self, Self::Knative(_))
    }

    /// What a dead letter says of its end in the platform's own words: extension attributes.
    #[must_use]
    pub fn words(&self, function: &str, ended: &knative::Ended<'_>) -> Vec<(&'static str, Value)> {
        match self {
            Self::Knative(target) => target.words(function, ended),
            _ => Vec::new(),
        }
    }

    /// Whether a reply can be read in this form.
    ///
    /// # Errors
    /// What the kind does, and what to write instead.
    pub fn replies(&self, format: Format) -> Result<(), [&'static str; 2]> {
        if format.is_envelope() && !self.is_enveloped() {
            return Err(["knows no envelope", "write auto, binary, structured or plain"]);
        }
        if format == Format::Message && !matches!(self, Self::Grpc(_)) {
            return Err([
                "has no methods with messages",
                "write auto, binary, structured or plain",
            ]);
        }
        Ok(())
    }

    /// The levels of acknowledgement that a function can give; the first is its default.
    #[must_use]
    pub fn acks(&self, function: &str) -> &'static [Ack] {
        match self {
            Self::Knative(_) if self.is_sink(function) => &[Ack::Published, Ack::Replied],
            Self::Knative(_) => &[Ack::Replied],
            Self::Azure(target) if target.starts() => &[Ack::Replied, Ack::Published],
            Self::Http(_) | Self::Grpc(_) | Self::Azure(_) | Self::Google(_) => &[Ack::Replied],
            Self::Nats(target) if target.jetstream() => &[Ack::Published],
            Self::Nats(_) | Self::Amqp(_) => &[Ack::Published, Ack::Replied],
            Self::Embedded(_) => &[Ack::Stored],
            Self::Lambda(_) | Self::OpenFaas(_) => &[Ack::Replied, Ack::Published],
        }
    }

    /// What a function gets unless the route says otherwise.
    #[must_use]
    pub fn default_format(&self, function: &str) -> Format {
        match self {
            Self::Grpc(_) => Format::Message,
            _ if self.takes_events(function) => Format::Binary,
            _ => Format::Auto,
        }
    }

    /// Whether what it calls is code that was deployed to be run by a call, and not a service or a
    /// broker that is there anyhow. No request may choose it freely then.
    #[must_use]
    pub fn runs_code(&self) -> bool {
        match self {
            Self::Grpc(_) => true,
            Self::Http(_) | Self::Nats(_) | Self::Amqp(_) | Self::Embedded(_) => false,
            Self::Lambda(_)
            | Self::OpenFaas(_)
            | Self::Azure(_)
            | Self::Knative(_)
            | Self::Google(_) => true,
        }
    }

    /// Whether a function is called with one document, so that a request needs an envelope.
    #[must_use]
    pub fn is_enveloped(&self) -> bool {
        matches!(self, Self::Lambda(_))
    }

    /// Whether a target of this format needs the events that a body holds.
    #[must_use]
    pub fn reads_events(&self, format: Format) -> bool {
        match format {
            // What is quite no event makes functions of Google's fail in odd ways.
            Format::Auto => matches!(self, Self::Lambda(_) | Self::Grpc(_) | Self::Google(_)),
            Format::ApiGatewayV2 | Format::ApiGatewayV1 | Format::Alb => false,
            Format::Binary | Format::Structured | Format::Plain | Format::Message => true,
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
            Self::Grpc(target) => Rc::new(grpc::Lane::new(Arc::clone(target), tools)),
            Self::Embedded(target) => {
                Rc::new(embedded::Lane::new(Arc::clone(target), Arc::clone(&tools.outbox)))
            }
            Self::OpenFaas(target) => Rc::new(openfaas::Lane::new(Arc::clone(target), tools)),
            Self::Azure(target) => Rc::new(azure::Lane::new(Arc::clone(target), tools)),
            Self::Lambda(target) => Rc::new(lambda::Lane::new(target, tools)),
            Self::Knative(target) => Rc::new(knative::Lane::new(Arc::clone(target), tools)),
            Self::Google(target) => Rc::new(google::Lane::new(Arc::clone(target), tools)),
        }
    }
}
