//! HTTP services.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use schemas::{Call, Fault, Invoker, Name, Reply, units::Span};
use serde::{Deserialize, Serialize};

use crate::{Tools, tls::Tls};

/// An HTTP upstream as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The service's URL; its path goes in front of every request's.
    pub url: Option<String>,
    /// Several URLs of one service, used in turn, instead of `url`.
    pub endpoints: Option<Vec<String>>,
    /// TLS settings for `https` URLs.
    pub tls: Option<Tls>,
    /// How long connecting may take. Default 5s.
    pub connect_timeout: Option<Span>,
}

/// An HTTP upstream, checked.
#[derive(Debug)]
pub struct Target {}

impl Target {
    /// Checks what is written. Opens nothing.
    ///
    /// # Errors
    /// Each thing that is wrong: the field's path below the upstream, and what to write.
    pub fn build(_name: &Name, _written: Written) -> Result<Self, Vec<(String, String)>> {
        Ok(Self {})
    }
}

/// One core's connections.
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
