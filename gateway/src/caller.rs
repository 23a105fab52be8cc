//! Calls functions: through a running gateway, or from here with a configuration alone.

use std::{
    cell::RefCell,
    collections::HashMap,
    path::Path,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use admin::invoke::{self, Asked, Outcome};
use http::Method;
use ingress::{
    Table,
    config::{Loaded, Offer},
};
use invokers::Tools;
use schemas::{Class, Fault, Invoker, Ran};

use crate::{
    cli::{Stop, arguments::Source},
    client::Admin,
    files,
    secrets::Secrets,
};

/// What the admin API may take on top of the call itself.
const GRACE: Duration = Duration::from_secs(5);
const WITHIN: Duration = Duration::from_secs(15);

/// Who makes the calls.
pub(crate) enum Caller {
    /// A running gateway.
    Gateway(Admin),
    /// This process.
    Here(Box<Here>),
}

/// Lanes of this process, made when they are first used.
pub(crate) struct Here {
    table: Table,
    tools: Tools,
    lanes: RefCell<HashMap<usize, Rc<dyn Invoker>>>,
}

/// A call that brought no answer.
#[derive(Debug)]
pub(crate) struct Failed {
    /// What happened.
    pub(crate) said: String,
    /// Whether the function may have run.
    pub(crate) maybe: bool,
}

impl Caller {
    /// Chooses by the arguments: `-c` works from here.
    pub(crate) fn new(source: &Source) -> Result<Self, Stop> {
        match &source.config {
            Some(path) => Ok(Self::Here(Box::new(Here::new(path)?))),
            None => Ok(Self::Gateway(Admin::new(&source.admin)?)),
        }
    }

    /// Makes one call.
    ///
    /// # Errors
    /// [`Stop`] if nobody could be asked; the inner failure if the call brought no answer.
    pub(crate) async fn call(&self, asked: &Asked) -> Result<Result<Outcome, Failed>, Stop> {
        match self {
            Self::Gateway(admin) => {
                let within = asked.timeout.map_or(WITHIN, |span| span.0) + GRACE;
                let body = serde_json::to_vec(asked).map_err(|error| {
                    Stop::failed(format!("the call cannot be written as JSON: {error}"))
                })?;
                let answer =
                    admin.ask_within(within, Method::POST, "/api/v1/invoke", body.into()).await?;
                if answer.ok {
                    return answer.document().map(Ok);
                }
                let refusal = answer.refusal();
                Ok(Err(Failed::new(&refusal.code, &refusal.detail, refusal.ran == "maybe")))
            }
            Self::Here(here) => Ok(here.call(asked).await.map_err(|fault| {
                Failed::new(fault.name(), &fault.detail, fault.ran == Ran::Maybe)
            })),
        }
    }
}

impl Here {
    fn new(path: &Path) -> Result<Self, Stop> {
        let (Loaded { table, .. }, folder) = files::load(path, &Offer::default())?;
        let tools = Tools { secrets: Arc::new(Secrets::new(folder)), outbox: Default::default() };
        Ok(Self { table, tools, lanes: RefCell::default() })
    }

    async fn call(&self, asked: &Asked) -> Result<Outcome, Fault> {
        let prepared = invoke::prepare(&self.table, asked)?;
        let lane = Rc::clone(
            self.lanes
                .borrow_mut()
                .entry(prepared.upstream.index)
                .or_insert_with(|| prepared.upstream.target.lane(&self.tools)),
        );
        let deadline = prepared.call.deadline;
        let late = || Fault::new(Class::Timeout, "no answer in time").maybe();
        let reply = tokio::time::timeout_at(deadline.into(), lane.call(prepared.call))
            .await
            .map_err(|_| late())??;
        let patience = deadline.max(Instant::now() + GRACE);
        tokio::time::timeout_at(patience.into(), invoke::outcome(reply))
            .await
            .map_err(|_| late())?
    }
}

impl Failed {
    fn new(code: &str, detail: &str, maybe: bool) -> Self {
        let code = if code.is_empty() { String::new() } else { format!("{code}: ") };
        let hint = if maybe { " (it may have run all the same)" } else { "" };
        Self { said: format!("{code}{detail}{hint}"), maybe }
    }

    /// How a command ends by it: 3 if the function may have run, else 1.
    pub(crate) fn stop(self) -> Stop {
        Stop::Failed(if self.maybe { 3 } else { 1 }, self.said)
    }
}
