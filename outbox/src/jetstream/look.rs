//! A look at the streams without making any, for whoever checks a configuration.

use std::time::Duration;

use super::{
    Connection, Settings,
    api::{Amount, Api},
    names::Names,
    streams,
};

/// How long the connection may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The server's version.
    pub server: String,
    /// How many events wait; none: there is no stream yet.
    pub waiting: Option<u64>,
}

/// Looks at the streams of an outbox.
///
/// # Errors
/// A sentence on why it could not be used.
pub async fn look(connection: Connection, settings: &Settings) -> Result<Looked, String> {
    let mut up = connection.up.clone();
    let connected = tokio::time::timeout(PATIENCE, up.wait_for(|up| *up)).await;
    if !matches!(connected, Ok(Ok(_))) {
        return Err("there is no connection to the NATS server".to_owned());
    }
    let api = Api::new(connection, Names::new(&settings.stream));
    let found = streams::look(&api, settings).await.map_err(|unfit| unfit.to_string())?;
    let server = api.client.try_server_info().map(|info| info.version).unwrap_or_default();
    Ok(Looked { server, waiting: found.map(|Amount { messages, .. }| messages) })
}
