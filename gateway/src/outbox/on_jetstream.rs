//! An outbox on JetStream: the connection that it is given, and when its servers sync, which only
//! their monitors tell.

use std::{sync::Arc, time::Duration};

use ::outbox::{
    config,
    jetstream::{self, Jetstream, Settings, Syncs, Tell, look},
};
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ingress::{OnJetstream, Table};
use invokers::{Target, Tools, nats};
use schemas::{Body, units::Span};
use serde::Deserialize;
use tokio::{net::TcpStream, time::timeout};

use crate::{cli::print, probe::Probed};

/// How long a monitor may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 1 << 20;

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
    tokio::spawn(ask_again(Arc::downgrade(&store), Arc::clone(kept)));
    Ok(store)
}

/// Tells the store when its servers sync, for as long as it lives.
async fn ask_again(store: std::sync::Weak<Jetstream>, kept: Arc<OnJetstream>) {
    while let Some(store) = store.upgrade() {
        store.synced(syncs(&kept).await);
        drop(store);
        tokio::time::sleep(BELIEVED).await;
    }
}

/// Looks at the outbox that a table names, and makes nothing.
pub(crate) async fn probe(table: &Table, tools: &Tools) -> Vec<Probed> {
    let Some(kept) = &table.on_jetstream else { return Vec::new() };
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
    let settings = Settings::of(&table.outbox, &kept.server, Tell::new(|_| {}));
    let looked = match nats::stand(&kept.target, tools).await {
        Ok(connection) => look(connection, &settings).await,
        Err(fault) => Err(fault.chain()),
    };
    let outcome = match looked {
        Ok(looked) => Ok(said(&looked, kept, &syncs(kept).await)),
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

/// When the servers sync: the laxest of them, and unknown if one that keeps the stream may not have
/// been asked.
async fn syncs(kept: &OnJetstream) -> Syncs {
    let mut longest = None;
    for monitor in &kept.monitors {
        match ask(monitor).await {
            Ok(Config { sync_always: true, .. }) => {}
            Ok(Config { sync_interval, .. }) => longest = longest.max(Some(sync_interval)),
            Err(_) => return Syncs::Unknown,
        }
    }
    match longest {
        Some(nanos) => Syncs::Every(Span(Duration::from_nanos(nanos)).to_string().into()),
        None if kept.monitors.len() < usize::from(kept.server.replicas) => Syncs::Unknown,
        None => Syncs::Always,
    }
}

/// What a monitor says of JetStream.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    sync_always: bool,
    /// In nanoseconds.
    #[serde(default)]
    sync_interval: u64,
}

async fn ask(monitor: &str) -> Result<Config, String> {
    #[derive(Deserialize)]
    struct Said {
        config: Config,
    }
    let asked = async {
        let uri: Uri = monitor.parse().map_err(|_| "it is no URL".to_owned())?;
        let authority = uri.authority().ok_or("it has no host")?;
        let port = authority.port_u16().unwrap_or(8222);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let socket = TcpStream::connect((host, port)).await.map_err(|error| told(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(socket)).await.map_err(|error| told(&error))?;
        // It ends with the socket, whose end the answer tells.
        let task = tokio::spawn(connection);
        let request = Request::get("/jsz").header(header::HOST, authority.as_str());
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| told(&error))?;
        let answer = sender.send_request(request).await.map_err(|error| told(&error))?;
        let body = Body::incoming(answer.into_body()).collect(ANSWER_BYTES_MAX).await;
        task.abort();
        let body = body.map_err(|error| told(&error))?;
        serde_json::from_slice::<Said>(&body).map_err(|error| told(&error))
    };
    match timeout(ANSWER_WITHIN, asked).await {
        Ok(said) => said.map(|said| said.config),
        Err(_) => Err("it does not answer".to_owned()),
    }
}
