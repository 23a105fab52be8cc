//! The books of a run: what was sent, what was acknowledged, what arrived.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

/// What is known of one event.
#[derive(Clone, Debug, Default)]
struct Event {
    acked: bool,
    /// How often it arrived at the service.
    delivered: u32,
    /// How often the service had recorded it and failed all the same, so that it had to come again.
    forced: u32,
    /// How often it stands in the stream.
    streamed: u32,
    /// It arrived and was never sent.
    phantom: bool,
}

/// The books. They outlive everything that is killed.
pub(super) struct Journal {
    events: Mutex<HashMap<String, Event>>,
    /// The highest number of each sender that has arrived for the first time.
    highest: Mutex<HashMap<String, u32>>,
    deliveries: AtomicU64,
    corrupt: AtomicU64,
    reordered: AtomicU64,
    /// Whether the service misbehaves now and then.
    pub(super) faults: AtomicBool,
    /// Requests that are under way.
    pub(super) in_flight: AtomicUsize,
    pub(super) seed: u64,
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) sent: u64,
    pub(super) acked: u64,
    pub(super) delivered: u64,
    /// Acknowledged, and did not arrive at the service.
    pub(super) lost: u64,
    /// Acknowledged, and not in the stream.
    pub(super) lost_in_stream: u64,
    pub(super) corrupt: u64,
    /// Arrived, and was never sent.
    pub(super) phantom: u64,
    /// Deliveries more than one, which the service did not force.
    pub(super) duplicates: u64,
    pub(super) forced: u64,
    /// Copies more than one in the stream.
    pub(super) stream_duplicates: u64,
    pub(super) reordered: u64,
    pub(super) kills: u32,
    /// How many kills met a request under way.
    pub(super) in_flight: u32,
    /// Whether there is a stream to look into.
    pub(super) streams: bool,
}

impl Journal {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            events: Mutex::default(),
            highest: Mutex::default(),
            deliveries: AtomicU64::new(0),
            corrupt: AtomicU64::new(0),
            reordered: AtomicU64::new(0),
            faults: AtomicBool::new(true),
            in_flight: AtomicUsize::new(0),
            seed,
        }
    }

    /// An event is about to be sent.
    pub(super) fn tries(&self, id: &str) {
        self.events.lock().unwrap().entry(id.to_owned()).or_default();
    }

    /// An event was acknowledged.
    pub(super) fn acked(&self, id: &str) {
        self.events.lock().unwrap().get_mut(id).unwrap().acked = true;
    }

    /// An event has arrived; `whole` if its data is what was sent. Says how often it has.
    pub(super) fn delivered(&self, id: &str, whole: bool) -> u32 {
        self.deliveries.fetch_add(1, Relaxed);
        self.corrupt.fetch_add((!whole).into(), Relaxed);
        let count = {
            let mut events = self.events.lock().unwrap();
            let event = events
                .entry(id.to_owned())
                .or_insert_with(|| Event { phantom: true, ..Event::default() });
            event.delivered += 1;
            event.delivered
        };
        let (sender, number) = id.split_once('-').unwrap();
        let number: u32 = number.parse().unwrap();
        let mut highest = self.highest.lock().unwrap();
        let highest = highest.entry(sender.to_owned()).or_default();
        if count == 1 {
            self.reordered.fetch_add((number < *highest).into(), Relaxed);
            *highest = number.max(*highest);
        }
        count
    }

    /// The service has recorded an event and fails all the same.
    pub(super) fn forces(&self, id: &str) {
        self.events.lock().unwrap().get_mut(id).unwrap().forced += 1;
    }

    /// An event stands in the stream; `whole` if its data is what was sent.
    pub(super) fn streamed(&self, id: &str, whole: bool) {
        self.corrupt.fetch_add((!whole).into(), Relaxed);
        let mut events = self.events.lock().unwrap();
        let event = events
            .entry(id.to_owned())
            .or_insert_with(|| Event { phantom: true, ..Event::default() });
        event.streamed += 1;
    }

    pub(super) fn deliveries(&self) -> u64 {
        self.deliveries.load(Relaxed)
    }

    /// Compares the books.
    pub(super) fn report(&self) -> Report {
        let events = self.events.lock().unwrap();
        let mut report = Report {
            corrupt: self.corrupt.load(Relaxed),
            reordered: self.reordered.load(Relaxed),
            ..Report::default()
        };
        for event in events.values() {
            if event.phantom {
                report.phantom += 1;
                continue;
            }
            report.sent += 1;
            report.acked += u64::from(event.acked);
            report.delivered += u64::from(event.delivered > 0);
            report.lost += u64::from(event.acked && event.delivered == 0);
            let more = event.delivered.saturating_sub(1);
            report.forced += u64::from(more.min(event.forced));
            report.duplicates += u64::from(more.saturating_sub(event.forced));
        }
        report
    }

    /// What was acknowledged and has not arrived at the service.
    pub(super) fn lost(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let lost = events.iter().filter(|(_, event)| event.acked && event.delivered == 0);
        lost.map(|(id, _)| id.clone()).collect()
    }

    /// Compares the books with what the stream holds.
    pub(super) fn compare_stream(&self, report: &mut Report) {
        report.streams = true;
        report.corrupt = self.corrupt.load(Relaxed);
        for event in self.events.lock().unwrap().values() {
            // One that arrived at the service was counted there.
            report.phantom += u64::from(event.phantom && event.delivered == 0);
            report.lost_in_stream += u64::from(event.acked && event.streamed == 0);
            report.stream_duplicates += u64::from(event.streamed.saturating_sub(1));
        }
    }
}

impl Report {
    /// Asserts that the promise was kept, and that the run could have shown otherwise.
    #[track_caller]
    pub(super) fn assert_kept(&self) {
        assert_eq!((self.lost, self.lost_in_stream), (0, 0), "LOST: {self}");
        assert_eq!(self.corrupt, 0, "CORRUPT: {self}");
        assert_eq!(self.phantom, 0, "PHANTOM: {self}");
        assert_eq!(self.reordered, 0, "REORDER: {self}");
        assert!(self.duplicates * 100 < self.acked.max(1), "DUP over 1 %: {self}");
        assert!(self.stream_duplicates * 100 < self.acked.max(1), "DUP over 1 %: {self}");
        assert_eq!(self.sent, self.acked, "not every event was taken in the end: {self}");
        assert!(self.in_flight * 10 >= self.kills * 9, "too few kills met a request: {self}");
        assert!(self.kills > 3 && self.acked > 1000, "too little has happened: {self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out)?;
        writeln!(out, "  events sent         {:>9}", self.sent)?;
        writeln!(out, "  acknowledged        {:>9}", self.acked)?;
        writeln!(out, "  arrived             {:>9}", self.delivered)?;
        writeln!(out, "  kills               {:>9}", self.kills)?;
        writeln!(out, "    with requests     {:>9}", self.in_flight)?;
        writeln!(out, "  LOST                {:>9}", self.lost)?;
        if self.streams {
            writeln!(out, "  LOST in the stream  {:>9}", self.lost_in_stream)?;
            writeln!(out, "  DUP in the stream   {:>9}", self.stream_duplicates)?;
        }
        writeln!(out, "  CORRUPT             {:>9}", self.corrupt)?;
        writeln!(out, "  PHANTOM             {:>9}", self.phantom)?;
        writeln!(out, "  DUP                 {:>9}", self.duplicates)?;
        writeln!(out, "    forced by the service {:>5}", self.forced)?;
        write!(out, "  REORDER             {:>9}", self.reordered)
    }
}
