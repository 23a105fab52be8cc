//! The recorder: one [`Record`] for each request, made while it is served and written once its
//! last byte has gone. The access log, the metrics and the newest records are made of it.

pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod series;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use http::{Method, StatusCode, uri::PathAndQuery};
use schemas::{Fault, Later, Record, Verdict};

use self::{
    log::Lines,
    metrics::CoreMetrics,
    series::{NO_ROUTE, SeriesId},
};

/// How many records each core keeps for whoever asks.
const NEWEST: usize = 64;

/// One core's recorder.
#[derive(Debug)]
pub(crate) struct Recorder {
    metrics: Arc<CoreMetrics>,
    lines: RefCell<Lines>,
    newest: Arc<Newest>,
    /// The wall clock's reading at a known instant, so that a request reads one clock, not two.
    epoch: Cell<(SystemTime, Instant)>,
    /// When the next record of a request that went well is kept.
    keep_next: Cell<Instant>,
}

/// Between two records that are kept of requests that went well: at most 200 a second and core.
const KEPT_EVERY: Duration = Duration::from_millis(5);

/// The newest records of one core, the newest last. Under load they are a sample; what failed is
/// kept always.
#[derive(Debug, Default)]
pub(crate) struct Newest(Mutex<VecDeque<Record>>);

impl Newest {
    fn push(&self, record: Record) {
        // A reader that copies the records just now is no reason to hold a core up.
        let Ok(mut newest) = self.0.try_lock() else { return };
        if newest.len() == NEWEST {
            newest.pop_front();
        }
        newest.push_back(record);
    }

    /// A copy.
    pub(crate) fn copy(&self) -> Vec<Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Recorder {
    /// Makes a core's recorder.
    pub(crate) fn new(metrics: Arc<CoreMetrics>, lines: Lines, newest: Arc<Newest>) -> Self {
        let epoch = (SystemTime::now(), Instant::now());
        Self {
            metrics,
            lines: RefCell::new(lines),
            newest,
            epoch: Cell::new(epoch),
            keep_next: Cell::new(epoch.1),
        }
    }

    /// The core's counters.
    pub(crate) fn metrics(&self) -> &CoreMetrics {
        &self.metrics
    }

    /// Hands on log lines that are old enough, and follows the wall clock.
    pub(crate) fn tick(&self) {
        self.epoch.set((SystemTime::now(), Instant::now()));
        self.lines.borrow_mut().tick();
    }

    /// Hands on all log lines.
    pub(crate) fn flush(&self) {
        self.lines.borrow_mut().hand_on();
    }

    fn wall_us(&self, at: Instant) -> u64 {
        let (wall, then) = self.epoch.get();
        (wall + at.saturating_duration_since(then))
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    }
}

/// The record of a request that is under way. Dropping it writes it, so that no way out of a
/// request, a caller that leaves included, goes unrecorded.
#[derive(Debug)]
pub(crate) struct Trace {
    recorder: Rc<Recorder>,
    /// When the request arrived.
    pub(crate) arrived: Instant,
    /// In which series it counts.
    pub(crate) series: SeriesId,
    /// What is known so far.
    pub(crate) record: Record,
    /// The upstream's permit. It goes back with the trace, which is when the answer's last byte has
    /// gone.
    pub(crate) permit: Option<policy::permits::Permit>,
    /// How the rate limits stand, for the answer's headers.
    pub(crate) limits: Option<Box<crate::rates::Told>>,
    /// What the end of the answer says of the call, where its head cannot.
    pub(crate) later: Option<Later>,
    head_seen: bool,
}

impl Trace {
    /// Starts the record of a request that has just arrived.
    pub(crate) fn start(
        recorder: Rc<Recorder>,
        request_id: http::HeaderValue,
        method: Method,
        target: Option<PathAndQuery>,
        peer: Option<std::net::IpAddr>,
    ) -> Box<Self> {
        let arrived = Instant::now();
        recorder.metrics.in_flight.add(1);
        Box::new(Self {
            arrived,
            series: NO_ROUTE,
            head_seen: false,
            permit: None,
            limits: None,
            later: None,
            record: Record {
                at_us: recorder.wall_us(arrived),
                request_id,
                peer,
                method,
                target,
                route: None,
                address: None,
                status: None,
                class: None,
                code: None,
                cause: None,
                ack: None,
                attempts: 0,
                bytes_in: 0,
                bytes_out: 0,
                head_after: Duration::ZERO,
                took: Duration::ZERO,
            },
            recorder,
        })
    }

    /// Where it will be written.
    pub(crate) fn recorder(&self) -> &Rc<Recorder> {
        &self.recorder
    }

    /// Notes that the answer's head goes out.
    pub(crate) fn head(&mut self, status: StatusCode) {
        self.record.status = Some(status);
        self.record.head_after = self.arrived.elapsed();
        self.head_seen = true;
    }

    /// Notes what went wrong.
    pub(crate) fn failed(&mut self, fault: &Fault) {
        self.record.class = Some(fault.class);
        self.record.code = fault.code;
        self.record.cause = fault.cause.is_some().then(|| fault.chain());
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let now = Instant::now();
        self.record.took = now.saturating_duration_since(self.arrived);
        if !self.head_seen {
            self.record.head_after = self.record.took;
            self.record.class = Some(schemas::Class::Cancelled);
        }
        if self.record.class.is_none()
            && let Some(Verdict::Failed { class, .. }) =
                self.later.as_ref().and_then(Later::verdict)
        {
            self.record.class = Some(class);
        }
        let recorder = &self.recorder;
        recorder.metrics.in_flight.sub(1);
        recorder.metrics.count(self.series, &self.record);
        recorder.lines.borrow_mut().add(&self.record, now);
        if self.record.class.is_none() && now < recorder.keep_next.get() {
            return;
        }
        recorder.keep_next.set(now + KEPT_EVERY);
        let spare = Record {
            request_id: http::HeaderValue::from_static(""),
            target: None,
            route: None,
            address: None,
            cause: None,
            method: Method::GET,
            ..self.record
        };
        recorder.newest.push(std::mem::replace(&mut self.record, spare));
    }
}
