//! The access log: one line a request, gathered by each core and written by a thread of its own,
//! so that a slow terminal or pipe never holds a request up. What it cannot take is counted.

use std::{
    io::Write as _,
    net::IpAddr,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

use http1::number;
use schemas::Record;

use super::metrics::CoreMetrics;

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

/// A core's lines are handed on when they are this long or this old.
const BATCH_BYTES: usize = 16 << 10;
/// How old a core's lines become before they are handed on.
pub(crate) const BATCH_AGE: Duration = Duration::from_millis(100);
/// How many batches wait for the writer: at most 1 MiB for each core.
const BATCHES: usize = 64;

/// Where the cores' lines go.
#[derive(Debug)]
pub(crate) struct Writer {
    batches: SyncSender<Vec<u8>>,
    thread: std::thread::JoinHandle<()>,
}

impl Writer {
    /// Starts the thread that writes to standard output.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (batches, waiting) = sync_channel(BATCHES);
        let thread =
            std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&waiting))?;
        Ok(Self { batches, thread })
    }

    /// A way to the writer for one core.
    pub(crate) fn sender(&self) -> SyncSender<Vec<u8>> {
        self.batches.clone()
    }

    /// Writes what is still waiting, and ends. The cores must have dropped their senders.
    pub(crate) fn finish(self) {
        drop(self.batches);
        drop(self.thread.join());
    }
}

fn write(waiting: &Receiver<Vec<u8>>) {
    let out = std::io::stdout();
    while let Ok(batch) = waiting.recv() {
        // Locked for a batch and no longer: others of the process print too.
        let written = {
            let mut out = out.lock();
            out.write_all(&batch).and_then(|()| out.flush())
        };
        if written.is_err() {
            // Nobody reads any more; go on emptying the queue so that nobody waits either.
            while waiting.recv().is_ok() {}
        }
    }
}

/// One core's lines.
#[derive(Debug)]
pub(crate) struct Lines {
    format: RecordFormat,
    gathered: Vec<u8>,
    since: Option<Instant>,
    to: SyncSender<Vec<u8>>,
    metrics: Arc<CoreMetrics>,
    clock: Clock,
}

impl Lines {
    /// Makes a core's gatherer.
    pub(crate) fn new(
        format: RecordFormat,
        to: SyncSender<Vec<u8>>,
        metrics: Arc<CoreMetrics>,
    ) -> Self {
        Self { format, gathered: Vec::new(), since: None, to, metrics, clock: Clock::default() }
    }

    /// Adds a record's line.
    pub(crate) fn add(&mut self, record: &Record, now: Instant) {
        match self.format {
            RecordFormat::Off => return,
            RecordFormat::Text => text(record, &mut self.clock, &mut self.gathered),
            RecordFormat::Json => json(record, &mut self.clock, &mut self.gathered),
        }
        self.since.get_or_insert(now);
        if self.gathered.len() >= BATCH_BYTES {
            self.hand_on();
        }
    }

    /// Hands on what is old enough. Called by the core's clock.
    pub(crate) fn tick(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() >= BATCH_AGE / 2) {
            self.hand_on();
        }
    }

    /// Hands on what there is.
    pub(crate) fn hand_on(&mut self) {
        self.since = None;
        if self.gathered.is_empty() {
            return;
        }
        let next = Vec::with_capacity(self.gathered.len().min(2 * BATCH_BYTES));
        let batch = std::mem::replace(&mut self.gathered, next);
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) =
            self.to.try_send(batch)
        {
            let lines = memchr::memchr_iter(b'\n', &batch).count();
            self.metrics.lines_lost.add(lines as u64);
        }
    }
}

/// Prints times of day; the text of a second is made once.
#[derive(Debug, Default)]
struct Clock {
    second: u64,
    text: String,
}

impl Clock {
    /// Appends a time (microseconds since the epoch) as RFC 3339 with milliseconds.
    fn put(&mut self, at_us: u64, out: &mut Vec<u8>) {
        let second = at_us / 1_000_000;
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text = i64::try_from(second)
                .ok()
                .and_then(|second| jiff::Timestamp::from_second(second).ok())
                .map_or_else(
                    || "-".to_owned(),
                    |time| time.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
                );
        }
        out.extend_from_slice(self.text.as_bytes());
        let millis = at_us / 1_000 % 1_000;
        out.push(b'.');
        for divisor in [100, 10, 1] {
            out.push(digit(millis / divisor % 10));
        }
        out.push(b'Z');
    }
}

fn digit(n: u64) -> u8 {
    b'0' + u8::try_from(n).unwrap_or(0)
}

/// Appends a time as milliseconds with three decimals.
fn millis(time: Duration, out: &mut Vec<u8>) {
    let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    number(us / 1_000, out);
    out.push(b'.');
    for divisor in [100, 10, 1] {
        out.push(digit(us / divisor % 10));
    }
}

