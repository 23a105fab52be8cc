//! Counters and latency histograms. Each core counts for itself, with plain loads and stores, and
//! whoever asks adds the cores up. `series.rs` says which series there are.

use std::{
    fmt::Write as _,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::Duration,
};

use schemas::{Class, Record};

use super::series::{Book, Counts, SeriesId, Slots};

/// The upper bounds of the histogram's buckets, in microseconds.
const BOUNDS_US: [u64; 15] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// The same as they are printed, in seconds.
const BOUNDS: [&str; 15] = [
    "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5",
    "1", "2.5", "5", "10",
];

/// One core's counters.
#[derive(Debug, Default)]
pub(crate) struct CoreMetrics {
    series: Slots,
    /// Connections that were accepted.
    pub(crate) accepted: Count,
    /// Connections that were closed as they came, for want of room.
    pub(crate) shed: Count,
    /// Connections that are open.
    pub(crate) open: Count,
    /// Requests under way.
    pub(crate) in_flight: Count,
    /// Lines of the access log that were lost because nobody read them fast enough.
    pub(crate) lines_lost: Count,
}

/// A number that one thread writes and any thread reads.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds; by the owning core alone, so that no locked instruction is needed.
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// Takes away; by the owning core alone.
    pub(crate) fn sub(&self, less: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(less), Relaxed);
    }

    /// The number as it is now.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What is counted for one target of one route.
#[derive(Debug, Default)]
pub(crate) struct Series {
    /// How many had this place before (see [`SeriesId`]).
    turn: AtomicU32,
    /// Requests by status class, 1xx to 5xx; the first is for callers that left before the head.
    statuses: [Count; 6],
    /// Failures by class.
    classes: [Count; Class::ALL.len()],
    /// Tries beyond the first.
    retries: Count,
    bytes_in: Count,
    bytes_out: Count,
    /// Answers by the time to their heads.
    buckets: [Count; BOUNDS_US.len() + 1],
    /// The sum of those times in microseconds.
    sum_us: Count,
}

impl Series {
    /// Nothing counted yet.
    pub(crate) fn new(turn: u32) -> Self {
        Self { turn: AtomicU32::new(turn), ..Self::default() }
    }

    /// Whose counters these are.
    pub(crate) fn turn(&self) -> u32 {
        self.turn.load(Acquire)
    }

    /// Forgets what another has counted; by the owning core alone.
    pub(crate) fn start_anew(&self, turn: u32) {
        let Self { turn: own, statuses, classes, retries, bytes_in, bytes_out, buckets, sum_us } =
            self;
        let all = statuses.iter().chain(classes).chain(buckets);
        all.chain([retries, bytes_in, bytes_out, sum_us])
            .for_each(|count| count.0.store(0, Relaxed));
        own.store(turn, Release);
    }
}

impl CoreMetrics {
    /// Counts one request.
    pub(crate) fn count(&self, id: SeriesId, record: &Record) {
        let Some(series) = self.series.own(id) else { return };
        let status = record.status.map_or(0, |status| usize::from(status.as_u16() / 100)).min(5);
        series.statuses[status].add(1);
        if let Some(class) = record.class {
            series.classes[class as usize].add(1);
        }
        if record.attempts > 1 {
            series.retries.add(u64::from(record.attempts - 1));
        }
        series.bytes_in.add(record.bytes_in);
        series.bytes_out.add(record.bytes_out);
        let us = micros(record.head_after);
        series.buckets[BOUNDS_US.partition_point(|bound| *bound < us)].add(1);
        series.sum_us.add(us);
    }
}

