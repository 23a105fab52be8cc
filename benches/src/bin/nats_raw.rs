//! What the NATS client does without a gateway around it, for comparison:
//! `nats_raw URL core|jetstream-memory|jetstream-file WINDOW SIZE SECONDS` prints one JSON line.
//!
//! `core` publishes WINDOW messages and then waits for one message to itself, sent after them on
//! the same connection: what the gateway waits for before it answers 202. `jetstream-…` keeps
//! WINDOW publishes under way and waits for the acknowledgement of each. One thread, as a core of
//! the gateway has.

use std::{
    env, fs,
    process::ExitCode,
    time::{Duration, Instant},
};

use async_nats::{Client, Error};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "nats_raw URL core|jetstream-memory|jetstream-file WINDOW SIZE SECONDS";

/// What is measured.
struct Run {
    url: String,
    case: String,
    window: u64,
    size: usize,
    lasts: Duration,
}

impl Run {
    fn read(mut words: impl Iterator<Item = String>) -> Option<Self> {
        Some(Self {
            url: words.next()?,
            case: words.next()?,
            window: words.next()?.parse().ok().filter(|window| *window > 0)?,
            size: words.next()?.parse().ok()?,
            lasts: Duration::from_secs(words.next()?.parse().ok()?),
        })
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]
fn main() -> ExitCode {
    let Some(run) = Run::read(env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match measure(&run) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("nats_raw: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(run: &Run) -> Result<String, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = async_nats::connect(&run.url).await?;
        let data = Bytes::from(vec![b'x'; run.size]);
        if let Some(storage) = run.case.strip_prefix("jetstream-") {
            make_stream(&client, storage).await?;
        } else if run.case != "core" {
            return Err(USAGE.into());
        }
        let (start, cpu) = (Instant::now(), cpu());
        let (requests, p99) = match run.case.as_str() {
            "core" => (core(&client, run, &data, start).await?, Duration::ZERO),
            _ => jetstream(&client, run, &data, start).await?,
        };
        let took = start.elapsed().as_secs_f64();
        let cpu = cpu_since(cpu);
        Ok(format!(
            r#"{{"case":"{}","window":{},"size":{},"seconds":{took:.3},"requests":{requests},"per_second":{:.0},"cpu_us_per_request":{:.3},"p99_ms":{:.3}}}"#,
            run.case,
            run.window,
            run.size,
            per(requests, took),
            cpu.as_secs_f64() * 1e6 / per(requests, 1.0).max(1.0),
            p99.as_secs_f64() * 1e3,
        ))
    })
}

async fn core(client: &Client, run: &Run, data: &Bytes, start: Instant) -> Result<u64, Error> {
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await?;
    let mut requests = 0;
    while start.elapsed() < run.lasts {
        for _ in 0..run.window {
            client.publish("bench.core", data.clone()).await?;
        }
        client.publish(inbox.clone(), Bytes::new()).await?;
        echo.next().await.ok_or("the connection ended")?;
        requests += run.window;
    }
    Ok(requests)
}

/// Returns how many were acknowledged, and within which time 99 of a hundred.
async fn jetstream(
    client: &Client,
    run: &Run,
    data: &Bytes,
    start: Instant,
) -> Result<(u64, Duration), Error> {
    let context = async_nats::jetstream::new(client.clone());
    let publish = async || -> Result<Duration, Error> {
        let began = Instant::now();
        context.publish("bench.jetstream", data.clone()).await?.await?;
        Ok(began.elapsed())
    };
    let mut under_way = FuturesUnordered::new();
    let mut took = Vec::new();
    while start.elapsed() < run.lasts {
        while (under_way.len() as u64) < run.window {
            under_way.push(publish());
        }
        if let Some(acknowledged) = under_way.next().await {
            took.push(acknowledged?);
        }
    }
    while let Some(acknowledged) = under_way.next().await {
        took.push(acknowledged?);
    }
    took.sort_unstable();
    let p99 = took.get(took.len() * 99 / 100).copied().unwrap_or_default();
    Ok((took.len() as u64, p99))
}

/// Makes the stream anew, bounded, so that a long run fills neither memory nor disk.
async fn make_stream(client: &Client, storage: &str) -> Result<(), Error> {
    client.request("$JS.API.STREAM.DELETE.BENCH", Bytes::new()).await?;
    let config = format!(
        r#"{{"name":"BENCH","subjects":["bench.jetstream"],"storage":"{storage}","max_bytes":268435456}}"#
    );
    let answer = client.request("$JS.API.STREAM.CREATE.BENCH", config.into()).await?;
    let answer = String::from_utf8_lossy(&answer.payload);
    if answer.contains("\"error\"") { Err(answer.into_owned().into()) } else { Ok(()) }
}

/// Requests in so many seconds, each second.
fn per(requests: u64, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
    let requests = requests as f64;
    requests / seconds
}

/// The time that this process's threads have run, from the scheduler's own books.
fn cpu() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|stat| stat.split(' ').next()?.parse().ok())
        .map(Duration::from_nanos)
        .sum()
}

fn cpu_since(before: Duration) -> Duration {
    cpu().saturating_sub(before)
}
