//! Those who send: 64, each with a key of its own. An event that was acknowledged is never sent
//! again, or a loss would be hidden; any other is sent until it is, with the same id.

use std::{
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Plan, journal::Journal, random::Random};
use crate::support::{Client, gateway::request};

const SENDERS: u32 = 64;
/// How long one event may be refused. Whoever is killed is started again within seconds.
const STUCK: Duration = Duration::from_secs(120);

/// The senders at work.
pub(super) struct Senders {
    threads: Vec<JoinHandle<()>>,
    left: Arc<AtomicUsize>,
}

impl Senders {
    /// Starts them; all events are sent within about the time that the run lasts.
    pub(super) fn start(
        plan: Plan,
        lasts: Duration,
        address: SocketAddr,
        journal: Arc<Journal>,
    ) -> Self {
        let left = Arc::new(AtomicUsize::new(SENDERS as usize));
        let each = plan.events / SENDERS;
        let pause = lasts / each.max(1);
        let threads = (0..SENDERS).map(|sender| {
            let (journal, left) = (Arc::clone(&journal), Arc::clone(&left));
            thread::spawn(move || {
                let mut random = Random::new(plan.seed, u64::from(sender));
                let mut wire = None;
                for number in 1..=each {
                    let id = format!("{sender}-{number}");
                    journal.tries(&id);
                    let began = Instant::now();
                    while !send(&mut wire, address, &id, &journal) {
                        assert!(began.elapsed() < STUCK, "{id} is not taken");
                        thread::sleep(Duration::from_millis(5 + random.below(50)));
                    }
                    journal.acked(&id);
                    let most = u64::try_from(pause.as_micros()).unwrap() * 2;
                    thread::sleep(Duration::from_micros(random.below(most)));
                }
                left.fetch_sub(1, Relaxed);
            })
        });
        Self { threads: threads.collect(), left }
    }

    pub(super) fn are_done(&self) -> bool {
        self.left.load(Relaxed) == 0
    }

    pub(super) fn finish(self) {
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

/// The number of an event, for chance.
pub(super) fn number(id: &str) -> u64 {
    id.bytes().fold(0, |sum, byte| sum.wrapping_mul(131).wrapping_add(u64::from(byte)))
}

/// The data of an event: its id, then bytes that only it has; from 200 bytes up to 64 KiB, most of
/// them small.
pub(super) fn data(seed: u64, id: &str) -> Vec<u8> {
    let mut random = Random::new(seed, number(id));
    let length = if random.percent(2) { 64 << 10 } else { 200 + random.below(1800) };
    let mut data = format!("{id} ").into_bytes();
    while (data.len() as u64) < length {
        data.extend_from_slice(format!("{:016x}", random.next()).as_bytes());
    }
    data
}

/// Sends an event once. True if it was acknowledged.
fn send(wire: &mut Option<Client>, address: SocketAddr, id: &str, journal: &Journal) -> bool {
    let Some(mut client) =
        wire.take().or_else(|| TcpStream::connect(address).ok().map(Client::over))
    else {
        return false;
    };
    let (sender, _) = id.split_once('-').unwrap();
    let headers = [
        "ce-specversion: 1.0".to_owned(),
        "ce-type: chaos".to_owned(),
        format!("ce-source: /{sender}"),
        format!("ce-subject: {sender}"),
        format!("ce-id: {id}"),
        "content-type: text/plain".to_owned(),
    ];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let request = request("POST", "/in", &headers, &data(journal.seed, id));
    journal.in_flight.fetch_add(1, Relaxed);
    let status = exchange(&mut client, &request);
    journal.in_flight.fetch_sub(1, Relaxed);
    if status.is_some() {
        *wire = Some(client);
    }
    status == Some(202)
}

/// The status of the answer; none if the connection broke.
fn exchange(client: &mut Client, request: &[u8]) -> Option<u16> {
    if !client.try_send(request) {
        return None;
    }
    let head = client.whole_head()?;
    let status = head.status();
    client.body(&head)?;
    Some(status)
}
