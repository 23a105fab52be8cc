//! The least that a reverse proxy in Rust can do: hyper in, hyper-util's pooled client out, one
//! thread, nothing in between. What Gusset costs is measured against it.
//!
//! `hyper_proxy LISTEN UPSTREAM`, such as `hyper_proxy 127.0.0.1:8080 127.0.0.1:9000`.

use std::{error::Error, io};

use http::{Request, Uri, uri::Authority};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::{TcpListener, TcpStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Upstream = Client<HttpConnector, Incoming>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (args.next(), args.next()) else {
        return Err("usage: hyper_proxy LISTEN UPSTREAM".into());
    };
    let upstream: Authority = upstream.parse()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(serve(socket, client.clone(), upstream.clone()));
    }
}

/// Serves one connection to its end. How it ends is the peer's business.
async fn serve(socket: TcpStream, client: Upstream, upstream: Authority) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let pass = service_fn(|mut request: Request<Incoming>| {
        let target = request.uri().path_and_query().cloned();
        let uri = Uri::builder()
            .scheme("http")
            .authority(upstream.clone())
            .path_and_query(target.map_or_else(|| "/".to_owned(), |target| target.to_string()));
        let client = client.clone();
        async move {
            *request.uri_mut() = uri.build().map_err(io::Error::other)?;
            client.request(request).await.map_err(io::Error::other)
        }
    });
    http1::Builder::new()
        .serve_connection(TokioIo::new(socket), pass)
        .await
        .map_err(io::Error::other)
}
