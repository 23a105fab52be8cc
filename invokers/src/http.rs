//! HTTP services: the request goes on as it is, or as a CloudEvent in the mode that is asked for
//! (CloudEvents HTTP Protocol Binding 1.0.2).
//!
//! The common request passes through untouched: its headers are written as they are, its body is
//! moved, and what concerns a hop is decided where it is written (`client/exchange.rs`).

pub(crate) mod format;
pub(crate) mod incoming;
pub(crate) mod outgoing;

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use schemas::{Call, Class, Fault, Invoker, Name, Reply, units::Span};
use serde::{Deserialize, Serialize};

use crate::{
    Tools,
    client::{Client, Origin},
    platform::{self, Aim, Authoriser, Heard, Own, Platform, Reach, Said, Wrong},
    probe::Probed,
    tls::Tls,
};

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
pub struct Target {
    /// At least one.
    pub(crate) origins: Vec<Arc<Origin>>,
    pub(crate) reach: Reach,
}

impl Target {
    /// Checks what is written. Opens nothing.
    ///
    /// # Errors
    /// Each thing that is wrong: the field's path below the upstream, and what to write.
    pub fn build(_name: &Name, written: Written) -> Result<Self, Vec<(String, String)>> {
        let mut wrong = Wrong::new();
        let mut say = |path: String, what: String| wrong.push((path, what));
        let urls: Vec<(String, String)> = match (written.url, written.endpoints) {
            (Some(url), None) => vec![("url".to_owned(), url)],
            (None, Some(urls)) => {
                if urls.is_empty() {
                    say("endpoints".into(), "is empty; write at least one URL".into());
                }
                let path = |at| format!("endpoints[{at}]");
                urls.into_iter().enumerate().map(|(at, url)| (path(at), url)).collect()
            }
            (Some(_), Some(_)) => {
                say("endpoints".into(), "stands beside `url`; write one of the two".into());
                Vec::new()
            }
            (None, None) => {
                let what = "is missing; write the service's URL, or `endpoints` for several";
                say("url".into(), what.into());
                Vec::new()
            }
        };
        if urls.len() > usize::from(u16::MAX) {
            say("endpoints".into(), "is too long; write at most 65535 URLs".into());
        }
        let reach = Reach::new(written.tls, written.connect_timeout);
        let origins = urls.iter().filter_map(|(path, url)| reach.origin(path, url, &mut wrong));
        let origins: Vec<_> = origins.collect();
        reach.check(&origins, &mut wrong);
        if wrong.is_empty() { Ok(Self { origins, reach }) } else { Err(wrong) }
    }
}

/// One core's connections.
#[derive(Debug)]
pub struct Lane {
    client: Client,
}

impl Lane {
    /// Makes the lane; it connects with its first call.
    #[must_use]
    pub fn new(target: &Target, tools: &Tools) -> Self {
        Self { client: target.reach.client(&target.origins, tools) }
    }

    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        if !call.function.is_empty() {
            let what = "an http upstream is one function; write its name alone as the address";
            return Err(Fault::new(Class::FunctionNotDeployed, what));
        }
        let aim = Aim {
            client: &self.client,
            prefix: "",
            method: None,
            own: Own::new(),
            authoriser: &Authoriser::NOBODY,
        };
        platform::call(&Service, aim, call).await
    }
}

/// A service, whose every answer is its own.
struct Service;

impl Platform for Service {
    const ERRORS_ARE_EMPTY: bool = false;

    fn classify(&self, heard: &Heard<'_>) -> Said {
        heard.answer()
    }
}

/// Connects to every endpoint of a service once, and sends nothing.
pub async fn probe(target: &Target, tools: &Tools) -> Vec<Probed> {
    Lane::new(target, tools).client.probe().await
}

impl Invoker for Lane {
    fn call(&self, call: Call) -> LocalBoxFuture<'_, Result<Reply, Fault>> {
        Box::pin(self.send(call))
    }
}

#[cfg(test)]
mod tests;
