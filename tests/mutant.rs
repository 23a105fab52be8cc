//! A small gateway over the same store and worker as the real one, which can be told to break the
//! promise in one way, so that the chaos harness can be seen to find it.
//!
//! `mutant honest|early-ack|early-done ADDRESS SERVICE FOLDER`

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::exit,
    clippy::disallowed_methods,
    reason = "it is run by tests alone, and fails by ending"
)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use outbox::{
    Claim, Record, Store,
    config::Settings,
    delivery::Failure,
    disk::Real,
    embedded::{self, Embedded, Tell},
    outcomes::Answer,
    record::RecordHead,
    worker::{self, Became, Deliver, Rules},
};
use schemas::{Ack, Body, Call, Class, Ran};
use tokio::runtime::{Builder, Handle};

/// In which way the promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Honest,
    /// The answer comes before anything is stored.
    EarlyAck,
    /// An event is marked as delivered before it is.
    EarlyDone,
}

/// Delivers by a request of its own to a service.
struct Post {
    service: String,
    how: How,
}

impl Deliver for Post {
    fn rules(&self, _: &RecordHead) -> Result<Rules, &'static str> {
        Ok(Rules { delivery: Arc::default(), dead_letter: None })
    }

    fn deliver<'a>(
        &'a self,
        record: &'a Record,
    ) -> futures_util::future::BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            if self.how == How::EarlyDone {
                // The worker marks it by this answer; the delivery is still to come.
                let (service, record) = (self.service.clone(), record.clone());
                thread::spawn(move || {
                    thread::sleep(Duration::from_millis(200));
                    while post(&service, &record).is_none() {
                        thread::sleep(Duration::from_millis(50));
                    }
                });
                return Ok(answer());
            }
            let (service, record) = (self.service.clone(), record.clone());
            let done = tokio::task::spawn_blocking(move || post(&service, &record)).await;
            done.ok().flatten().map(|()| answer()).ok_or_else(|| Failure {
                class: Class::FunctionFailed,
                code: None,
                ran: Ran::Maybe,
                reason: "the service did not take it".into(),
                retry_after: None,
                for_good: false,
                words: Vec::new(),
            })
        })
    }

    fn tell(&self, _: &Claim, _: Became<'_>) {}
}

fn answer() -> Answer {
    Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: None }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [how, address, service, folder] = arguments.as_slice() else {
        panic!("mutant honest|early-ack|early-done ADDRESS SERVICE FOLDER")
    };
    let how = match how.as_str() {
        "honest" => How::Honest,
        "early-ack" => How::EarlyAck,
        "early-done" => How::EarlyDone,
        other => panic!("{other}?"),
    };
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let store = runtime.block_on(async {
        let disk = Arc::new(Real::open(Path::new(folder)).unwrap());
        let settings = embedded::Settings::of(&Settings::default(), Tell::new(|_| {}));
        let store = Embedded::open(disk, settings).unwrap();
        store.ready().await.unwrap();
        Arc::new(store) as Arc<dyn Store>
    });
    let deliver = Arc::new(Post { service: service.clone(), how });
    runtime.spawn(worker::run(Arc::clone(&store), deliver, Arc::default()));
    let listener = TcpListener::bind(address).unwrap();
    for socket in listener.incoming().map_while(Result::ok) {
        let (store, runtime) = (Arc::clone(&store), runtime.handle().clone());
        thread::spawn(move || serve(socket, &store, &runtime, how));
    }
}

/// Takes events from one connection until it ends. What comes is what the harness sends, so that
/// reading it needs no care.
fn serve(mut socket: TcpStream, store: &Arc<dyn Store>, runtime: &Handle, how: How) {
    socket.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    loop {
        let mut call = Call::new("", Body::empty(), Instant::now());
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().unwrap();
            }
            call.head.headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        let mut data = vec![0; length];
        if reader.read_exact(&mut data).is_err() {
            return;
        }
        let subject = call.head.headers["ce-subject"].to_str().unwrap().to_owned();
        let mut record = Record::of(&call, Bytes::from(data), "in", "web", Ack::Replied);
        record.head.order = Some(subject);
        let id = call.head.headers["ce-id"].as_bytes();
        record.head.identity = Some(outbox::record::Hex::of(&padded(id)));
        let status = if how == How::EarlyAck {
            let store = Arc::clone(store);
            runtime.spawn(async move {
                tokio::time::sleep(Duration::from_millis(200)).await;
                drop(store.put(vec![record]).await);
            });
            202
        } else {
            runtime.block_on(store.put(vec![record])).map_or(503, |_| 202)
        };
        let answer = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n");
        if socket.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn padded(id: &[u8]) -> [u8; 32] {
    let mut all = [0; 32];
    all[..id.len().min(32)].copy_from_slice(&id[..id.len().min(32)]);
    all
}

/// Posts an event to the service; nothing if it was not taken.
fn post(service: &str, record: &Record) -> Option<()> {
    let mut socket = TcpStream::connect(service).ok()?;
    socket.set_nodelay(true).ok()?;
    let mut request = b"POST / HTTP/1.1\r\nHost: service\r\nConnection: close\r\n".to_vec();
    for (name, value) in &record.call(Instant::now()).head.headers {
        if name.as_str().starts_with("ce-") {
            request.extend_from_slice(format!("{name}: ").as_bytes());
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
    }
    request.extend_from_slice(format!("Content-Length: {}\r\n\r\n", record.data.len()).as_bytes());
    request.extend_from_slice(&record.data);
    socket.write_all(&request).ok()?;
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line).ok()?;
    line.starts_with("HTTP/1.1 2").then_some(())
}
