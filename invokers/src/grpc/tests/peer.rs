//! The other side: a gRPC server made of a closure, and one that speaks HTTP/2 by hand.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body::Frame;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use schemas::{Body, BodyError};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// A gRPC server on a port of its own.
pub(super) struct Peer {
    pub(super) url: String,
    connections: Arc<AtomicUsize>,
}

impl Peer {
    /// Serves every call with the closure; so many streams on one connection.
    pub(super) async fn serve<F, R>(streams: u32, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::serve_over(streams, async |stream| stream, answer).await
    }

    /// The same behind what the connection is wrapped in.
    pub(super) async fn serve_over<W, T, F, R>(streams: u32, wrap: W, answer: F) -> Self
    where
        W: AsyncFn(TcpStream) -> T + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::<AtomicUsize>::default();
        let peer = Self { url, connections: Arc::clone(&connections) };
        tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, SeqCst);
                let stream = wrap(stream).await;
                let answer = answer.clone();
                tokio::spawn(serve(stream, streams, answer));
            }
        });
        peer
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

async fn serve<T, F, R>(stream: T, streams: u32, answer: F)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.max_concurrent_streams(streams);
    drop(builder.serve_connection(TokioIo::new(stream), service).await);
}

/// A body that is fed by hand.
pub(super) struct Fed(pub(super) mpsc::Receiver<Frame<Bytes>>);

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

/// A body that the sender feeds.
pub(super) fn fed() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, Body::boxed(Fed(receiver)))
}

/// A status as trailers.
pub(super) fn status(code: &'static str) -> HeaderMap {
    let name = HeaderName::from_static("grpc-status");
    HeaderMap::from_iter([(name, HeaderValue::from_static(code))])
}

/// An answer with this data and these trailers.
pub(super) fn answer(data: Bytes, trailers: HeaderMap) -> Response<Body> {
    let (sender, receiver) = mpsc::channel(2);
    sender.try_send(Frame::data(data)).unwrap();
    sender.try_send(Frame::trailers(trailers)).unwrap();
    grpc(Body::boxed(Fed(receiver)))
}

/// An answer that is a status and nothing else.
pub(super) fn trailers_only(code: &'static str) -> Response<Body> {
    let mut response = grpc(Body::empty());
    response.headers_mut().extend(status(code));
    response
}

/// An answer with this body.
pub(super) fn grpc(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let media = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// All of a request's bytes.
pub(super) async fn whole(request: Request<Incoming>) -> Bytes {
    Body::incoming(request.into_body()).collect(1 << 24).await.unwrap()
}

/// Answers the first call on a connection with a frame of its own, after the formalities: SETTINGS,
/// and the ping that asks whether this is HTTP/2.
pub(super) async fn by_hand(mut stream: TcpStream, frame: &[u8]) {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.unwrap();
    stream.write_all(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]).await.unwrap();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.unwrap();
        let acknowledged = head[4] & 1 == 1;
        match head[3] {
            SETTINGS if !acknowledged => {
                stream.write_all(&[0, 0, 0, SETTINGS, 1, 0, 0, 0, 0]).await.unwrap();
            }
            PING if !acknowledged => {
                stream.write_all(&[0, 0, 8, PING, 1, 0, 0, 0, 0]).await.unwrap();
                stream.write_all(&payload).await.unwrap();
            }
            HEADERS => stream.write_all(frame).await.unwrap(),
            _ => {}
        }
    }
}
