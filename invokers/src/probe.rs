//! Does an upstream answer? Connects as a lane would, with TLS and credentials, and calls nothing.

use schemas::Fault;

use crate::{Target, Tools, amqp, http, nats};

/// What came of connecting to one place of an upstream.
#[derive(Debug)]
pub struct Probed {
    /// Where.
    pub at: String,
    /// Why it could not be reached, if it could not.
    pub outcome: Result<(), Fault>,
}

/// Connects once to every place of an upstream. Ends, as connecting does, within its own time for
/// it. The bus in memory is in no place.
pub async fn probe(target: &Target, tools: &Tools) -> Vec<Probed> {
    match target {
        Target::Http(target) => http::probe(target, tools).await,
        Target::Nats(target) => nats::probe(target, tools).await,
        Target::Amqp(target) => amqp::probe(target, tools).await,
        Target::Embedded(_) => Vec::new(),
    }
}
