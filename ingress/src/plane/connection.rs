//! One connection: which version of HTTP it speaks, and its life until it ends or the gateway
//! drains.

use std::{
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::core::{Core, Open};
use crate::steps::{self, Peer};

/// What a client of HTTP/2 with prior knowledge sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long the head of a request may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a head that are read at most, request line and headers together.
const HEAD_BYTES: usize = 96 << 10;
/// Headers that are read at most.
const HEADERS: usize = 200;
/// Requests that one HTTP/2 connection may have under way.
const STREAMS: u32 = 100;

/// Serves a connection to its end.
pub(crate) async fn serve(core: Rc<Core>, socket: TcpStream, peer: Peer, open: Open) {
    drop(socket.set_nodelay(true));
    let Some(http2) = speaks_http2(&socket).await else { return };
    let peer = Rc::new(peer);
    let ours = Rc::clone(&core);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        // Boxed, or hyper would move all of it from place to place.
        Box::pin(steps::serve(Rc::clone(&core), Rc::clone(&peer), request))
    });
    if http2 {
        let mut builder = http2::Builder::new(Local);
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(60))
            .keep_alive_timeout(Duration::from_secs(20));
        let connection = builder.serve_connection(TokioIo::new(socket), service);
        let mut connection = pin!(connection);
        if !until(connection.as_mut(), &ours).await {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS);
        let connection = builder.serve_connection(TokioIo::new(socket), service).with_upgrades();
        let mut connection = pin!(connection);
        if !until(connection.as_mut(), &ours).await {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
    drop(open);
}

/// Waits until the connection has ended (true) or the gateway drains. What a connection ends with
/// is between the peer and us, and each of its requests has a record of its own.
async fn until(mut connection: impl Future + Unpin, core: &Core) -> bool {
    let mut drained = pin!(core.drained());
    let mut told = false;
    std::future::poll_fn(|cx| {
        if Pin::new(&mut connection).poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        // This task is woken for every packet: once it has asked to be woken for a drain, a look
        // at a flag says whether that is why.
        if told && !core.drains() {
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
    tokio::time::timeout(HEAD_TIMEOUT, look).await.ok().flatten()
}

/// Runs the tasks of an HTTP/2 connection on the core that it belongs to.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        drop(tokio::task::spawn_local(task));
    }
}
