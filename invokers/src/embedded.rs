//! The bus in memory, for `gusset dev`: topics that keep nothing and say so.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use schemas::{Call, Fault, Invoker, Reply};

/// Topics in memory. What nobody follows is gone.
#[derive(Debug, Default)]
pub struct Bus {}

/// One core's way to the bus.
#[derive(Debug)]
pub struct Lane {
    _bus: Arc<Bus>,
}

impl Lane {
    /// Makes the lane.
    #[must_use]
    pub fn new(bus: Arc<Bus>) -> Self {
        Self { _bus: bus }
    }
}

impl Invoker for Lane {
    fn call(&self, _call: Call) -> LocalBoxFuture<'_, Result<Reply, Fault>> {
        Box::pin(async { Err(Fault::new(schemas::Class::Internal, "not built yet")) })
    }
}
