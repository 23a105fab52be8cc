//! Ten minutes of everything at once, outside CI's path: `cargo xtask soak`. Traffic of every kind,
//! services that fail, callers that leave, reloads all the while; nothing may panic, nothing that
//! is well may fail, and neither memory nor descriptors may grow.

use std::{
    env, fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::{Client, Gateway, Peer, eventually, gateway::request, nats::Server, shell};

/// How far the resident memory at the end may be above that after the first fifth.
const GROWTH_BYTES: u64 = 8 << 20;
/// How many more descriptors may be open at the end than before the traffic.
const GROWTH_DESCRIPTORS: usize = 16;

/// What all workers share.
struct Traffic {
    address: SocketAddr,
    enough: AtomicBool,
    requests: AtomicU64,
    refused: AtomicU64,
}

impl Traffic {
    fn goes_on(&self) -> bool {
        !self.enough.load(Relaxed)
    }

    fn count(&self) {
        self.requests.fetch_add(1, Relaxed);
    }
}

#[test]
#[ignore = "runs for minutes; `cargo xtask soak` runs it"]
fn mixed_traffic_for_minutes() {
    let seconds: u64 = env::var("GUSSET_SOAK_SECONDS").map_or(600, |text| text.parse().unwrap());
    let lasts = Duration::from_secs(seconds);
    let echo = Peer::start(|exchange| {
        // Not remembered, or the memory of the test would be what grows.
        let Some((body, _)) = exchange.wire.body(&exchange.head) else { return exchange.close() };
        exchange.answer(200, &[], body);
    });
    let flaky = Peer::start(|exchange| {
        let Some((body, _)) = exchange.wire.body(&exchange.head) else { return exchange.close() };
        match body.len() % 4 {
            0 => exchange.close(),
            1 => exchange.answer(503, &["Retry-After: 0"], "not now"),
            2 => {
                exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
                exchange.close();
            }
            _ => exchange.answer(200, &[], body),
        }
    });
    let mut nats = Server::start();
    let bus = nats.url();
    let config = |generation: u64| {
        format!(
            "version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstreams:
  echo: {{ kind: http, url: {} }}
  flaky: {{ kind: http, url: {} }}
  nobody: {{ kind: http, url: http://127.0.0.1:1 }}
  bus: {{ kind: nats, url: {} }}
routes:
  - {{ name: echo, match: {{ prefix: /echo }}, to: echo }}
  - {{ name: flaky, match: {{ prefix: /flaky }}, to: flaky, policy: {{ idempotent: true, retry: {{ attempts: 3, on: [connect, reset, failed] }} }} }}
  - {{ name: nobody, match: {{ prefix: /nobody }}, to: nobody }}
  - {{ name: bus, match: {{ path: /bus }}, to: bus/soak }}
  - {{ name: changing, match: {{ path: /changing }}, respond: {{ status: 200, body: \"{generation}\" }} }}
",
            echo.url(),
            flaky.url(),
            bus
        )
    };
    let gateway = Gateway::unrecorded(&config(0));
    let before = descriptors(gateway.id());
    let traffic = Arc::new(Traffic {
        address: gateway.address(),
        enough: AtomicBool::new(false),
        requests: AtomicU64::new(0),
        refused: AtomicU64::new(0),
    });
    let kinds: [fn(&Traffic); 8] =
        [well, large, streamed, fresh, failing, leaving, malformed, published];
    let workers: Vec<_> = kinds
        .into_iter()
        .map(|kind| {
            let traffic = Arc::clone(&traffic);
            thread::spawn(move || kind(&traffic))
        })
        .collect();

    let began = Instant::now();
    let (mut generation, mut early) = (0, None);
    let mut away_until = Duration::ZERO;
    while began.elapsed() < lasts {
        generation += 1;
        gateway.write(&config(generation));
        shell::signal("HUP", gateway.id());
        thread::sleep(Duration::from_millis(500));
        if early.is_none() && began.elapsed() > lasts / 5 {
            early = Some(resident(gateway.id()));
        }
        // The broker is away for a while now and then.
        if generation % 60 == 30 {
            nats.kill();
            away_until = began.elapsed() + Duration::from_secs(2);
        } else if away_until != Duration::ZERO && began.elapsed() > away_until {
            nats.restart();
            away_until = Duration::ZERO;
        }
        if generation % 60 == 0 {
            println!(
                "{} s: {} requests, {} reloads, {} MB",
                began.elapsed().as_secs(),
                traffic.requests.load(Relaxed),
                generation,
                resident(gateway.id()) >> 20
            );
        }
    }
    traffic.enough.store(true, Relaxed);
    for worker in workers {
        worker.join().expect("what is well never fails");
    }
    let (early, late) = (early.unwrap(), resident(gateway.id()));
    eventually("the last reload is served", || {
        (gateway.get("/changing").text() == generation.to_string()).then_some(())
    });
    let after = settled(gateway.id(), before + GROWTH_DESCRIPTORS);
    println!(
        "{seconds} s: {} requests, {} refused, {generation} reloads; {} MB after a fifth, {} MB at the end; \
         {before} descriptors before, {after} after",
        traffic.requests.load(Relaxed),
        traffic.refused.load(Relaxed),
        early >> 20,
        late >> 20
    );
    let said = gateway.stderr().join("\n");
    assert!(!said.contains("panicked"), "{said}");
    assert!(late <= early + GROWTH_BYTES, "memory grew from {early} to {late} bytes");
    assert!(after <= before + GROWTH_DESCRIPTORS, "descriptors grew from {before} to {after}");
}

/// Small requests on one connection.
fn well(traffic: &Traffic) {
    let mut client = Client::connect(traffic.address);
    while traffic.goes_on() {
        let answer = client.round_trip("GET /echo/a?b=c HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(answer.status, 200, "{}", answer.text());
        traffic.count();
    }
}

/// Bodies that no buffer holds whole.
fn large(traffic: &Traffic) {
    let mut client = Client::connect(traffic.address);
    let body = vec![b'x'; 300 << 10];
    while traffic.goes_on() {
        let answer = client.round_trip(request("POST", "/echo", &[], &body));
        assert_eq!((answer.status, answer.body.len()), (200, body.len()));
        traffic.count();
    }
}

/// Chunks.
fn streamed(traffic: &Traffic) {
    let mut client = Client::connect(traffic.address);
    while traffic.goes_on() {
        client.send("POST /echo HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..20 {
            client.send("5\r\nhello\r\n");
        }
        client.send("0\r\n\r\n");
        assert_eq!(client.answer().body.len(), 100);
        traffic.count();
    }
}

/// A connection for each request.
fn fresh(traffic: &Traffic) {
    while traffic.goes_on() {
        let mut client = Client::connect(traffic.address);
        let answer = client
            .round_trip("GET /changing HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        assert_eq!(answer.status, 200);
        traffic.count();
        thread::sleep(Duration::from_millis(2));
    }
}

/// Services that fail in every way, and one that is not there.
fn failing(traffic: &Traffic) {
    let mut length = 0;
    while traffic.goes_on() {
        length += 1;
        let path = if length % 5 == 0 { "/nobody" } else { "/flaky" };
        let mut client = Client::connect(traffic.address);
        client.send(request("POST", path, &[], &vec![b'x'; length % 16]));
        // The answer may break off in its body, as the service's did.
        let status = client.head().status();
        assert!([200, 502, 503].contains(&status), "{status}");
        traffic.refused.fetch_add(u64::from(status != 200), Relaxed);
        traffic.count();
    }
}

/// Callers that leave in the middle.
fn leaving(traffic: &Traffic) {
    let mut round = 0;
    while traffic.goes_on() {
        round += 1;
        let mut client = Client::connect(traffic.address);
        let whole = request("POST", "/echo", &[], &vec![b'x'; 64 << 10]);
        client.try_send(&whole[..whole.len() * (round % 10) / 10]);
        drop(client);
        traffic.count();
        thread::sleep(Duration::from_millis(1));
    }
}

/// Heads that are none.
fn malformed(traffic: &Traffic) {
    while traffic.goes_on() {
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET /echo HTTP/1.1\nHost: a\n\n",
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "\x16\x03\x01",
        ] {
            let answer = Client::connect(traffic.address).round_trip(head);
            assert_eq!(answer.status, 400, "{head:?}");
            traffic.count();
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Messages to a broker that is away now and then.
fn published(traffic: &Traffic) {
    let mut client = Client::connect(traffic.address);
    while traffic.goes_on() {
        let answer = client.round_trip(request("POST", "/bus", &[], b"hello"));
        assert!([202, 503, 504].contains(&answer.status), "{}", answer.text());
        traffic.refused.fetch_add(u64::from(answer.status != 202), Relaxed);
        traffic.count();
        thread::sleep(Duration::from_millis(1));
    }
}

/// The resident memory of a process, in bytes.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(PathBuf::from(format!("/proc/{pid}/fd"))).unwrap().count()
}

/// The descriptors once they are no more than `enough`, or after a minute.
fn settled(pid: u32, enough: usize) -> usize {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let now = descriptors(pid);
        if now <= enough || Instant::now() > until {
            return now;
        }
        thread::sleep(Duration::from_millis(200));
    }
}
