//! HTTP services: the request goes on as it is, or as a CloudEvent in the mode that is asked for
//! (CloudEvents HTTP Protocol Binding 1.0.2).
//!
//! The common request passes through untouched: its headers are written as they are, its body is
//! moved, and what concerns a hop is decided where it is written (`client/exchange.rs`).

mod format;
mod incoming;
mod outgoing;

use std::{mem, sync::Arc, time::Duration};

use futures_util::future::LocalBoxFuture;
use http::Method;
use schemars::JsonSchema;
use schemas::{Call, Class, Fault, Invoker, Name, Reply, units::Span};
use serde::{Deserialize, Serialize};

use crate::{
    Tools,
    client::{CONNECT_TIMEOUT, Client, Failed, Head, Origin},
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
    origins: Vec<Arc<Origin>>,
    tls: Option<Tls>,
    connect_timeout: Duration,
}

impl Target {
    /// Checks what is written. Opens nothing.
    ///
    /// # Errors
    /// Each thing that is wrong: the field's path below the upstream, and what to write.
    pub fn build(_name: &Name, written: Written) -> Result<Self, Vec<(String, String)>> {
        let mut wrong = Vec::new();
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
        let server_name = written.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
        let server_name = server_name.filter(|name| crate::client::server_name_of(name).is_ok());
        let mut origins = Vec::with_capacity(urls.len());
        for (path, url) in urls {
            match Origin::parse(&url, server_name) {
                Ok(origin) => origins.push(Arc::new(origin)),
                Err(what) => say(path, what),
            }
        }
        if let Some(tls) = &written.tls {
            if !origins.is_empty() && !origins.iter().any(|origin| origin.https()) {
                say("tls".into(), "has no use for http URLs; write https, or leave it out".into());
            }
            for (path, what) in tls.check() {
                say(path, what);
            }
        }
        let connect_timeout = written.connect_timeout.map_or(CONNECT_TIMEOUT, |span| span.0);
        if connect_timeout.is_zero() {
            say("connect_timeout".into(), "is no time at all; write one such as 5s".into());
        }
        if wrong.is_empty() {
            Ok(Self { origins, tls: written.tls, connect_timeout })
        } else {
            Err(wrong)
        }
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
        let Target { origins, tls, connect_timeout } = target;
        let client = Client::new(origins, tls.as_ref(), *connect_timeout, tools);
        Self { client: client.expect("a target that was built has 1 to 65535 endpoints") }
    }

    async fn send(&self, mut call: Call) -> Result<Reply, Fault> {
        refuse(&call)?;
        let written = format::write(&mut call)?;
        let line = match self.client.open(call.avoid, call.deadline).await {
            Ok(line) => line,
            Err(fault) => return Err(fault.unsent(written.undo(call))),
        };
        let id = line.id;
        let mut data = mem::take(&mut call.event.data);
        let head = Head {
            method: &call.head.method,
            path: &outgoing::path(&call.head.uri, &line.origin.base)?,
            headers: &call.head.headers,
            upgrade: call.upgrade.as_ref(),
        };
        match self.client.send(line, &head, &mut data, call.deadline).await {
            Ok(answered) => {
                let upgrade = call.upgrade.is_some();
                http1::recycle(mem::take(&mut call.head.headers));
                incoming::reply(answered, id, upgrade)
            }
            Err(Failed::Sent(fault)) => Err(fault.at(id)),
            Err(Failed::Unsent(fault)) => {
                call.event.data = data;
                Err(fault.at(id).unsent(written.undo(call)))
            }
        }
    }
}

/// Connects to every endpoint of a service once, and sends nothing.
pub async fn probe(target: &Target, tools: &Tools) -> Vec<Probed> {
    Lane::new(target, tools).client.probe().await
}

/// What an HTTP service cannot be asked for.
fn refuse(call: &Call) -> Result<(), Fault> {
    if call.head.method == Method::CONNECT {
        return Err(Fault::new(Class::BadRequest, "CONNECT asks for a tunnel, and there is none"));
    }
    if !call.function.is_empty() {
        let what = "an http upstream is one function; write its name alone as the address";
        return Err(Fault::new(Class::FunctionNotDeployed, what));
    }
    Ok(())
}

impl Invoker for Lane {
    fn call(&self, call: Call) -> LocalBoxFuture<'_, Result<Reply, Fault>> {
        Box::pin(self.send(call))
    }
}

#[cfg(test)]
mod tests;