impl CoreMetrics {
    /// Counts one copy of a request, and why it failed or was not made.
    pub(crate) fn count_copy(&self, id: SeriesId, failed: Option<Class>) {
        let Some(series) = self.series.own(id) else { return };
        match failed {
            Some(class) => series.classes[class as usize].add(1),
            None => series.statuses[2].add(1),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Takes one number out of a series.
type OfSeries = fn(&Series) -> u64;
/// Takes one number out of a core's counters.
type OfCore = fn(&CoreMetrics) -> u64;

/// Prints all cores' counters together, in the Prometheus text format 0.0.4.
pub(crate) fn print(book: &Book, cores: &[&CoreMetrics]) -> String {
    let used = |counts: Counts| -> Vec<(SeriesId, &str)> {
        book.each(counts)
            .filter(|(_, id)| cores.iter().any(|core| core.series.get(*id).is_some()))
            .map(|(label, id)| (id, label))
            .collect()
    };
    let (used, copies) = (used(Counts::Requests), used(Counts::Copies));
    let sum = |id: SeriesId, of: &dyn Fn(&Series) -> u64| -> u64 {
        cores.iter().filter_map(|core| core.series.get(id)).map(of).sum()
    };
    let mut out = String::new();
    let mut say = |line: std::fmt::Arguments<'_>| {
        out.write_fmt(line).expect("a String takes all that is written");
        out.push('\n');
    };

    say(format_args!("# HELP gusset_requests_total Requests by the status that the caller got."));
    say(format_args!("# TYPE gusset_requests_total counter"));
    const STATUSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
    for (id, label) in &used {
        for (at, status) in STATUSES.iter().enumerate() {
            let n = sum(*id, &|series| series.statuses[at].get());
            if n > 0 {
                say(format_args!("gusset_requests_total{{{label},status=\"{status}\"}} {n}"));
            }
        }
    }
    say(format_args!("# HELP gusset_failures_total Requests that failed, by class of failure."));
    say(format_args!("# TYPE gusset_failures_total counter"));
    for (id, label) in &used {
        for class in Class::ALL {
            let n = sum(*id, &|series| series.classes[class as usize].get());
            if n > 0 {
                say(format_args!(
                    "gusset_failures_total{{{label},class=\"{}\"}} {n}",
                    class.name()
                ));
            }
        }
    }
    let plain: [(&str, &str, OfSeries); 3] = [
        ("gusset_retries_total", "Tries beyond the first.", |series| series.retries.get()),
        ("gusset_request_bytes_total", "Bytes of request bodies.", |series| series.bytes_in.get()),
        ("gusset_response_bytes_total", "Bytes of answers' bodies.", |series| {
            series.bytes_out.get()
        }),
    ];
    for (name, help, of) in plain {
        say(format_args!("# HELP {name} {help}"));
        say(format_args!("# TYPE {name} counter"));
        for (id, label) in &used {
            say(format_args!("{name}{{{label}}} {}", sum(*id, &of)));
        }
    }
    let histogram = "gusset_request_duration_seconds";
    say(format_args!("# HELP {histogram} Time from a request's arrival to its answer's head."));
    say(format_args!("# TYPE {histogram} histogram"));
    for (id, label) in &used {
        let mut below = 0;
        for (at, bound) in BOUNDS.iter().enumerate() {
            below += sum(*id, &|series| series.buckets[at].get());
            say(format_args!("{histogram}_bucket{{{label},le=\"{bound}\"}} {below}"));
        }
        below += sum(*id, &|series| series.buckets[BOUNDS.len()].get());
        let us = sum(*id, &|series| series.sum_us.get());
        say(format_args!("{histogram}_bucket{{{label},le=\"+Inf\"}} {below}"));
        say(format_args!("{histogram}_sum{{{label}}} {}.{:06}", us / 1_000_000, us % 1_000_000));
        say(format_args!("{histogram}_count{{{label}}} {below}"));
    }
    let mirrored = "gusset_mirrored_total";
    say(format_args!("# HELP {mirrored} Copies for mirrors: sent, or the class of failure."));
    say(format_args!("# TYPE {mirrored} counter"));
    for (id, label) in &copies {
        let sent = sum(*id, &|series| series.statuses[2].get());
        say(format_args!("{mirrored}{{{label},outcome=\"sent\"}} {sent}"));
        for class in Class::ALL {
            let n = sum(*id, &|series| series.classes[class as usize].get());
            if n > 0 {
                say(format_args!("{mirrored}{{{label},outcome=\"{}\"}} {n}", class.name()));
            }
        }
    }
    let whole: [(&str, &str, &str, OfCore); 5] = [
        ("gusset_connections_total", "counter", "Connections accepted.", |core| {
            core.accepted.get()
        }),
        ("gusset_connections_shed_total", "counter", "Connections closed as they came.", |core| {
            core.shed.get()
        }),
        ("gusset_connections_open", "gauge", "Connections open.", |core| core.open.get()),
        ("gusset_requests_in_flight", "gauge", "Requests under way.", |core| core.in_flight.get()),
        ("gusset_log_lines_lost_total", "counter", "Access log lines that nobody read.", |core| {
            core.lines_lost.get()
        }),
    ];
    for (name, kind, help, of) in whole {
        say(format_args!("# HELP {name} {help}"));
        say(format_args!("# TYPE {name} {kind}"));
        say(format_args!("{name} {}", cores.iter().map(|core| of(core)).sum::<u64>()));
    }
    let late = "gusset_late_replies_total";
    say(format_args!("# HELP {late} Replies over brokers that came when nobody waited any more."));
    say(format_args!("# TYPE {late} counter"));
    say(format_args!("{late} {}", invokers::late_replies()));
    out
}
