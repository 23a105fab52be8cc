//! The one trait, and how work from elsewhere reaches a data-plane core.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use crate::{Address, Call, Fault, Reply};

/// Calls functions of one upstream from one core. Made lazily by that core from the upstream's
/// target, it owns the core's connections and may keep state that is not `Send`.
pub trait Invoker {
    /// Sends the call once. Whether to send again is the policy's business, never a kind's.
    /// Dropping the future cancels the call.
    fn call(&self, call: Call) -> LocalBoxFuture<'_, Result<Reply, Fault>>;
}

/// A call that was made elsewhere (admin API, one-shot command, later outbox and triggers) and is
/// to be sent from a data-plane core.
#[derive(Debug)]
pub struct Job {
    /// Whom to call, as written in the configuration; `call.function` holds what it expands to.
    pub address: Arc<Address>,
    /// What to send.
    pub call: Call,
    /// Who waits for the outcome.
    pub reply: oneshot::Sender<Result<Reply, Fault>>,
}
