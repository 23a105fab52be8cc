//! The pooled HTTP/1.1 client that all kinds share which speak HTTP.
//!
//! A [`Client`] belongs to one lane, so to one core and one upstream. It keeps a pool for each
//! endpoint; every connection is driven by a task of its own. Its use is two steps, so that a kind
//! translates for the endpoint that it gets: [`Client::open`] finds a connection and says where it
//! leads, [`Client::send`] sends once. A connection that has died in the pool, before a byte of
//! the request was written, is replaced in silence: that is not a try.

mod connect;
mod origin;
mod pool;

use std::{
    error::Error,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use discovery::Endpoints;
use http::{Request, Response, StatusCode};
use schemas::{Body, BodyError, Class, EndpointId, Fault, OnEnd};

pub use self::origin::Origin;
pub(crate) use self::origin::server_name_of;
use self::{
    connect::Connector,
    pool::{Connection, Found, Pool},
};
use crate::{Tools, probe::Probed, tls::Tls};

/// How long connecting may take, unless an upstream says otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

const PROBED_WITHIN: Duration = Duration::from_secs(600);

/// One core's connections to one upstream.
#[derive(Debug)]
pub struct Client {
    places: Endpoints<Place>,
    connector: Connector,
}

/// An endpoint and the connections to it.
#[derive(Debug)]
struct Place {
    origin: Arc<Origin>,
    pool: Arc<Pool>,
}

/// A connection that is ready for one request.
#[derive(Debug)]
pub struct Line<'a> {
    /// Which endpoint it leads to.
    pub id: EndpointId,
    /// What is known of the endpoint.
    pub origin: &'a Origin,
    place: &'a Place,
    connection: Box<Connection>,
    /// Whether it comes from the pool, where it may have died.
    pooled: bool,
}

/// Why a request brought no response.
#[derive(Debug)]
pub enum Failed {
    /// Not a byte of it was written: here it is again.
    Unsent(Box<Request<Body>>, Fault),
    /// It may have arrived.
    Sent(Fault),
}

impl Client {
    /// Makes the client of one lane. Opens nothing. `None` if there is no origin.
    #[must_use]
    pub fn new(
        origins: &[Arc<Origin>],
        tls: Option<&Tls>,
        connect_timeout: Duration,
        tools: &Tools,
    ) -> Option<Self> {
        let place =
            |origin: &Arc<Origin>| Place { origin: Arc::clone(origin), pool: Arc::default() };
        Some(Self {
            places: Endpoints::new(origins.iter().map(place).collect())?,
            connector: Connector::new(tls.cloned(), connect_timeout, tools),
        })
    }

