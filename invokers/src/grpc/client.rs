//! One core's HTTP/2 connections to one upstream: a stream is opened on the first connection that
//! has room for it, and a further connection is made when none has.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Instant,
};

use bytes::Bytes;
use discovery::Endpoints;
use h2::client::SendRequest;
use schemas::{Class, EndpointId, Fault};
use tokio::time::{self, timeout_at};

use super::connection::{Connection, Room, Slot};
use crate::{
    Tools,
    client::{Connector, Origin, Speaks},
    http,
    probe::Probed,
};

/// Connections of one core to one endpoint. With [`super::connection::STREAMS`] on each, more calls
/// than that are better refused than sent.
const CONNECTIONS_MAX: usize = 16;

/// The connections.
#[derive(Debug)]
pub(super) struct Client {
    places: Endpoints<Place>,
    connector: Connector,
}

/// An endpoint and the connections to it.
#[derive(Debug)]
struct Place {
    origin: Arc<Origin>,
    open: Mutex<Vec<Connection>>,
    /// Held while one is made: who waits for it uses it too.
    making: tokio::sync::Mutex<()>,
    /// How often that has failed.
    failures: AtomicU32,
}

/// A stream that may be opened.
#[derive(Debug)]
pub(super) struct Line {
    /// Where it leads to.
    pub(super) id: EndpointId,
    pub(super) requests: SendRequest<Bytes>,
    pub(super) slot: Slot,
}

impl Client {
    /// Makes it. Opens nothing.
    pub(super) fn new(service: &http::Target, tools: &Tools) -> Self {
        let place = |origin: &Arc<Origin>| Place {
            origin: Arc::clone(origin),
            open: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            failures: AtomicU32::new(0),
        };
        let places = Endpoints::new(service.origins.iter().map(place).collect());
        Self {
            places: places.expect("a target that was built has 1 to 65535 endpoints"),
            connector: service.reach.connector(Speaks::Http2, tools),
        }
    }

    /// Finds room for a stream, on a connection that is there or on a new one.
    ///
    /// # Errors
    /// A fault that surely ran nothing.
    pub(super) async fn open(
        &self,
        avoid: Option<EndpointId>,
        deadline: Instant,
    ) -> Result<Line, Fault> {
        let lease = self.places.pick(avoid);
        let place = lease.endpoint;
        let (requests, slot) = match place.room() {
            Some(found) => found,
            // Rare, so boxed: a future is moved about at its full size.
            None => {
                Box::pin(self.make(place, deadline)).await.map_err(|fault| fault.at(lease.id))?
            }
        };
        Ok(Line { id: lease.id, requests, slot })
    }

    /// Makes a connection, unless another call has made one meanwhile.
    async fn make(
        &self,
        place: &Place,
        deadline: Instant,
    ) -> Result<(SendRequest<Bytes>, Slot), Fault> {
        let failures = place.failures.load(Relaxed);
        let making = timeout_at(deadline.into(), place.making.lock()).await;
        let _making = making.map_err(|_| too_late())?;
        if let Some(found) = place.room() {
            return Ok(found);
        }
        if place.failures.load(Relaxed) != failures {
            let what = "no connection to the upstream could be made";
            return Err(Fault::new(Class::ConnectFailed, what));
        }
        if place.lock().len() >= CONNECTIONS_MAX {
            let what = "as many calls as the upstream takes at once are under way";
            return Err(Fault::new(Class::Overloaded, what));
        }
        match connect(&self.connector, &place.origin, deadline).await {
            Ok(connection) => {
                let room = connection.room();
                place.lock().push(connection);
                match room {
                    Room::Free(requests, slot) => Ok((requests, slot)),
                    Room::Full | Room::Gone => {
                        let what = "the upstream takes no call on a fresh connection";
                        Err(Fault::new(Class::ConnectFailed, what))
                    }
                }
            }
            Err(fault) => {
                place.failures.fetch_add(1, Relaxed);
                Err(fault)
            }
        }
    }

    /// Connects to every endpoint once, and calls nothing.
    pub(super) async fn probe(&self) -> Vec<Probed> {
        let mut all = Vec::new();
        for place in self.places.iter() {
            let deadline = Instant::now() + 2 * self.connector.timeout();
            let outcome = connect(&self.connector, &place.origin, deadline).await.map(drop);
            all.push(Probed { at: place.origin.url(), outcome });
        }
        all
    }
}

/// Connects, and waits until the server speaks HTTP/2.
pub(super) async fn connect(
    connector: &Connector,
    origin: &Origin,
    deadline: Instant,
) -> Result<Connection, Fault> {
    let until = time::Instant::from_std(deadline);
    let ends = time::Instant::now().checked_add(connector.timeout()).unwrap_or(until);
    let stream = connector.connect(origin, deadline).await?;
    match timeout_at(ends.min(until), Connection::start(stream)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => {
            let what = "the upstream does not speak HTTP/2";
            Err(Fault::new(Class::ConnectFailed, what).because(error))
        }
        Err(_) if until <= ends => Err(too_late()),
        Err(_) => {
            let what = "no HTTP/2 connection to the upstream could be made in time";
            Err(Fault::new(Class::ConnectFailed, what))
        }
    }
}

fn too_late() -> Fault {
    let what = "the time for the call was up before there was a connection to the upstream";
    Fault::new(Class::Timeout, what)
}

impl Place {
    /// A stream on the first connection that has room. Those that are gone are forgotten.
    fn room(&self) -> Option<(SendRequest<Bytes>, Slot)> {
        let mut found = None;
        self.lock().retain(|connection| {
            if found.is_some() {
                return true;
            }
            match connection.room() {
                Room::Free(requests, slot) => {
                    found = Some((requests, slot));
                    true
                }
                Room::Full => true,
                Room::Gone => false,
            }
        });
        found
    }

    /// A panic while the lock was held left the list as good as it was.
    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
