//! Serves the admin port: so many connections at once, and none may dawdle over its head.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, response::IntoResponse};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tower_service::Service;

use crate::{
    Live, api,
    guard::{self, Token},
};

const CONNECTIONS_MAX: usize = 256;
const HEAD_WITHIN: Duration = Duration::from_secs(10);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// Serves the admin API until the task is dropped. Connections beyond the limit wait in the
/// listener's queue.
pub async fn serve(listener: TcpListener, live: Arc<dyn Live>) -> Infallible {
    let router = api::router(Arc::clone(&live));
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let (router, live) = (router.clone(), Arc::clone(&live));
                tokio::spawn(async move {
                    // A connection that breaks is its client's business.
                    drop(connection(stream, router, live).await);
                    drop(permit);
                });
            }
            // Out of file descriptors, as a rule: one must become free first.
            Err(_) => tokio::time::sleep(PAUSE_AFTER_ERROR).await,
        }
    }
}

async fn connection(stream: TcpStream, router: Router, live: Arc<dyn Live>) -> io::Result<()> {
    let asked_on = stream.local_addr()?;
    stream.set_nodelay(true)?;
    let service =
        service_fn(move |request| answer(request, router.clone(), Arc::clone(&live), asked_on));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

async fn answer(
    request: http::Request<Incoming>,
    mut router: Router,
    live: Arc<dyn Live>,
    asked_on: SocketAddr,
) -> Result<axum::response::Response, Infallible> {
    // Read for each request, so that a new token counts at once.
    let token = match live.token() {
        None => Token::None,
        Some(Ok(token)) => Token::Is(token),
        Some(Err(_)) => Token::Unknown,
    };
    let (head, body) = request.into_parts();
    if let Err(problem) = guard::admit(&head, &token, asked_on) {
        return Ok(problem.into_response());
    }
    router.call(http::Request::from_parts(head, Body::new(body))).await
}
