//! OpenFaaS: `/function/NAME[.NAMESPACE]/…` with the function's own answer, and
//! `/async-function/…`, which its queue takes and a worker runs later.

mod config;
mod list;
mod said;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Instant};

use futures_util::future::LocalBoxFuture;
use http::{HeaderName, HeaderValue, Method};
use schemas::{Ack, Call, Class, Fault, Invoker, Reply, Reveal};

use self::said::{Later, Now};
pub use self::{
    config::{Callback, Target, Written},
    list::list,
};
use crate::{
    Tools,
    client::Client,
    platform::{self, Aim, Authoriser, Known, Own},
    probe::Probed,
};

/// The field by which one asynchronous call is known.
pub(crate) const CALL_ID: &str = "x-call-id";

const CALLBACK: HeaderName = HeaderName::from_static("x-callback-url");

/// One core's connections.
pub struct Lane {
    target: Arc<Target>,
    client: Client,
    secrets: Arc<dyn Reveal>,
    known: Known,
}

impl Lane {
    /// Makes the lane; it connects with its first call.
    #[must_use]
    pub fn new(target: Arc<Target>, tools: &Tools) -> Self {
        let client = target.client(tools);
        let secrets = Arc::clone(&tools.secrets);
        Self { target, client, secrets, known: Known::default() }
    }

    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        let name = Arc::clone(&call.function);
        let function = self.target.whole_name(&name)?;
        if call.ack == Ack::Published {
            return self.publish(call, &function).await;
        }
        let prefix = format!("/function/{function}");
        platform::call(&Now, self.aim(&prefix, None, Own::new()), call).await
    }

    /// Has the queue take the call. It asks nobody whether there is such a function, so that one
    /// which is not there would be lost by the worker.
    async fn publish(&self, call: Call, function: &str) -> Result<Reply, Fault> {
        if self.lacks(function, call.deadline).await {
            let what = "the platform has no such function, so that nothing was queued";
            return Err(Fault::new(Class::FunctionNotDeployed, what)
                .code("function-not-deployed")
                .unsent(call));
        }
        let mut own = Own::new();
        own.extend(self.target.callback.clone().map(|url| (CALLBACK, url)));
        let prefix = format!("/async-function/{function}");
        // A call that names itself keeps its name, of which the answer says nothing then.
        let id = call.head.headers.get(CALL_ID).cloned();
        let later = Later { function: function.to_owned(), id };
        platform::call(&later, self.aim(&prefix, Some(Method::POST), own), call).await
    }

    /// Whether the platform is known not to have this function. Who may not ask knows nothing.
    async fn lacks(&self, function: &str, deadline: Instant) -> bool {
        if self.target.operator.is_none() {
            return false;
        }
        let (name, namespace) = function.split_once('.').unwrap_or((function, ""));
        let ends = briefly(deadline);
        let names = list::names(&self.target, &*self.secrets, &self.client, namespace, ends);
        self.known.lacks(namespace, name, Box::pin(names)).await
    }

    fn aim<'a>(&'a self, prefix: &'a str, method: Option<Method>, own: Own) -> Aim<'a> {
        Aim { client: &self.client, prefix, method, own, authoriser: &Authoriser::NOBODY }
    }
}

/// Connects to the platform once, and sends nothing.
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
        out.debug_struct("openfaas::Lane").field("target", &self.target).finish_non_exhaustive()
    }
}

/// Who the gateway is to the platform's own API; functions ask nobody.
fn basic(username: &str, password: &str) -> Option<HeaderValue> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let pair = STANDARD.encode(format!("{username}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {pair}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// When the list of functions is no longer waited for: a call has better things to do.
fn briefly(deadline: Instant) -> Instant {
    platform::within(std::time::Duration::from_secs(2), deadline)
}
