//! How the places of a platform are reached: what the kinds check of it, and the client.

use std::{sync::Arc, time::Duration};

use schemas::units::Span;

use crate::{
    Tools,
    client::{CONNECT_TIMEOUT, Client, Connector, Origin, Speaks, server_name_of},
    tls::Tls,
};

/// What is wrong: the field's path below the upstream, and what to write.
pub(crate) type Wrong = Vec<(String, String)>;

/// How every place of one upstream is reached.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    tls: Option<Tls>,
    connect_timeout: Duration,
}

impl Reach {
    /// Takes what is written; [`Self::check`] says what is wrong with it.
    pub(crate) fn new(tls: Option<Tls>, connect_timeout: Option<Span>) -> Self {
        Self { tls, connect_timeout: connect_timeout.map_or(CONNECT_TIMEOUT, |span| span.0) }
    }

    /// Reads the URL of one place. What is wrong is told of its field.
    pub(crate) fn origin(&self, field: &str, url: &str, wrong: &mut Wrong) -> Option<Arc<Origin>> {
        let name = self.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
        let name = name.filter(|name| server_name_of(name).is_ok());
        match Origin::parse(url, name) {
            Ok(origin) => Some(Arc::new(origin)),
            Err(what) => {
                wrong.push((field.to_owned(), what));
                None
            }
        }
    }

    /// Checks the rest, once all places are known.
    pub(crate) fn check(&self, origins: &[Arc<Origin>], wrong: &mut Wrong) {
        if let Some(tls) = &self.tls {
            if !origins.is_empty() && !origins.iter().any(|origin| origin.https()) {
                let what = "has no use for http URLs; write https, or leave it out";
                wrong.push(("tls".to_owned(), what.to_owned()));
            }
            wrong.extend(tls.check());
        }
        if self.connect_timeout.is_zero() {
            let what = "is no time at all; write one such as 5s";
            wrong.push(("connect_timeout".to_owned(), what.to_owned()));
        }
    }

    /// Checks that a secret, which is written in `field`, goes nowhere in plain text.
    pub(crate) fn keeps(origin: &Origin, field: &str, allowed: Option<bool>, wrong: &mut Wrong) {
        if origin.is_open() && allowed != Some(true) {
            let url = origin.url();
            let what = format!(
                "would go over plain text to {url}; write https, or \
                 allow_plaintext_credentials: true"
            );
            wrong.push((field.to_owned(), what));
        }
    }

    /// Makes connections on which this is spoken. Opens nothing.
    pub(crate) fn connector(&self, speaks: Speaks, tools: &Tools) -> Connector {
        Connector::new(speaks, self.tls.clone(), self.connect_timeout, tools)
    }

    /// One core's connections to these endpoints of one place. Opens nothing.
    ///
    /// # Panics
    /// If there is none, or there are more than 65535.
    pub(crate) fn client(&self, origins: &[Arc<Origin>], tools: &Tools) -> Client {
        let client = Client::new(origins, self.tls.as_ref(), self.connect_timeout, tools);
        client.expect("a target that was built has 1 to 65535 endpoints")
    }
}
