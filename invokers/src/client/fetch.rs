//! One small request over a connection of its own, for what is asked in the background now and then.
//! Unlike a lane's client it may be used from any thread.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use schemas::{Body, Class, Fault};

use super::{
    Origin,
    connect::{Connector, Speaks},
    exchange, failed,
    pool::Pool,
    sending::Head,
};
use crate::{Tools, client::Failed, tls::Tls};

/// Reads what is at a path, with the origin's own path in front.
///
/// # Errors
/// If there is no answer in time, if it is none of success, or if it is larger than the limit.
pub(crate) async fn fetch(
    origin: &Origin,
    path: &str,
    tls: Option<&Tls>,
    tools: &Tools,
    within: Duration,
    bytes_max: usize,
) -> Result<Bytes, Fault> {
    let headers = HeaderMap::new();
    let head =
        Head { method: &Method::GET, prefix: "", path, headers: &headers, own: &[], upgrade: None };
    let asked = round_trip(origin, &head, Bytes::new(), tls, tools, within, bytes_max);
    let (status, _, body) = asked.await?;
    if status != StatusCode::OK {
        let said = format!("the answer has the status {}", status.as_u16());
        return Err(Fault::new(Class::UpstreamProtocol, said));
    }
    Ok(body)
}

/// Sends a request and reads its answer whole: status, fields and body.
///
/// # Errors
/// If there is no answer in time, or if it is larger than the limit.
pub(crate) async fn round_trip(
    origin: &Origin,
    head: &Head<'_>,
    body: Bytes,
    tls: Option<&Tls>,
    tools: &Tools,
    within: Duration,
    bytes_max: usize,
) -> Result<(StatusCode, HeaderMap, Bytes), Fault> {
    let answered = tokio::time::timeout(within, async {
        let connector = Connector::new(Speaks::Http1, tls.cloned(), within, tools);
        let stream = Box::pin(connector.connect(origin, Instant::now() + within)).await?;
        let pool = Arc::<Pool>::default();
        let connection = Pool::adopt(&pool, stream);
        let mut body = Body::from(body);
        let answered = exchange::exchange(connection, origin, head, &mut body).await;
        let answered = answered.map_err(|broke| match failed(broke) {
            Failed::Unsent(fault) | Failed::Sent(fault) => fault,
        })?;
        let body = answered.body.collect(bytes_max).await.map_err(|error| {
            Fault::new(Class::UpstreamProtocol, "the answer broke off, or is too long")
                .because(error)
        })?;
        Ok((answered.status, answered.headers, body))
    });
    let late = || Fault::new(Class::Timeout, "there was no answer in time");
    answered.await.unwrap_or_else(|_| Err(late()))
}
