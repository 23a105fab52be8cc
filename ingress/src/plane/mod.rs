//! The data plane: one thread, one runtime and one listening socket for each core.

mod connection;
pub(crate) mod core;
mod courier;
mod finishing;
mod flood;
mod gate;
mod http1;
mod listen;
mod replace;

pub use courier::Courier;
pub use replace::NotReplaced;

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use schemas::{Job, Name, Record};
use tokio::sync::{mpsc, watch};

use self::{
    core::{Cores, Order, Start},
    replace::{Bound, Plan},
};
use crate::{
    Table,
    recorder::{
        Newest, Recorder,
        log::{Lines, RecordFormat, Writer},
        metrics::{self, CoreMetrics},
        series::Book,
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

/// The running data plane.
pub struct Plane {
    live: RwLock<Live>,
    /// Tables that requests under way may still use.
    retired: Mutex<Vec<Arc<Table>>>,
    /// Held while a table is replaced: one at a time. The number of the next new listener.
    replacing: tokio::sync::Mutex<u64>,
    book: Mutex<Book>,
    cores: Arc<Cores>,
    metrics: Vec<Arc<CoreMetrics>>,
    newest: Vec<Arc<Newest>>,
    draining: watch::Sender<Option<Duration>>,
    /// What there is to wait for at the end; taken by the first who drains.
    ends: Mutex<Option<Ends>>,
}

/// What requests are served from, and where they arrive.
struct Live {
    table: Arc<Table>,
    bound: Vec<Bound>,
}

/// The threads of a plane.
struct Ends {
    cores: Vec<JoinHandle<io::Result<usize>>>,
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
        let mut number = 0;
        let plan = Plan::new(&table.listeners, &[], count, &mut number).map_err(|refused| {
            let kind = match &refused {
                NotReplaced::Listen { cause, .. } => cause.kind(),
                NotReplaced::Stuck | NotReplaced::Stopping => io::ErrorKind::Other,
            };
            io::Error::new(kind, refused)
        })?;
        let mut book = Book::new();
        let series = Arc::new(book.enter(&table));
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::channel(ORDERS)).unzip();
        let cores = Arc::new(Cores {
            open: (0..count).map(|_| AtomicUsize::new(0)).collect(),
            orders: senders,
            connections: settings.connections,
        });
        let (draining, drain) = watch::channel(None);
        let writer = Writer::start()?;
        let mut metrics = Vec::with_capacity(count);
        let mut newest = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for (index, (listeners, orders)) in plan.cores.into_iter().zip(receivers).enumerate() {
            let counters = Arc::new(CoreMetrics::default());
            let kept = Arc::new(Newest::default());
            metrics.push(Arc::clone(&counters));
            newest.push(Arc::clone(&kept));
            let lines = Lines::new(settings.records, writer.sender(), Arc::clone(&counters));
            let start = Start {
                index,
                table: Arc::clone(&table),
                series: Arc::clone(&series),
                tools: tools.clone(),
                listeners,
                orders,
                cores: Arc::clone(&cores),
                draining: drain.clone(),
            };
            threads.push(
                std::thread::Builder::new()
                    .name(format!("core-{index}"))
                    .spawn(move || core::run(start, Recorder::new(counters, lines, kept)))?,
            );
        }
        Ok(Self {
            live: RwLock::new(Live { table, bound: plan.bound }),
            retired: Mutex::default(),
            replacing: tokio::sync::Mutex::new(number),
            book: Mutex::new(book),
            cores,
            metrics,
            newest,
            draining,
            ends: Mutex::new(Some(Ends { cores: threads, writer })),
        })
    }

    fn live<T>(&self, look: impl FnOnce(&Live) -> T) -> T {
        look(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The table that requests are served from.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        self.live(|live| Arc::clone(&live.table))
    }

    /// Where requests arrive; a port 0 of the configuration is the real port here.
    #[must_use]
    pub fn addresses(&self) -> Vec<(Name, SocketAddr)> {
        self.live(|live| live.bound.iter().map(Bound::reached).collect())
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
            Order::Serve(..) | Order::Follow(_) | Order::Deliver(_) => Ok(()),
        }
    }

    /// Gives an order to the core that has the least to do, once it has room for it. False if the
    /// cores are gone.
    async fn order(&self, order: Order) -> bool {
        let all = 0..self.cores.orders.len();
        let least = all.min_by_key(|at| self.cores.open[*at].load(Relaxed));
        let Some(least) = least else { return false };
        self.cores.orders[least].send(order).await.is_ok()
    }

    /// All metrics, in the Prometheus text format 0.0.4.
    #[must_use]
    pub fn metrics(&self) -> String {
        let cores: Vec<&CoreMetrics> = self.metrics.iter().map(|core| &**core).collect();
        metrics::print(&self.book.lock().unwrap_or_else(PoisonError::into_inner), &cores)
    }

    /// The newest records, the newest last.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut all: Vec<Record> = self.newest.iter().flat_map(|core| core.copy()).collect();
        all.sort_by_key(|record| record.at_us);
        all
    }

    /// Whether requests are taken; false from the start of a drain.
    #[must_use]
    pub fn accepts(&self) -> bool {
        self.draining.borrow().is_none()
    }

    /// Stops accepting, lets what is under way finish for at most `within`, then stops the cores.
    /// Returns how many requests were cut off; 0 to whoever asks a second time. Blocks; metrics and
    /// records can be read meanwhile and afterwards.
    #[must_use]
    pub fn drain(&self, within: Duration) -> usize {
        self.draining.send_replace(Some(within));
        let Some(ends) = self.ends.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return 0;
        };
        let threads = ends.cores.into_iter();
        let cut_off =
            threads.map(|thread| thread.join().ok().and_then(Result::ok).unwrap_or(0)).sum();
        ends.writer.finish();
        cut_off
    }
}

impl fmt::Debug for Plane {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Plane").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}
