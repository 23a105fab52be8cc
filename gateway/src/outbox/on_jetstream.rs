//! An outbox on JetStream: the connection that it is given, and when its servers sync, which only
//! their monitors tell.

use std::{sync::Arc, time::Duration};

use ::outbox::{
    config,
    jetstream::{self, Jetstream, Settings, Syncs, Tell, look},
};
use ingress::{OnJetstream, Table};
use invokers::{
    Target, Tools,
    nats::{
        self,
        sync::{self, Sync},
    },
};

use crate::{cli::print, probe::Probed};

/// How long it is believed what the monitors have said.
const BELIEVED: Duration = Duration::from_secs(60);

/// Opens the store; it connects in the background.
pub(super) async fn open(
    settings: &config::Settings,
    kept: &Arc<OnJetstream>,
    tools: &Tools,
) -> Result<Arc<Jetstream>, String> {
    let connection = nats::stand(&kept.target, tools).await;
    let connection = connection
        .map_err(|fault| format!("the outbox on JetStream cannot be used: {}", fault.chain()))?;
    let tell = Tell::new(|trouble| print::error(&format!("gusset: outbox: {trouble}")));
    let settings = Settings::of(settings, &kept.server, tell);
    let store = Arc::new(Jetstream::open(connection, settings));
    tokio::spawn(ask_again(Arc::downgrade(&store), Arc::clone(kept), tools.clone()));
    Ok(store)
}

/// Tells the store when its servers sync, for as long as it lives.
async fn ask_again(store: std::sync::Weak<Jetstream>, kept: Arc<OnJetstream>, tools: Tools) {
    while let Some(store) = store.upgrade() {
        store.synced(syncs(&kept, &tools).await);
        drop(store);
        tokio::time::sleep(BELIEVED).await;
    }
}

/// Looks at the outbox that a table names, and makes nothing.
pub(crate) async fn probe(table: &Table, tools: &Tools) -> Vec<Probed> {
    let Some(kept) = &table.outbox.on_jetstream else { return Vec::new() };
    let probed = |at: String, outcome| Probed {
        upstream: "outbox".to_owned(),
        kind: "jetstream",
        at,
        outcome,
    };
    // Each server first: these say best why one cannot be reached.
    let target = Target::Nats(Arc::clone(&kept.target));
    let mut all: Vec<Probed> = invokers::probe::probe(&target, tools)
        .await
        .into_iter()
        .map(|one| {
            let outcome = one.outcome.map_err(|fault| fault.chain());
            probed(one.at, outcome.map(|()| "connected".to_owned()))
        })
        .collect();
    if all.iter().all(|one| one.outcome.is_err()) {
        return all;
    }
    let settings = Settings::of(&table.outbox.settings, &kept.server, Tell::new(|_| {}));
    let looked = match nats::stand(&kept.target, tools).await {
        Ok(connection) => look(connection, &settings).await,
        Err(fault) => Err(fault.chain()),
    };
    let outcome = match looked {
        Ok(looked) => Ok(said(&looked, kept, &syncs(kept, tools).await)),
        Err(why) => Err(why),
    };
    all.push(probed(format!("stream {}", kept.server.stream), outcome));
    all
}

fn said(looked: &jetstream::Looked, kept: &OnJetstream, syncs: &Syncs) -> String {
    let waiting = match looked.waiting {
        Some(1) => "1 event waits".to_owned(),
        Some(count) => format!("{count} events wait"),
        None => "it is made when it is needed".to_owned(),
    };
    let warning = match syncs {
        Syncs::Always => "",
        Syncs::Every(_) => {
            "; warning: what is acknowledged is synced later, so that a power cut may lose it; write \
             `sync_interval: always` in the server's `jetstream` block"
        }
        Syncs::Unknown => {
            "; warning: unless its `sync_interval` is `always`, what is acknowledged is synced later, \
             and a power cut may lose it; name its monitor with `outbox.monitor` to know"
        }
    };
    format!(
        "nats-server {}, replicas: {}, {waiting}, sync: {}{warning}",
        looked.server,
        kept.server.replicas,
        syncs.word()
    )
}

/// When the servers sync, as their monitors say.
async fn syncs(kept: &OnJetstream, tools: &Tools) -> Syncs {
    match sync::monitored(&kept.target, tools).await {
        Sync::Always => Syncs::Always,
        every @ Sync::Every(_) => Syncs::Every(every.to_string().into()),
        Sync::Unknown => Syncs::Unknown,
    }
}
