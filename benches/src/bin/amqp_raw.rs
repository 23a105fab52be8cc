//! What the AMQP client does without a gateway around it, for comparison:
//! `amqp_raw URL QUEUE WINDOW SIZE SECONDS bare|whole` prints one JSON line.
//! A bare message is persistent and no more; a whole one has the properties and headers that the
//! gateway gives to the same request.
//!
//! Makes a durable queue of at most 1000 messages, so that no round works on what another has left,
//! and keeps WINDOW persistent, mandatory messages under way on one channel,
//! each of which is confirmed, as programs do that are written with the library. The core that
//! drives it is one thread, as the gateway's is; the library has another.

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error>;

const USAGE: &str = "amqp_raw URL QUEUE WINDOW SIZE SECONDS bare|whole";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]
fn main() -> ExitCode {
    match run() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("amqp_raw: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, Error> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [url, queue, window, size, seconds, message] = words.as_slice() else {
        return Err(USAGE.into());
    };
    let whole = match message.as_str() {
        "bare" => false,
        "whole" => true,
        _ => return Err(USAGE.into()),
    };
    let (window, size): (usize, usize) = (window.parse()?, size.parse()?);
    let lasts = Duration::from_secs(seconds.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(url, queue, window, &vec![b'x'; size], whole, lasts))
}

async fn measure(
    url: &str,
    queue: &str,
    window: usize,
    data: &[u8],
    whole: bool,
    lasts: Duration,
) -> Result<String, Error> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let mut bounded = FieldTable::default();
    bounded.insert("x-max-length".into(), AMQPValue::LongLongInt(1000));
    channel.queue_declare(queue.into(), durable, bounded).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;

    let mut under_way = FuturesUnordered::new();
    let mut took = Vec::new();
    let start = Instant::now();
    while start.elapsed() < lasts {
        while under_way.len() < window {
            under_way.push(publish(&channel, queue, data, properties(whole, took.len())));
        }
        if let Some(confirmed) = under_way.next().await {
            took.push(confirmed?);
        }
    }
    while let Some(confirmed) = under_way.next().await {
        took.push(confirmed?);
    }
    let lasted = start.elapsed().as_secs_f64();
    took.sort_unstable();
    let p99 = took.get(took.len() * 99 / 100).copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 messages")]
    let per_second = took.len() as f64 / lasted;
    Ok(format!(
        r#"{{"window":{window},"size":{},"seconds":{lasted:.3},"per_second":{per_second:.0},"p99_ms":{:.3}}}"#,
        data.len(),
        p99.as_secs_f64() * 1e3
    ))
}

/// Publishes one message, and says how long its confirmation took.
async fn publish(
    channel: &Channel,
    queue: &str,
    data: &[u8],
    properties: BasicProperties,
) -> Result<Duration, Error> {
    let began = Instant::now();
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let sent = channel.basic_publish("".into(), queue.into(), options, data, properties).await?;
    match sent.await? {
        Confirmation::Ack(None) => Ok(began.elapsed()),
        other => Err(format!("not confirmed: {other:?}").into()),
    }
}

/// What a message says of itself.
fn properties(whole: bool, number: usize) -> BasicProperties {
    let persistent = BasicProperties::default().with_delivery_mode(2);
    if !whole {
        return persistent;
    }
    let mut headers = FieldTable::default();
    for (name, value) in [("http-method", "POST"), ("http-path", "/amqp")] {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    persistent
        .with_content_type("application/json".into())
        .with_correlation_id(number.to_string().into())
        .with_headers(headers)
}
