//! The admin API on its own port: health, metrics, what is live, one-shot calls, and the events of
//! a topic as they arrive.
//!
//! Start with [`Live`] (what the API needs of the running gateway; injected, so that this crate
//! knows nothing of how it is run) and `api.rs` (every endpoint, in one list). The shapes that
//! cross the wire are public, because the command line speaks them too, with or without a gateway.

pub mod config;
pub mod data;
pub mod explain;
pub mod invoke;
pub mod stored;
pub mod topics;
pub mod views;

mod api;
mod guard;
mod page;
mod problem;
mod server;

use std::{net::SocketAddr, sync::Arc};

use ::outbox::{Store, embedded::Progressed};
use futures_util::future::BoxFuture;
use ingress::{Table, Upstream};
use invokers::list::Listed;
use schemas::{Fault, Job, Name, Record, Revealed, secret::NoSecret};

pub use problem::Problem;
pub use server::serve;

/// The OpenAPI document of this API.
pub const OPENAPI: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/admin.openapi.json"));

/// The running gateway, as the admin API sees it.
pub trait Live: Send + Sync + 'static {
    /// The table that requests are served from.
    fn table(&self) -> Arc<Table>;

    /// Where requests arrive.
    fn addresses(&self) -> Vec<(Name, SocketAddr)>;

    /// Whether every listener accepts. False from the start of a drain.
    fn ready(&self) -> bool;

    /// Hands a job to a data-plane core, or back if none has room.
    ///
    /// # Errors
    /// The job itself.
    fn run(&self, job: Job) -> Result<(), Box<Job>>;

    /// The configuration that is live.
    fn config(&self) -> config::Config;

    /// The files of the configuration that is live, as they were written.
    fn config_texts(&self) -> Vec<config::Text>;

    /// Makes this text the configuration, if the API owns it and the version that is meant is live.
    /// Nothing has changed if it fails.
    fn put_config(
        &self,
        text: String,
        meant: config::IfMatch,
    ) -> BoxFuture<'static, Result<config::Config, config::NotChanged>>;

    /// Goes back to the version before the live one, under the same conditions.
    fn roll_back(
        &self,
        meant: config::IfMatch,
    ) -> BoxFuture<'static, Result<config::Config, config::NotChanged>>;

    /// The token that a request must bring, if it must: none can be right if it cannot be had.
    fn token(&self) -> Option<Result<Revealed, NoSecret>>;

    /// All metrics in the Prometheus text format 0.0.4.
    fn metrics(&self) -> String;

    /// The newest records, the newest last.
    fn records(&self) -> Vec<Record>;

    /// Where accepted events are kept, if anything that is served needs it.
    fn outbox(&self) -> Option<Arc<dyn Store>>;

    /// How far that has come: it may still be read, or broken.
    fn outbox_progress(&self) -> Option<Progressed>;

    /// Asks the platform of an upstream for its functions.
    fn list(&self, upstream: Arc<Upstream>) -> BoxFuture<'static, Result<Vec<Listed>, Fault>>;

    /// Listens to a topic of an upstream. Ready once everything published from then on is seen.
    fn follow(
        &self,
        upstream: Arc<Upstream>,
        topic: String,
    ) -> BoxFuture<'static, Result<topics::Followed, Fault>>;
}