    /// Finds a connection: the one that was used last, or a new one.
    ///
    /// # Errors
    /// A fault that surely ran nothing, if no connection can be made by the deadline.
    pub async fn open(
        &self,
        avoid: Option<EndpointId>,
        deadline: Instant,
    ) -> Result<Line<'_>, Fault> {
        let lease = self.places.pick(avoid);
        let place = lease.endpoint;
        let mut found = place.pool.take();
        if matches!(found, Found::Busy) {
            // Its last body has only just ended: its task needs one turn to be ready again.
            tokio::task::yield_now().await;
            found = place.pool.take();
        }
        let (connection, pooled) = match found {
            Found::Ready(connection) => (connection, true),
            Found::Busy | Found::Nothing => {
                let connection = self.connect(place, deadline).await;
                (connection.map_err(|fault| fault.at(lease.id))?, false)
            }
        };
        Ok(Line { id: lease.id, origin: &place.origin, place, connection, pooled })
    }

    /// Sends the request once. The connection goes back to the pool when the last byte of the
    /// response's body has passed. Dropping the future, or the body before its end, closes it.
    ///
    /// # Errors
    /// [`Failed`] says whether a byte was written.
    pub async fn send(
        &self,
        line: Line<'_>,
        request: Request<Body>,
        deadline: Instant,
    ) -> Result<Response<Body>, Failed> {
        let Line { mut connection, .. } = line;
        let mut error = match connection.sender.try_send_request(request).await {
            Ok(response) => return Ok(with_body(response, connection)),
            Err(error) => error,
        };
        let Some(request) = error.take_message() else {
            return Err(Failed::Sent(broken(error.into_error())));
        };
        if !line.pooled {
            return Err(Failed::Unsent(Box::new(request), closed(error.into_error())));
        }
        // It died in the pool. Rare, so boxed: a future is moved about at its full size.
        Box::pin(self.send_afresh(line.place, request, deadline)).await
    }

    /// Sends over a fresh connection: others in the pool may have died with the one that did.
    async fn send_afresh(
        &self,
        place: &Place,
        request: Request<Body>,
        deadline: Instant,
    ) -> Result<Response<Body>, Failed> {
        let mut connection = match self.connect(place, deadline).await {
            Ok(connection) => connection,
            Err(fault) => return Err(Failed::Unsent(Box::new(request), fault)),
        };
        match connection.sender.try_send_request(request).await {
            Ok(response) => Ok(with_body(response, connection)),
            Err(mut error) => Err(match error.take_message() {
                Some(request) => Failed::Unsent(Box::new(request), closed(error.into_error())),
                None => Failed::Sent(broken(error.into_error())),
            }),
        }
    }

    /// Connects to every endpoint once, with TLS, and sends nothing.
    pub async fn probe(&self) -> Vec<Probed> {
        let mut all = Vec::new();
        for place in self.places.iter() {
            // The upstream's own time for connecting ends it long before.
            let deadline = Instant::now() + PROBED_WITHIN;
            let outcome = self.connector.connect(&place.origin, deadline).await.map(drop);
            all.push(Probed { at: place.origin.url(), outcome });
        }
        all
    }

    /// Makes a connection. Boxed: it is rare, and its future is large.
    async fn connect(&self, place: &Place, deadline: Instant) -> Result<Box<Connection>, Fault> {
        let sender = Box::pin(self.connector.connect(&place.origin, deadline)).await?;
        Ok(Pool::adopt(&place.pool, sender))
    }
}

/// Ties the connection to the end of the response's body.
fn with_body(
    response: Response<hyper::body::Incoming>,
    connection: Box<Connection>,
) -> Response<Body> {
    // A connection that has changed protocol is none of ours any more.
    let ours = response.status() != StatusCode::SWITCHING_PROTOCOLS;
    response.map(|body| Body::incoming(body, ours.then_some(connection as Box<dyn OnEnd>)))
}

/// A fresh connection was closed before it took the request.
fn closed(error: hyper::Error) -> Fault {
    Fault::new(
        Class::ConnectFailed,
        "the upstream closed the connection before it took the request",
    )
    .because(error)
}

/// The request was under way. Whose fault it is decides what the caller is told.
fn broken(error: hyper::Error) -> Fault {
    let fault = match caused_by::<BodyError>(&error) {
        Some(BodyError::TooLarge { limit }) => Fault::new(
            Class::TooLarge,
            format!("the body is larger than {limit} bytes; send a smaller one"),
        ),
        Some(BodyError::Idle { millis }) => Fault::new(
            Class::RequestTimeout,
            format!("no byte of the request's body came for {millis} ms"),
        ),
        Some(BodyError::Broken(cause)) if is_malformed(cause.as_ref()) => {
            Fault::new(Class::BadRequest, "the request's body is malformed")
        }
        Some(BodyError::Broken(_)) => Fault::new(Class::Cancelled, "the request's body broke off"),
        None if error.is_parse() => {
            Fault::new(Class::UpstreamProtocol, "the upstream's answer is not valid HTTP")
        }
        None => Fault::new(Class::UpstreamProtocol, "the upstream broke off before it answered"),
    };
    fault.maybe().because(error)
}

/// Whether the bytes themselves are wrong, rather than their end too early.
fn is_malformed(cause: &(dyn Error + 'static)) -> bool {
    caused_by::<io::Error>(cause).is_some_and(|error| {
        matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
    })
}

/// The error of this type among an error and its causes.
fn caused_by<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut one = Some(error);
    while let Some(error) = one {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        one = error.source();
    }
    None
}
