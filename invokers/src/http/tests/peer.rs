//! The other side: an HTTP service made of a closure, and one that speaks raw bytes.

use std::{
    convert::Infallible,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use schemas::Body;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// An HTTP service on a port of its own.
pub(super) struct Peer {
    pub(super) url: String,
    /// How many connections it has taken.
    connections: Arc<AtomicUsize>,
    /// How many of them are gone.
    closed: Arc<AtomicUsize>,
}

impl Peer {
    /// Serves every request with the closure.
    pub(super) async fn serve<F, R>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::serve_over(async |stream| stream, answer).await
    }

    /// The same behind what the connection is wrapped in; a wrapper that panics ends its
    /// connection alone.
    pub(super) async fn serve_over<W, T, F, R>(wrap: W, answer: F) -> Self
    where
        W: AsyncFn(TcpStream) -> T + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let closed = Arc::new(AtomicUsize::new(0));
        let peer = Self { url, connections: connections.clone(), closed: closed.clone() };
        tokio::task::spawn_local(async move {
            let wrap = Rc::new(wrap);
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let (answer, closed, wrap) = (answer.clone(), closed.clone(), wrap.clone());
                tokio::task::spawn_local(async move {
                    let io = TokioIo::new(wrap(stream).await);
                    let service = service_fn(move |request| {
                        let answer = answer(request);
                        async move { Ok::<_, Infallible>(answer.await) }
                    });
                    let served = http1::Builder::new().serve_connection(io, service);
                    drop(served.with_upgrades().await);
                    closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        peer
    }

    /// Says in JSON-like text what came.
    pub(super) async fn echo() -> Self {
        Self::serve(|request| async {
            let (head, body) = request.into_parts();
            let body = Body::incoming(body).collect(1 << 20).await.unwrap();
            Response::new(Body::from(Bytes::from(told(&head, &body))))
        })
        .await
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until this many connections are gone.
    pub(super) async fn closed(&self, count: usize) {
        while self.closed.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }
}

/// A request in one line: what was asked, the headers in their order, the body.
fn told(head: &Parts, body: &Bytes) -> String {
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
        .collect();
    let body = std::str::from_utf8(body).unwrap();
    format!("{} {} [{}] {body}", head.method, head.uri, headers.join(" "))
}

/// What a raw peer does with each connection, one after the other.
pub(super) async fn raw<F>(serve: F) -> SocketAddr
where
    F: AsyncFn(TcpStream) + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream).await;
        }
    });
    address
}

/// Runs a test as a core runs: one thread, and tasks that stay on it.
pub(super) async fn core<T>(test: impl Future<Output = T>) -> T {
    local(soon(test)).await
}

/// The same for a test that moves the clock.
pub(super) async fn local<T>(test: impl Future<Output = T>) -> T {
    tokio::task::LocalSet::new().run_until(test).await
}

/// Waits for what must not take long.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(20), what).await.unwrap()
}
