//! The sample functions of `gusset dev`: plain HTTP services on loopback ports of their own.

pub(crate) mod echo;
pub(crate) mod receiver;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use schemas::Body;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// The most of a body that a sample takes.
const BODY_BYTES_MAX: usize = 16 << 20;
const CONNECTIONS_MAX: usize = 1024;
const HEAD_WITHIN: Duration = Duration::from_secs(300);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// An answer of a sample.
pub(crate) type Answer = Response<Full<Bytes>>;

/// A request whose body has been read.
pub(crate) type Asked = Request<Bytes>;

/// Starts a sample on a free port of 127.0.0.1, and says where it is.
pub(crate) async fn start(
    function: impl Fn(Asked) -> Answer + Send + Sync + 'static,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(accept(listener, Arc::new(function)));
    Ok(address)
}

/// An answer in JSON, laid out for people.
pub(crate) fn json(said: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Full::from(format!("{said:#}\n")));
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}

/// An answer that says what was wrong.
pub(crate) fn refuse(status: StatusCode, said: &str) -> Answer {
    let mut answer = Response::new(Full::from(format!("{said}\n")));
    *answer.status_mut() = status;
    answer
}

async fn accept<F>(listener: TcpListener, function: Arc<F>)
where
    F: Fn(Asked) -> Answer + Send + Sync + 'static,
{
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let function = Arc::clone(&function);
                tokio::spawn(async move {
                    // A connection that breaks is its client's business.
                    drop(connection(stream, function).await);
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(PAUSE_AFTER_ERROR).await,
        }
    }
}

async fn connection<F>(stream: TcpStream, function: Arc<F>) -> hyper::Result<()>
where
    F: Fn(Asked) -> Answer + Send + Sync + 'static,
{
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request: Request<Incoming>| {
        let function = Arc::clone(&function);
        async move {
            let (head, body) = request.into_parts();
            Ok::<_, Infallible>(match Body::incoming(body).collect(BODY_BYTES_MAX).await {
                Ok(body) => function(Request::from_parts(head, body)),
                Err(error) => refuse(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string()),
            })
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
        .await
}
