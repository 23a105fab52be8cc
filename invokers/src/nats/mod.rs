//! NATS, core and JetStream.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use schemas::{Call, Fault, FileRef, Invoker, Name, Reply, Secret, units::Span};
use serde::{Deserialize, Serialize};

use crate::{Tools, tls::Tls};

/// A NATS upstream as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The server, or a list of servers of one cluster: `nats://host:4222` or `tls://host:4222`.
    pub url: Urls,
    /// Publish to JetStream and wait for its acknowledgement: `true`, or the stream that must take it.
    pub jetstream: Option<JetStream>,
    /// The user name; with `password`.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// A token.
    pub token: Option<Secret>,
    /// The seed of an nkey (`SU…`).
    pub nkey: Option<Secret>,
    /// A credentials file (`.creds`) with a JWT and a seed.
    pub credentials: Option<FileRef>,
    /// TLS settings. A `tls://` URL asks for TLS by itself.
    pub tls: Option<Tls>,
    /// How long connecting may take. Default 5s.
    pub connect_timeout: Option<Span>,
    /// Lets a credential go over plain text to an address that is not loopback.
    pub allow_plaintext_credentials: Option<bool>,
}

/// One URL or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Urls {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Whether and how JetStream is used.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum JetStream {
    /// `true`: the stream is found by the subject.
    On(bool),
    /// The stream that must take the message, else it is refused.
    Stream {
        /// Its name.
        stream: String,
    },
}

/// A NATS upstream, checked.
#[derive(Debug)]
pub struct Target {
    written: Written,
}

impl Target {
    /// Checks what is written. Opens nothing.
    ///
    /// # Errors
    /// Each thing that is wrong: the field's path below the upstream, and what to write.
    pub fn build(_name: &Name, written: Written) -> Result<Self, Vec<(String, String)>> {
        Ok(Self { written })
    }

    /// Whether messages go to JetStream.
    #[must_use]
    pub fn jetstream(&self) -> bool {
        !matches!(self.written.jetstream, None | Some(JetStream::On(false)))
    }
}

/// One core's connection.
#[derive(Debug)]
pub struct Lane {
    _target: Arc<Target>,
}

impl Lane {
    /// Makes the lane; it connects with its first call.
    #[must_use]
    pub fn new(target: Arc<Target>, _tools: Tools) -> Self {
        Self { _target: target }
    }
}

impl Invoker for Lane {
    fn call(&self, _call: Call) -> LocalBoxFuture<'_, Result<Reply, Fault>> {
        Box::pin(async { Err(Fault::new(schemas::Class::Internal, "not built yet")) })
    }
}
