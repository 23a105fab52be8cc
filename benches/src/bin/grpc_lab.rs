//! What gRPC is measured with: a server that sends each message back, and a client that calls it as
//! fast as the answers come.
//!
//! `grpc_lab serve PORT`, and `grpc_lab load PORT SECONDS`, which prints how many calls went well and
//! how many did not.

use std::{convert::Infallible, env, error::Error, io, net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming, client::conn::http2 as client, server::conn::http2 as server,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, timeout_at},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Fault = Box<dyn Error + Send + Sync>;

/// Connections, and calls that each has under way: together those of the other cases.
const CONNECTIONS: usize = 10;
const CALLS: usize = 5;

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments.as_slice() {
        ["serve", port] => runtime.block_on(serve(port.parse()?)),
        ["load", port, seconds] => {
            let (good, bad) = runtime.block_on(load(port.parse()?, seconds.parse()?))?;
            use io::Write as _;
            Ok(writeln!(io::stdout(), "{good} {bad}")?)
        }
        _ => Err("write: serve PORT, or: load PORT SECONDS".into()),
    }
}

async fn serve(port: u16) -> Result<(), Fault> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::spawn(async move {
            let served = server::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), service_fn(echo));
            drop(served.await);
        });
    }
}

async fn echo(
    request: Request<Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Fault> {
    let (message, _) = whole(request.into_body()).await?;
    let ok = HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let body = Full::new(message).with_trailers(async { Some(Ok(ok)) });
    let mut answer = Response::new(body);
    let media = HeaderValue::from_static("application/grpc");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, media);
    Ok(answer)
}

/// All of a body, which is short, and its trailers.
async fn whole(mut body: Incoming) -> Result<(Bytes, Option<HeaderMap>), Fault> {
    const BYTES_MAX: usize = 64 << 10;
    let (mut bytes, mut trailers) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
        if bytes.len() > BYTES_MAX {
            return Err("a message is longer than those that are measured".into());
        }
    }
    Ok((bytes.freeze(), trailers))
}

/// A message of two texts and a number, as the JSON of the other case says it.
fn message() -> Bytes {
    let text = |field: u8, text: &str| {
        let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
        [&[field << 3 | 2, length], text.as_bytes()].concat()
    };
    let fields = [text(1, "0123456789"), text(2, "a name"), vec![3 << 3, 42]].concat();
    let length = u8::try_from(fields.len()).unwrap_or(u8::MAX);
    [vec![0, 0, 0, 0, length], fields].concat().into()
}

async fn load(port: u16, seconds: u64) -> Result<(u64, u64), Fault> {
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut calling = Vec::new();
    for _ in 0..CONNECTIONS {
        let socket = TcpStream::connect(("127.0.0.1", port)).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) =
            client::handshake(TokioExecutor::new(), TokioIo::new(socket)).await?;
        tokio::spawn(connection);
        calling.extend((0..CALLS).map(|_| tokio::spawn(call(sender.clone(), port, until))));
    }
    let (mut good, mut bad) = (0, 0);
    for one in calling {
        let (well, not) = one.await?;
        good += well;
        bad += not;
    }
    Ok((good, bad))
}

/// One call after the other.
async fn call(
    mut sender: client::SendRequest<Full<Bytes>>,
    port: u16,
    until: Instant,
) -> (u64, u64) {
    let (message, uri) = (message(), format!("http://127.0.0.1:{port}/bench.Echo/Echo"));
    let (mut good, mut bad) = (0, 0);
    while Instant::now() < until {
        let request = Request::post(&uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(message.clone()));
        let Ok(request) = request else { return (good, bad + 1) };
        let whole = async {
            let answer = sender.send_request(request).await.ok()?;
            let (_, trailers) = whole(answer.into_body()).await.ok()?;
            let ok = trailers?.get("grpc-status")? == "0";
            ok.then_some(())
        };
        match timeout_at(until + Duration::from_secs(1), whole).await {
            Ok(Some(())) => good += 1,
            _ => bad += 1,
        }
    }
    (good, bad)
}
