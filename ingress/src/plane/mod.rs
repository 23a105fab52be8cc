//! The data plane: one thread, one runtime and one listening socket for each core.

mod connection;
pub(crate) mod core;
mod flood;
mod http1;
mod listen;
mod view;

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use schemas::{Job, Name, Record};
use tokio::sync::{mpsc, watch};

use self::core::{Cores, Order, Start};
use crate::{
    Table,
    recorder::{
        Newest, Recorder,
        log::{Lines, Writer},
        metrics::{self, CoreMetrics},
    },
};

/// Connections and jobs that wait for one core; more are refused.
const ORDERS: usize = 256;

/// How the plane is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads; 0: one for each core of the machine.
    pub cores: usize,
    /// How records are written to standard output.
    pub records: RecordFormat,
    /// Connections at most, all cores together; more are closed as they come.
    pub connections: usize,
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
pub struct Plane {
    table: Arc<Table>,
    addresses: Vec<(Name, SocketAddr)>,
    cores: Arc<Cores>,
    threads: Vec<JoinHandle<io::Result<usize>>>,
    metrics: Vec<Arc<CoreMetrics>>,
    newest: Vec<Arc<Newest>>,
    draining: watch::Sender<Option<Duration>>,
    writer: Writer,
}

impl Plane {
    /// Binds every listener of the table and starts the cores. Returns once all of them accept.
    ///
    /// # Errors
    /// If an address cannot be bound, because another process has it or it is not ours.
    pub fn start(
        table: Arc<Table>,
        tools: invokers::Tools,
        settings: Settings,
    ) -> io::Result<Self> {
        let count = match settings.cores {
            0 => std::thread::available_parallelism()?.get(),
            count => count,
        };
        let mut sockets: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for listener in &table.listeners {
            let bound = listen::bind(listener.address, count).map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("cannot listen on {}: {error}", listener.address),
                )
            })?;
            if let Some(first) = bound.first() {
                addresses.push((listener.name.clone(), first.local_addr()?));
            }
            let label: Arc<str> = Arc::from(listener.name.as_str());
            for (core, socket) in sockets.iter_mut().zip(bound) {
                core.push((Arc::clone(&label), socket));
            }
        }
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::channel(ORDERS)).unzip();
        let cores = Arc::new(Cores {
            open: (0..count).map(|_| AtomicUsize::new(0)).collect(),
            orders: senders,
            connections: settings.connections,
        });
        let (draining, drain) = watch::channel(None);
        let writer = Writer::start()?;
        let mut plane = Self {
            table: Arc::clone(&table),
            addresses,
            cores: Arc::clone(&cores),
            threads: Vec::new(),
            metrics: Vec::new(),
            newest: Vec::new(),
            draining,
            writer,
        };
        for (index, (sockets, orders)) in sockets.into_iter().zip(receivers).enumerate() {
            let metrics = Arc::new(CoreMetrics::new(&table));
            let newest = Arc::new(Newest::default());
            plane.metrics.push(Arc::clone(&metrics));
            plane.newest.push(Arc::clone(&newest));
            let lines = Lines::new(settings.records, plane.writer.sender(), Arc::clone(&metrics));
            let start = Start {
                index,
                table: Arc::clone(&table),
                tools: tools.clone(),
                sockets,
                orders,
                cores: Arc::clone(&cores),
                draining: drain.clone(),
            };
            plane.threads.push(
                std::thread::Builder::new()
                    .name(format!("core-{index}"))
                    .spawn(move || core::run(start, Recorder::new(metrics, lines, newest)))?,
            );
        }
        Ok(plane)
    }

    /// The table that requests are served from.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table)
    }

    /// Where requests arrive; a port 0 of the configuration is the real port here.
    #[must_use]
    pub fn addresses(&self) -> Vec<(Name, SocketAddr)> {
        self.addresses.clone()
    }

    /// Sends a job to the core that has the least to do.
    ///
    /// # Errors
    /// Gives the job back if no core has room for it.
    pub fn run(&self, job: Job) -> Result<(), Box<Job>> {
        let mut order = Order::Send(Box::new(job));
        let mut by_load: Vec<_> = (0..self.cores.orders.len()).collect();
        by_load.sort_by_key(|at| self.cores.open[*at].load(Relaxed));
        for at in by_load {
            match self.cores.orders[at].try_send(order) {
                Ok(()) => return Ok(()),
                Err(
                    mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back),
                ) => order = back,
            }
        }
        match order {
            Order::Send(job) => Err(job),
            Order::Serve(..) => Ok(()),
        }
    }

    /// All metrics, in the Prometheus text format 0.0.4.
    #[must_use]
    pub fn metrics(&self) -> String {
        let cores: Vec<&CoreMetrics> = self.metrics.iter().map(|core| &**core).collect();
        metrics::print(&self.table, &cores)
    }

    /// The newest records, the newest last.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut all: Vec<Record> = self.newest.iter().flat_map(|core| core.copy()).collect();
        all.sort_by_key(|record| record.at_us);
        all
    }

    /// Stops accepting, lets what is under way finish for at most `within`, then stops the cores.
    /// Returns how many requests were cut off. Blocks.
    #[must_use]
    pub fn drain(self, within: Duration) -> usize {
        self.draining.send_replace(Some(within));
        let cut_off = self
            .threads
            .into_iter()
            .map(|thread| thread.join().ok().and_then(Result::ok).unwrap_or(0))
            .sum();
        self.writer.finish();
        cut_off
    }
}

impl fmt::Debug for Plane {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Plane").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}
