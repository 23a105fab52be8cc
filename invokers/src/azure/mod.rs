//! Azure Functions: `/api/NAME`, with a key in `x-functions-key`.
//!
//! A key stands in a header and never in a URL, where logs and caches would have it, and where it
//! would take the place of the caller's own query.

mod config;
mod list;
mod said;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::LocalBoxFuture;
use http::{HeaderName, StatusCode};
use http_body::Body as _;
use schemas::{Call, Class, Fault, Invoker, Reply, Reveal, Secret};

use self::said::Host;
pub use self::{
    config::{Target, Written},
    list::list,
};
use crate::{
    Tools,
    client::Client,
    platform::{self, Aim, Authoriser, Key, Known, Own},
    probe::Probed,
};

/// The field that a key stands in. It wins over `code` in the query.
pub(crate) const KEY: HeaderName = HeaderName::from_static("x-functions-key");

/// How long a call that found nothing waits for the list that says whether there is anything.
const LISTED_WITHIN: Duration = Duration::from_secs(2);

/// One core's connections and keys.
pub struct Lane {
    target: Arc<Target>,
    client: Client,
    /// The key of each function that has one of its own.
    keys: HashMap<String, Authoriser>,
    /// The key of all others.
    host: Authoriser,
    secrets: Arc<dyn Reveal>,
    known: Known,
}

impl Lane {
    /// Makes the lane; it connects, and reads its keys, with its first call.
    #[must_use]
    pub fn new(target: Arc<Target>, tools: &Tools) -> Self {
        let key = |secret: &Secret| {
            Authoriser::Key(Key::new(KEY, secret.clone(), Arc::clone(&tools.secrets)))
        };
        let own = target.keys.iter().map(|(function, secret)| (function.clone(), key(secret)));
        Self {
            keys: own.collect(),
            host: target.key.as_ref().map_or(Authoriser::Nobody, key),
            client: target.client(tools),
            secrets: Arc::clone(&tools.secrets),
            known: Known::default(),
            target,
        }
    }

    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        let function = Arc::clone(&call.function);
        let deadline = call.deadline;
        let prefix = self.target.path(&function)?;
        let aim = Aim {
            client: &self.client,
            prefix: &prefix,
            method: None,
            own: Own::new(),
            authoriser: self.keys.get(&*function).unwrap_or(&self.host),
        };
        let reply = platform::call(&Host, aim, call).await?;
        // A function that finds nothing says the same as a host without the function.
        let nothing = reply.head.status == StatusCode::NOT_FOUND && reply.data.is_end_stream();
        if nothing && self.target.master_key.is_some() {
            let ends = platform::within(LISTED_WITHIN, deadline);
            let names = list::names(&self.target, &*self.secrets, &self.client, ends);
            if self.known.lacks("", &function.to_ascii_lowercase(), Box::pin(names)).await {
                let what = "the function app has no such function, or it is disabled";
                return Err(Fault::new(Class::FunctionNotDeployed, what));
            }
        }
        Ok(reply)
    }
}

/// Connects to the function app once, and sends nothing.
pub async fn probe(target: &Target, tools: &Tools) -> Vec<Probed> {
    target.client(tools).probe().await
}

impl Invoker for Lane {
    fn call(&self, call: Call) -> LocalBoxFuture<'_, Result<Reply, Fault>> {
        Box::pin(self.send(call))
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("azure::Lane").field("target", &self.target).finish_non_exhaustive()
    }
}
