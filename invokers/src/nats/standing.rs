//! A connection that stands: it is made in the background, and made again for ever. It is for whom
//! a lost connection is no answer, such as the outbox; a lane takes a session, which connects once.

use std::{future::ready, sync::Arc, time::Duration};

use async_nats::{ConnectOptions, Event};
use outbox::jetstream::Connection;
use tokio::sync::watch;

use super::{config::Target, session::of_every_connection};
use crate::{Tools, link::Why};
use schemas::{Class, Fault};

/// The wait after the first failure; each further one doubles it.
const WAIT_FIRST: Duration = Duration::from_millis(50);

/// The bound of every wait.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Begins to connect. The credential is read for each connection, so that a changed one is used by
/// the next.
///
/// # Errors
/// If the TLS settings cannot be read.
pub async fn stand(target: &Arc<Target>, tools: &Tools) -> Result<Connection, Fault> {
    let (told, up) = watch::channel(false);
    let (credential, secrets) = (Arc::clone(target), tools.clone());
    let options = ConnectOptions::with_auth_callback(move |nonce| {
        ready(credential.credential.answer(&secrets, &nonce))
    })
    .event_callback(move |event| {
        match event {
            Event::Connected => drop(told.send_replace(true)),
            Event::Disconnected | Event::Closed => drop(told.send_replace(false)),
            _ => {}
        }
        ready(())
    })
    .retry_on_initial_connect()
    .max_reconnects(None)
    .reconnect_delay_callback(|failures| {
        let doubled = u32::try_from(failures).unwrap_or(u32::MAX).min(10);
        WAIT_FIRST.saturating_mul(1 << doubled).min(WAIT_MAX)
    });
    let tls = target.servers.iter().any(|server| server.starts_with("tls://"));
    let options = of_every_connection(options, target, tools, tls).map_err(|why| why.fault())?;
    let client = options.connect(target.servers.as_slice()).await.map_err(|error| {
        Why::new(Class::Unavailable, "no connection to the NATS server").because(error).fault()
    })?;
    Ok(Connection { client, up })
}
