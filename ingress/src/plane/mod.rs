//! The data plane: one thread, one runtime and one listening socket for each core.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use schemas::{Job, Name, Record};

use crate::Table;

/// How the plane is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads; 0: one for each core of the machine.
    pub cores: usize,
    /// How records are written to standard output.
    pub records: RecordFormat,
}

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFormat {
    /// One readable line a request.
    Text,
    /// One JSON object a line.
    Json,
    /// Not at all.
    Off,
}

/// The running data plane.
#[derive(Debug)]
pub struct Plane {}

impl Plane {
    /// Binds every listener of the table and starts the cores. Returns once all of them accept.
    ///
    /// # Errors
    /// If an address cannot be bound, because another process has it or it is not ours.
    pub fn start(
        _table: Arc<Table>,
        _tools: invokers::Tools,
        _settings: Settings,
    ) -> io::Result<Self> {
        Err(io::Error::other("not built yet"))
    }

    /// The table that requests are served from.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        unimplemented_for_now()
    }

    /// Where requests arrive; a port 0 of the configuration is the real port here.
    #[must_use]
    pub fn addresses(&self) -> Vec<(Name, SocketAddr)> {
        Vec::new()
    }

    /// Sends a job to the core that has the least to do.
    ///
    /// # Errors
    /// Gives the job back if no core has room for it.
    pub fn run(&self, job: Job) -> Result<(), Box<Job>> {
        Err(Box::new(job))
    }

    /// All metrics, in the Prometheus text format 0.0.4.
    #[must_use]
    pub fn metrics(&self) -> String {
        String::new()
    }

    /// The newest records, the newest last.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        Vec::new()
    }

    /// Stops accepting, lets what is under way finish for at most `within`, then stops the cores.
    /// Returns how many requests were cut off. Blocks; `ready` answers false from the start.
    pub fn drain(self, _within: Duration) -> usize {
        0
    }
}

fn unimplemented_for_now() -> Arc<Table> {
    std::process::abort()
}
