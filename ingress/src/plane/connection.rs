//! One connection: which version of HTTP it speaks, and its life until it ends or the
//! listener that it came through drains.

use std::{
    cell::Cell,
    convert::Infallible,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use futures_util::FutureExt as _;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use schemas::{Body, Class, Tunnel};
use tokio::{net::TcpStream, sync::oneshot};

use super::{
    core::{Core, Open},
    flood,
    gate::Gate,
    http1::{self, Service},
};
use crate::{
    outgoing::Outgoing,
    steps::{self, Peer},
};

/// What a client of HTTP/2 with prior knowledge sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a new connection may say nothing.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// How long a connection on which nothing was asked yet may stay when it should end: its first
/// request is on its way, and would be lost.
const FIRST_REQUEST: Duration = Duration::from_millis(250);
/// What is read of a head.
const LIMITS: ::http1::Limits =
    ::http1::Limits { head_bytes: 96 << 10, target_bytes: 60 << 10, fields: 200 };
/// Requests that one HTTP/2 connection may have under way.
const STREAMS: u32 = 100;
/// Bytes of one body that may come before they are read, and of all bodies of a connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// The largest frame; the smallest that may be told (RFC 9113, section 4.2).
const FRAME_BYTES: u32 = 16 << 10;
/// Bytes of one answer that wait to be sent.
const SEND_BYTES: usize = 256 << 10;
/// Streams that a peer may have reset before anybody has looked at them, and that may have been
/// reset for its errors.
const RESETS_UNSEEN: usize = 20;
const RESETS_OF_ERRORS: usize = 128;

/// Serves a connection to its end.
pub(crate) async fn serve(core: Rc<Core>, socket: TcpStream, peer: Peer, open: Open) {
    drop(socket.set_nodelay(true));
    let Some(http2) = speaks_http2(&socket).await else { return };
    let peer = Rc::new(peer);
    if http2 {
        let service = service_fn(move |request: Request<Incoming>| {
            let request = request.map(Body::http2);
            // Boxed, or hyper would move all of it from place to place.
            let served = Box::pin(steps::serve(Rc::clone(&core), Rc::clone(&peer), request, None));
            served.map(Ok::<_, Infallible>)
        });
        let (line, end) = flood::Line::new(socket);
        {
            let connection = http2_settings().serve_connection(TokioIo::new(line), service);
            let mut connection = pin!(connection);
            if !until(connection.as_mut(), &open.gate).await {
                connection.as_mut().graceful_shutdown();
                drop(connection.await);
            }
        }
        end.end().await;
    } else {
        let (read, write) = socket.into_split();
        let service = Steps {
            core: Rc::clone(&core),
            peer,
            gate: Rc::clone(&open.gate),
            asked: Cell::new(false),
        };
        let drained = async {
            open.gate.drained().await;
            if !service.asked.get() {
                tokio::time::sleep(FIRST_REQUEST).await;
            }
        };
        Box::pin(http1::serve(read, write, &LIMITS, &service, drained)).await;
    }
    drop(open);
}

/// What a stranger may have under way and in memory over HTTP/2. Said outright, so that no version of
/// what is underneath changes it; `flood.rs` bounds what comes beside it.
fn http2_settings() -> http2::Builder<Local> {
    let mut builder = http2::Builder::new(Local);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(LIMITS.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES)
        .max_send_buf_size(SEND_BYTES)
        .max_pending_accept_reset_streams(RESETS_UNSEEN)
        .max_local_error_reset_streams(RESETS_OF_ERRORS)
        .keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Serves the requests of an HTTP/1.1 connection.
struct Steps {
    core: Rc<Core>,
    peer: Rc<Peer>,
    gate: Rc<Gate>,
    /// Whether a request has come.
    asked: Cell<bool>,
}

impl Service for Steps {
    fn serve(
        &self,
        request: Request<Body>,
        tunnel: Option<oneshot::Receiver<Tunnel>>,
    ) -> impl Future<Output = Response<Outgoing>> {
        self.asked.set(true);
        // Boxed, or the connection would hold the room for it while it waits.
        Box::pin(steps::serve(Rc::clone(&self.core), Rc::clone(&self.peer), request, tunnel))
    }

    fn refuse(&self, class: Class, detail: &'static str) -> Response<Outgoing> {
        steps::refuse(&self.core, &self.peer, class, detail)
    }

    fn drains(&self) -> bool {
        self.gate.drains()
    }
}

/// Waits until the connection has ended (true) or the way that it came in drains. What a connection
/// ends with is between the peer and us, and each of its requests has a record of its own.
async fn until(mut connection: impl Future + Unpin, gate: &Gate) -> bool {
    let mut drained = pin!(gate.drained());
    let mut told = false;
    std::future::poll_fn(|cx| {
        if Pin::new(&mut connection).poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        // This task is woken for every packet: once it has asked to be woken for a drain, a look
        // at a flag says whether that is why.
        if told && !gate.drains() {
            return Poll::Pending;
        }
        told = true;
        drained.as_mut().poll(cx).map(|()| false)
    })
    .await
}

/// Looks at the first bytes, and leaves them where they are: an HTTP/1.1 connection then needs no
/// wrapper that gives them back. None if the peer left or said nothing in time.
async fn speaks_http2(socket: &TcpStream) -> Option<bool> {
    let look = async {
        let mut seen = [0; PREFACE.len()];
        loop {
            let count = socket.peek(&mut seen).await.ok().filter(|count| *count > 0)?;
            if !PREFACE.starts_with(&seen[..count]) {
                return Some(false);
            }
            if count == PREFACE.len() {
                return Some(true);
            }
            // The same bytes would be seen again at once: a preface in pieces is rare, so wait.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(FIRST_BYTE, look).await.ok().flatten()
}

/// Runs the tasks of an HTTP/2 connection on the core that it belongs to.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        drop(tokio::task::spawn_local(task));
    }
}