/// `2026-01-02T03:04:05.678Z 200 GET /orders/7 1.204ms create-order -> aws/orders id=… …`
fn text(record: &Record, clock: &mut Clock, out: &mut Vec<u8>) {
    clock.put(record.at_us, out);
    out.push(b' ');
    match record.status {
        Some(status) => out.extend_from_slice(status.as_str().as_bytes()),
        None => out.extend_from_slice(b"---"),
    }
    out.push(b' ');
    out.extend_from_slice(record.method.as_str().as_bytes());
    out.push(b' ');
    visible(record.path(), out);
    out.push(b' ');
    millis(record.took, out);
    out.extend_from_slice(b"ms");
    if let Some(route) = &record.route {
        out.push(b' ');
        out.extend_from_slice(route.as_bytes());
    }
    if let Some(address) = &record.address {
        out.extend_from_slice(b" -> ");
        out.extend_from_slice(address.as_bytes());
    }
    if let Some(ack) = record.ack {
        out.push(b' ');
        out.extend_from_slice(ack.name().as_bytes());
    }
    out.extend_from_slice(b" in=");
    number(record.bytes_in, out);
    out.extend_from_slice(b" out=");
    number(record.bytes_out, out);
    if record.attempts > 1 {
        out.extend_from_slice(b" attempts=");
        number(u64::from(record.attempts), out);
    }
    if let Some(code) = record.code.or(record.class.map(schemas::Class::name)) {
        out.extend_from_slice(b" failed=");
        out.extend_from_slice(code.as_bytes());
    }
    out.extend_from_slice(b" id=");
    out.extend_from_slice(record.request_id.as_bytes());
    if let Some(peer) = record.peer {
        out.extend_from_slice(b" peer=");
        address(peer, out);
    }
    if let Some(cause) = &record.cause {
        out.extend_from_slice(b" cause=\"");
        visible(cause, out);
        out.push(b'"');
    }
    out.push(b'\n');
}

/// Appends an address. The commonest form is written by hand, for the same reason as numbers.
fn address(peer: IpAddr, out: &mut Vec<u8>) {
    let IpAddr::V4(v4) = peer else {
        out.extend_from_slice(peer.to_string().as_bytes());
        return;
    };
    for (at, part) in v4.octets().into_iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        number(u64::from(part), out);
    }
}

/// Appends a text in which every byte that could forge a line or a terminal's state is escaped.
fn visible(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|b| (b' '..0x7f).contains(&b)) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default().map(|c| u8::try_from(c).unwrap_or(b'?')));
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

fn json(record: &Record, clock: &mut Clock, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    clock.put(record.at_us, out);
    out.extend_from_slice(b"\",\"request_id\":");
    string(&String::from_utf8_lossy(record.request_id.as_bytes()), out);
    if let Some(peer) = record.peer {
        out.extend_from_slice(b",\"peer\":");
        string(&peer.to_string(), out);
    }
    out.extend_from_slice(b",\"method\":");
    string(record.method.as_str(), out);
    out.extend_from_slice(b",\"path\":");
    string(record.path(), out);
    for (name, value) in [("route", &record.route), ("address", &record.address)] {
        if let Some(value) = value {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            string(value, out);
        }
    }
    if let Some(status) = record.status {
        out.extend_from_slice(b",\"status\":");
        number(u64::from(status.as_u16()), out);
    }
    if let Some(class) = record.class {
        out.extend_from_slice(b",\"class\":");
        string(class.name(), out);
    }
    if let Some(code) = record.code {
        out.extend_from_slice(b",\"code\":");
        string(code, out);
    }
    if let Some(cause) = &record.cause {
        out.extend_from_slice(b",\"cause\":");
        string(cause, out);
    }
    if let Some(ack) = record.ack {
        out.extend_from_slice(b",\"ack\":");
        string(ack.name(), out);
    }
    for (name, value) in [
        ("attempts", u64::from(record.attempts)),
        ("bytes_in", record.bytes_in),
        ("bytes_out", record.bytes_out),
    ] {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        number(value, out);
    }
    for (name, value) in [("head_ms", record.head_after), ("took_ms", record.took)] {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        millis(value, out);
    }
    out.extend_from_slice(b"}\n");
}

fn string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a Vec takes all that is written");
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method, StatusCode};
    use schemas::{Ack, Class};

    use super::*;

    fn record() -> Record {
        Record {
            at_us: 1_767_323_045_678_901,
            request_id: HeaderValue::from_static("r1"),
            peer: Some("127.0.0.1".parse().unwrap()),
            method: Method::GET,
            target: Some(
                "/a/\u{7f}b?token=secret"
                    .parse()
                    .unwrap_or_else(|_| "/a/b?token=secret".parse().unwrap()),
            ),
            route: Some("shop".into()),
            address: Some("web".into()),
            status: Some(StatusCode::BAD_GATEWAY),
            class: Some(Class::ConnectFailed),
            code: None,
            cause: Some("refused\nforged line".to_owned()),
            ack: Some(Ack::Replied),
            attempts: 2,
            bytes_in: 0,
            bytes_out: 1234,
            head_after: Duration::from_micros(1_204),
            took: Duration::from_micros(1_304),
        }
    }

    #[test]
    fn a_line_is_readable_and_holds_no_query_and_no_line_break() {
        let mut out = Vec::new();
        text(&record(), &mut Clock::default(), &mut out);
        let line = String::from_utf8(out).unwrap();
        assert_eq!(
            line,
            "2026-01-02T03:04:05.678Z 502 GET /a/b 1.304ms shop -> web replied in=0 out=1234 \
             attempts=2 failed=connect_failed id=r1 peer=127.0.0.1 cause=\"refused\\nforged line\"\n"
        );
    }

    #[test]
    fn a_json_line_is_one_json_object() {
        let mut out = Vec::new();
        json(&record(), &mut Clock::default(), &mut out);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["time"], "2026-01-02T03:04:05.678Z");
        assert_eq!(value["took_ms"], 1.304);
        assert_eq!(value["path"], "/a/b");
        assert_eq!(value["cause"], "refused\nforged line");
    }
}
