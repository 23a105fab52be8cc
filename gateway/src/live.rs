//! The running gateway, as the admin API sees it.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use ::outbox::{Store, embedded::Progressed};
use admin::{
    Live,
    config::{Config, IfMatch, NotChanged, Text},
    topics::Followed,
};
use futures_util::future::BoxFuture;
use ingress::{Plane, Table, Upstream};
use invokers::{
    Tools,
    list::{self, Listed},
};
use schemas::{Class, Fault, Job, Name, Record, Revealed, secret::NoSecret};
use tokio::runtime::Handle;

use triggers::Triggers;

use crate::{configuration::Configuration, follow, guards, outbox::Delivering, sources};

/// A data plane, and the configuration that it serves.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) plane: Arc<Plane>,
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) tools: Tools,
    /// What is stored, and who delivers it.
    pub(crate) delivering: Arc<Delivering>,
    /// What is taken from brokers.
    pub(crate) triggers: Arc<Triggers>,
    /// Where relative paths start.
    pub(crate) folder: PathBuf,
}

impl Live for Running {
    fn table(&self) -> Arc<Table> {
        self.plane.table()
    }

    fn addresses(&self) -> Vec<(Name, SocketAddr)> {
        self.plane.addresses()
    }

    fn ready(&self) -> bool {
        self.plane.accepts()
    }

    fn run(&self, job: Job) -> Result<(), Box<Job>> {
        if self.plane.accepts() { self.plane.run(job) } else { Err(Box::new(job)) }
    }

    fn config(&self) -> Config {
        self.configuration.view()
    }

    fn config_texts(&self) -> Vec<Text> {
        self.configuration.texts()
    }

    fn put_config(
        &self,
        text: String,
        meant: IfMatch,
    ) -> BoxFuture<'static, Result<Config, NotChanged>> {
        let configuration = Arc::clone(&self.configuration);
        Box::pin(async move { configuration.put(text, &meant).await })
    }

    fn roll_back(&self, meant: IfMatch) -> BoxFuture<'static, Result<Config, NotChanged>> {
        let configuration = Arc::clone(&self.configuration);
        Box::pin(async move { configuration.roll_back(&meant).await })
    }

    fn token(&self) -> Option<Result<Revealed, NoSecret>> {
        let token = self.plane.table().admin.token.clone()?;
        Some(self.tools.secrets.reveal(&token))
    }

    fn metrics(&self) -> String {
        let guards = guards::metrics(&self.plane.table().registry);
        let outbox = self.delivering.metrics();
        let sources = sources::metrics(&self.triggers);
        self.plane.metrics() + &guards + &outbox + &sources + &self.configuration.metrics()
    }

    fn records(&self) -> Vec<Record> {
        self.plane.records()
    }

    fn outbox(&self) -> Option<Arc<dyn Store>> {
        self.tools.outbox.store().cloned()
    }

    fn outbox_progress(&self) -> Option<Progressed> {
        self.delivering.progressed()
    }

    fn list(&self, upstream: Arc<Upstream>) -> BoxFuture<'static, Result<Vec<Listed>, Fault>> {
        let (tools, here) = (self.tools.clone(), Handle::current());
        // What asks is a core's own and stays on one thread.
        let asking = tokio::task::spawn_blocking(move || {
            here.block_on(list::list(&upstream.target, &tools))
        });
        Box::pin(async {
            let stopped = |_| Fault::new(Class::Unavailable, "the gateway is stopping");
            asking.await.map_err(stopped)?
        })
    }

    fn follow(
        &self,
        upstream: Arc<Upstream>,
        topic: String,
    ) -> BoxFuture<'static, Result<Followed, Fault>> {
        Box::pin(follow::follow(upstream, topic, self.tools.clone()))
    }
}
