//! The running gateway, as the admin API sees it.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use admin::{Live, topics::Followed};
use futures_util::future::BoxFuture;
use ingress::{Plane, Table, Upstream};
use invokers::Tools;
use schemas::{Fault, Job, Name, Record};

use crate::follow;

/// A data plane, until it is drained.
#[derive(Debug)]
pub(crate) struct Running {
    plane: RwLock<Option<Plane>>,
    table: Arc<Table>,
    addresses: Vec<(Name, SocketAddr)>,
    tools: Tools,
}

impl Running {
    /// Takes the plane in.
    pub(crate) fn new(plane: Plane, table: Arc<Table>, tools: Tools) -> Self {
        let addresses = plane.addresses();
        Self { plane: RwLock::new(Some(plane)), table, addresses, tools }
    }

    /// Takes the plane out to drain it. From here on the gateway is not ready.
    pub(crate) fn take(&self) -> Option<Plane> {
        self.plane.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn with<T>(&self, ask: impl FnOnce(&Plane) -> T) -> Option<T> {
        self.plane.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(ask)
    }
}

impl Live for Running {
    fn table(&self) -> Arc<Table> {
        self.with(Plane::table).unwrap_or_else(|| Arc::clone(&self.table))
    }

    fn addresses(&self) -> Vec<(Name, SocketAddr)> {
        self.addresses.clone()
    }

    fn ready(&self) -> bool {
        self.with(|_| ()).is_some()
    }

    fn run(&self, job: Job) -> Result<(), Box<Job>> {
        let mut job = Some(job);
        match self.with(|plane| job.take().map_or(Ok(()), |job| plane.run(job))) {
            Some(done) => done,
            None => job.map_or(Ok(()), |job| Err(Box::new(job))),
        }
    }

    fn metrics(&self) -> String {
        self.with(Plane::metrics).unwrap_or_default()
    }

    fn records(&self) -> Vec<Record> {
        self.with(Plane::records).unwrap_or_default()
    }

    fn follow(
        &self,
        upstream: Arc<Upstream>,
        topic: String,
    ) -> BoxFuture<'static, Result<Followed, Fault>> {
        Box::pin(follow::follow(upstream, topic, self.tools.clone()))
    }
}
