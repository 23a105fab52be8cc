mod config;
mod connections;
mod passing;
mod peer;
mod telling;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::Body as _;
use schemas::{Body, Call, Fault, Invoker, Reply, secret::NoSecrets};

use super::{Lane, Target, Written, catalog::Catalogs, frame::framed};
use crate::Tools;

/// A lane to these endpoints.
fn lane(urls: &[&str]) -> Lane {
    let endpoints = urls.iter().map(|&url| url.to_owned()).collect();
    lane_of(Written { endpoints: Some(endpoints), ..Written::default() })
}

fn lane_of(written: Written) -> Lane {
    let target = Target::build(&"ledger".parse().unwrap(), written, &Catalogs::default()).unwrap();
    let tools = Tools { secrets: Arc::new(NoSecrets), outbox: Default::default() };
    Lane::new(Arc::new(target), &tools)
}

/// A native call of a method with these messages.
fn call(method: &str, messages: &[&[u8]]) -> Call {
    let all: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
    with_body(method, Body::from(Bytes::from(all)))
}

fn with_body(method: &str, body: Body) -> Call {
    let deadline = tokio::time::Instant::now().into_std() + Duration::from_secs(15);
    let mut call = Call::new("", body, deadline);
    call.head.uri = method.parse().unwrap();
    let grpc = HeaderValue::from_static("application/grpc");
    call.head.headers.insert(header::CONTENT_TYPE, grpc);
    call
}

async fn fault(lane: &Lane, call: Call) -> Fault {
    soon(lane.call(call)).await.unwrap_err()
}

/// Reads a whole body: its bytes, and its trailers.
async fn read(body: Body) -> (Vec<u8>, HeaderMap) {
    let (mut body, mut bytes, mut trailers) = (body, Vec::new(), HeaderMap::new());
    while let Some(frame) = soon(next(&mut body)).await {
        match frame.into_data() {
            Ok(data) => bytes.extend(data),
            Err(frame) => trailers = frame.into_trailers().unwrap(),
        }
    }
    (bytes, trailers)
}

async fn next(body: &mut Body) -> Option<http_body::Frame<Bytes>> {
    std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_frame(cx))
        .await
        .map(|frame| frame.unwrap())
}

/// Calls and reads all of the answer.
async fn said(lane: &Lane, call: Call) -> (Reply, Vec<u8>, HeaderMap) {
    let mut reply = soon(lane.call(call)).await.unwrap();
    let (bytes, trailers) = read(std::mem::take(&mut reply.data)).await;
    (reply, bytes, trailers)
}

/// Runs a test as a core runs: one thread, and tasks that stay on it.
async fn core<T>(test: impl Future<Output = T>) -> T {
    tokio::task::LocalSet::new().run_until(test).await
}

/// Waits for what must not take long.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.unwrap()
}
