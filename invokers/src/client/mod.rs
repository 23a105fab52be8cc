//! The pooled HTTP/1.1 client that all kinds share which speak HTTP.
//!
//! A [`Client`] belongs to one lane, so to one core and one upstream. It keeps a pool for each
//! endpoint; a request is written and its response read in the task that asks. Its use is two steps, so that a kind
//! translates for the endpoint that it gets: [`Client::open`] finds a connection and says where it
//! leads, [`Client::send`] sends once. A connection that has died in the pool, before a byte of
//! the request was written, is replaced in silence: that is not a try. So is one that its service
//! closes without a word while a request without a body is on its way that asks for nothing to be
//! changed (RFC 9110, section 9.2.2): the service had done with the connection.

mod ahead;
mod connect;
mod exchange;
mod fetch;
mod incoming;
mod origin;
mod pool;
mod sending;
mod stream;

use std::{
    error::Error,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use discovery::Endpoints;
use http_body::Body as _;
use schemas::{Body, BodyError, Class, EndpointId, Fault};

pub(crate) use self::{
    ahead::put_back,
    connect::{Connector, Speaks},
    fetch::{fetch, round_trip},
    origin::server_name_of,
    stream::Stream,
};
pub use self::{exchange::Answered, origin::Origin, sending::Head};
use self::{
    exchange::{Broke, Connection},
    pool::Pool,
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
    /// Not a byte of it was written, and its body is as it came.
    Unsent(Fault),
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
            connector: Connector::new(Speaks::Http1, tls.cloned(), connect_timeout, tools),
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
        let (connection, pooled) = match place.pool.take() {
            Some(connection) => (connection, true),
            None => {
                let connection = self.connect(place, deadline).await;
                (connection.map_err(|fault| fault.at(lease.id))?, false)
            }
        };
        Ok(Line { id: lease.id, origin: &place.origin, place, connection, pooled })
    }

    /// Sends a request once. The connection goes back to the pool when the last byte of the
    /// response's body has passed. Dropping the future, or the body before its end, closes it.
    ///
    /// # Errors
    /// [`Failed`] says whether a byte was written.
    pub async fn send(
        &self,
        line: Line<'_>,
        head: &Head<'_>,
        body: &mut Body,
        deadline: Instant,
    ) -> Result<Answered, Failed> {
        let Line { place, connection, pooled, .. } = line;
        let safe = head.method.is_safe() && head.upgrade.is_none() && body.is_end_stream();
        match exchange::exchange(connection, &place.origin, head, body).await {
            Ok(answered) => Ok(answered),
            Err(broke) => {
                let replaced = match broke {
                    Broke::Unwritten(_) => pooled,
                    Broke::Silent(_) => pooled && safe,
                    _ => false,
                };
                if !replaced {
                    return Err(failed(broke));
                }
                // Rare, so boxed: a future is moved about at its full size.
                Box::pin(self.send_afresh(place, head, body, deadline)).await
            }
        }
    }

    /// Sends over a fresh connection: others in the pool may have died with the one that did.
    async fn send_afresh(
        &self,
        place: &Place,
        head: &Head<'_>,
        body: &mut Body,
        deadline: Instant,
    ) -> Result<Answered, Failed> {
        let connection = self.connect(place, deadline).await.map_err(Failed::Unsent)?;
        exchange::exchange(connection, &place.origin, head, body).await.map_err(failed)
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
        let stream = Box::pin(self.connector.connect(&place.origin, deadline)).await?;
        Ok(Pool::adopt(&place.pool, stream))
    }
}

/// What is said where the request's own body failed.
pub(crate) fn body_failed(error: BodyError) -> Fault {
    let fault = match &error {
        BodyError::TooLarge { limit } => Fault::new(
            Class::TooLarge,
            format!("the body is larger than {limit} bytes; send a smaller one"),
        ),
        BodyError::Idle { millis } => Fault::new(
            Class::RequestTimeout,
            format!("no byte of the request's body came for {millis} ms"),
        ),
        BodyError::Slow { .. } => Fault::new(Class::RequestTimeout, error.to_string()),
        BodyError::Broken(cause) if is_malformed(cause.as_ref()) => {
            Fault::new(Class::BadRequest, "the request's body is malformed")
        }
        BodyError::Broken(_) => Fault::new(Class::Cancelled, "the request's body broke off"),
    };
    fault.because(error)
}

/// Says what broke. Whose fault it is decides what the caller is told.
fn failed(broke: Broke) -> Failed {
    let fault = match broke {
        Broke::Unwritten(error) => {
            let what = "the upstream closed the connection before it took the request";
            return Failed::Unsent(Fault::new(Class::ConnectFailed, what).because(error));
        }
        Broke::Body(error) => body_failed(error),
        Broke::Malformed(what) => {
            Fault::new(Class::UpstreamProtocol, "the upstream's answer is not valid HTTP")
                .because(io::Error::new(io::ErrorKind::InvalidData, what))
        }
        Broke::Silent(error) | Broke::Off(error) => {
            Fault::new(Class::UpstreamProtocol, "the upstream broke off before it answered")
                .because(error)
        }
    };
    Failed::Sent(fault.maybe())
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
