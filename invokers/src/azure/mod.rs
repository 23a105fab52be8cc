//! Azure Functions: `/api/NAME`, with a key in `x-functions-key`.
//!
//! A key stands in a header and never in a URL, where logs and caches would have it, and where it
//! would take the place of the caller's own query. The master key starts functions by the host's own
//! API, and lists them.

mod config;
mod entra;
mod follow;
mod list;
mod said;
mod start;
#[cfg(test)]
mod tests;
mod transport;

use std::{
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::LocalBoxFuture;
use http::{HeaderName, StatusCode, header::AUTHORIZATION};
use http_body::Body as _;
use schemas::{Ack, Call, Class, Fault, Invoker, Reply, Secret};

pub use self::{
    config::{Target, Written},
    entra::Entra,
    list::list,
};
use self::{
    entra::Minter,
    follow::Started,
    said::{Admin, Host},
};
use crate::{
    Tools,
    client::Client,
    http::incoming,
    platform::{self, Aim, Authoriser, Key, Known, Own, Tokens},
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
    /// The key of each function that has one of its own, by its name in lower case.
    keys: HashMap<String, Authoriser>,
    /// The key of all others.
    host: Authoriser,
    /// The key by which functions are listed and started.
    master: Authoriser,
    /// No key at all.
    bearer: Authoriser,
    known: Known,
}

impl Lane {
    /// Makes the lane; it connects, and reads its keys, with its first call.
    #[must_use]
    pub fn new(target: Arc<Target>, tools: &Tools) -> Self {
        let who = Who::new(&target, tools);
        let own = target.keys.iter();
        Self {
            keys: own
                .map(|(function, secret)| (function.clone(), who.with(Some(secret))))
                .collect(),
            host: who.with(target.key.as_ref()),
            master: who.with(target.master_key.as_ref()),
            bearer: who.with(None),
            client: target.client(tools),
            known: Known::default(),
            target,
        }
    }

    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        if call.ack == Ack::Published {
            return Box::pin(self.start(call)).await;
        }
        let function = Arc::clone(&call.function);
        let deadline = call.deadline;
        let prefix = self.target.path(&function)?;
        let aim = self.aim(&prefix, self.authoriser(&function));
        let reply = platform::call(&Host, aim, call).await?;
        match reply.head.status {
            StatusCode::ACCEPTED if self.target.follow => {
                Box::pin(self.follow(reply, deadline)).await
            }
            // A function that finds nothing says the same as a host without the function.
            StatusCode::NOT_FOUND
                if reply.data.is_end_stream()
                    && Box::pin(self.lacks(&function, deadline)).await =>
            {
                let what = "the function app has no such function, or it is disabled";
                Err(Fault::new(Class::FunctionNotDeployed, what))
            }
            _ => Ok(reply),
        }
    }

    /// Has the host start the function, whatever triggers it, and waits for no answer of it.
    async fn start(&self, mut call: Call) -> Result<Reply, Fault> {
        let function = Arc::clone(&call.function);
        // The same check of its name; what it is called by is not used here.
        self.target.path(&function)?;
        let input = start::input(&mut call).await?;
        let prefix = format!("/admin/functions/{function}");
        let aim = self.aim(&prefix, &self.master);
        let starts = start::call(&call, &input);
        let admin = Admin { function: function.as_ref().to_owned() };
        platform::call(&admin, aim, starts).await.map_err(|fault| match fault.unsent {
            Some(_) => fault.unsent(call),
            None => fault,
        })
    }

    /// What the orchestration comes to that an answer says was started; that answer, if it says of
    /// none.
    async fn follow(&self, mut reply: Reply, deadline: Instant) -> Result<Reply, Fault> {
        let Some(place) = follow::place(&self.target.origin, &mut reply).await? else {
            return Ok(reply);
        };
        let pause = incoming::retry_after(&reply.head.headers);
        let endpoint = reply.endpoint;
        let followed = Started {
            client: &self.client,
            bearer: &self.bearer,
            place,
            pause,
            deadline,
            endpoint,
        }
        .follow();
        followed.await.map_err(|fault| match endpoint {
            Some(endpoint) => fault.at(endpoint),
            None => fault,
        })
    }

    /// Whether the host is known not to have this function. Who may not ask knows nothing.
    async fn lacks(&self, function: &str, deadline: Instant) -> bool {
        if self.target.master_key.is_none() {
            return false;
        }
        let ends = platform::within(LISTED_WITHIN, deadline);
        let names = list::names(&self.master, &self.client, ends);
        self.known.lacks("", &function.to_ascii_lowercase(), Box::pin(names)).await
    }

    /// Who the gateway is to a function.
    fn authoriser(&self, function: &str) -> &Authoriser {
        if self.keys.is_empty() {
            return &self.host;
        }
        self.keys.get(&function.to_ascii_lowercase()).unwrap_or(&self.host)
    }

    fn aim<'a>(&'a self, prefix: &'a str, authoriser: &'a Authoriser) -> Aim<'a> {
        Aim { client: &self.client, prefix, method: None, own: Own::new(), authoriser }
    }
}

/// Who one core is to a function app: the bearer of one of its keys, and of the token that its front may
/// ask for.
struct Who<'a> {
    tools: &'a Tools,
    tokens: Option<Rc<Tokens>>,
}

impl<'a> Who<'a> {
    fn new(target: &Arc<Target>, tools: &'a Tools) -> Self {
        let minter = || Minter { target: Arc::clone(target), tools: tools.clone() };
        let tokens = target.entra.as_ref().map(|_| Rc::new(Tokens::new(minter())));
        Self { tools, tokens }
    }

    fn with(&self, key: Option<&Secret>) -> Authoriser {
        let secrets = || Arc::clone(&self.tools.secrets);
        let key = key.map(|secret| Authoriser::key(Key::new(KEY, secret.clone(), secrets())));
        let key = key.unwrap_or(Authoriser::NOBODY);
        match &self.tokens {
            Some(tokens) => key.and(AUTHORIZATION, Rc::clone(tokens)),
            None => key,
        }
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
