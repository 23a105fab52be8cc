//! Does an upstream answer? Connects as a lane would, with TLS and credentials, and calls nothing.

use std::{collections::BTreeSet, sync::Arc};

use schemas::Fault;

use crate::{
    Target, Tools, amqp, azure, google, grpc, http, knative, lambda, link::Broker, nats, openfaas,
};

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
        Target::Nats(target) => {
            let (target, tools) = (Arc::clone(target), tools.clone());
            servers(&nats::Servers { target, tools }).await
        }
        Target::Amqp(target) => {
            let (target, tools) = (Arc::clone(target), tools.clone());
            servers(&amqp::Servers { target, tools }).await
        }
        Target::Grpc(target) => grpc::probe(target, tools).await,
        Target::Embedded(_) => Vec::new(),
        Target::OpenFaas(target) => openfaas::probe(target, tools).await,
        Target::Azure(target) => azure::probe(target, tools).await,
        Target::Lambda(target) => lambda::probe(target, tools, &BTreeSet::new()).await,
        Target::Knative(target) => knative::probe(target, tools).await,
        Target::Google(target) => google::probe(target, tools).await,
    }
}

/// The same, and where a platform can be asked whether a function could be called, it is asked for
/// each of these, and runs none.
pub async fn probe_functions(
    target: &Target,
    tools: &Tools,
    functions: &BTreeSet<&str>,
) -> Vec<Probed> {
    match target {
        Target::Lambda(target) => lambda::probe(target, tools, functions).await,
        target => probe(target, tools).await,
    }
}

/// Opens a session on each server, as a lane does: with TLS, the credential, and what a session of
/// the kind needs beside.
async fn servers(broker: &impl Broker) -> Vec<Probed> {
    let mut all = Vec::new();
    for server in 0..broker.servers() {
        let outcome = match broker.open(server).await {
            Ok(_) => Ok(()),
            Err(why) => Err(why.fault()),
        };
        all.push(Probed { at: broker.at(server), outcome });
    }
    all
}
