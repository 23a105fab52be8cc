//! What stands behind an upstream with JetStream, for `gusset check --live`: the streams that take
//! its subjects, how they keep what they have acknowledged, and the consumers of its sources.

use std::{collections::BTreeSet, future::ready, sync::Arc};

use async_nats::jetstream::{
    self, Context,
    consumer::Info,
    context::ConsumerInfoErrorKind,
    response::Response,
    stream::{Config, PersistenceMode, StorageType},
};
use schemas::{Class, Fault};
use serde::Deserialize;

use super::{
    config::Target,
    follow,
    sync::{self, Sync},
};
use crate::{Tools, consume::Wanted};

/// One stream or one consumer.
#[derive(Debug)]
pub struct Looked {
    /// Which, in words.
    pub at: String,
    /// How it is, or why it is not as it has to be.
    pub outcome: Result<String, Fault>,
}

/// Looks at the streams of these subjects, in which `*` and a last `>` may stand for tokens, and at
/// what these sources consume. Makes nothing. Nothing is to be looked at on core NATS.
pub async fn look(
    target: &Arc<Target>,
    tools: &Tools,
    subjects: &BTreeSet<String>,
    wanted: &[&Wanted],
) -> Vec<Looked> {
    if !target.jetstream {
        return Vec::new();
    }
    let client = match follow::connect(target, tools, "check", |_| ready(())).await {
        Ok(client) => client,
        Err(fault) => return vec![Looked { at: "JetStream".to_owned(), outcome: Err(fault) }],
    };
    let sync = sync::read(target.monitor.as_ref(), Some(&client), tools).await;
    let context = jetstream::new(client);
    let mut all = Vec::new();
    let mut streams = BTreeSet::new();
    for subject in subjects.iter().map(String::as_str).chain(wanted.iter().map(|one| &*one.from)) {
        match names(&context, target, subject).await {
            Ok(names) => streams.extend(names),
            Err(fault) => {
                let at = format!("subject {subject}");
                if !all.iter().any(|one: &Looked| one.at == at) {
                    all.push(Looked { at, outcome: Err(fault) });
                }
            }
        }
    }
    for name in &streams {
        let outcome = match context.get_stream(name).await {
            Ok(stream) => Ok(said(&stream.cached_info().config, target, sync)),
            Err(error) => Err(no_stream(name).because(error)),
        };
        all.push(Looked { at: format!("stream {name}"), outcome });
    }
    for one in wanted {
        // What it consumes may have been missed above.
        let Ok(names) = names(&context, target, &one.from).await else { continue };
        let Some(stream) = names.first() else { continue };
        let at = format!("consumer {} of {stream}", one.name);
        all.push(Looked { at, outcome: consumer(&context, stream, one).await });
    }
    all
}

/// The streams that take a subject, the named one if one is named.
async fn names(context: &Context, target: &Target, subject: &str) -> Result<Vec<String>, Fault> {
    #[derive(Deserialize)]
    struct Names {
        streams: Option<Vec<String>>,
    }
    if let Some(name) = &target.stream {
        return Ok(vec![name.clone()]);
    }
    let asked = serde_json::json!({ "subject": subject });
    let unsaid =
        || Fault::new(Class::Unavailable, "JetStream does not say which streams there are");
    let answer = context.request("STREAM.NAMES", &asked).await;
    match answer.map_err(|error| unsaid().because(error))? {
        Response::Err { error } => Err(unsaid().because(error)),
        Response::Ok(Names { streams: Some(names) }) if !names.is_empty() => Ok(names),
        Response::Ok(Names { .. }) => Err(Fault::new(
            Class::NotFound,
            format!("no stream takes {subject}; create one on the server"),
        )),
    }
}

fn no_stream(name: &str) -> Fault {
    Fault::new(Class::NotFound, format!("there is no stream {name}; create it on the server"))
}

/// How a stream keeps what it has acknowledged.
fn said(config: &Config, target: &Target, sync: Sync) -> String {
    let replicas = config.num_replicas;
    if config.storage == StorageType::Memory {
        return format!("in memory, replicas: {replicas}; warning: a restart loses what it holds");
    }
    if config.persist_mode == Some(PersistenceMode::Async) {
        return format!(
            "on disk, replicas: {replicas}; warning: with `persist_mode: async` a message is \
             acknowledged before it is written"
        );
    }
    let warning = match sync {
        Sync::Always => "",
        Sync::Every(_) => {
            "; warning: what is acknowledged is synced later, so that a power cut may lose it; write \
             `sync_interval: always` in the server's `jetstream` block"
        }
        Sync::Unknown if target.monitor.is_some() => {
            "; warning: unless its `sync_interval` is `always`, a power cut may lose what is \
             acknowledged; the monitors of all its servers have to say it"
        }
        Sync::Unknown => {
            "; warning: unless its `sync_interval` is `always`, a power cut may lose what is \
             acknowledged; name the server's monitoring port as `monitor` to know"
        }
    };
    format!("on disk, replicas: {replicas}, sync: {sync}{warning}")
}

/// How far a source's consumer is.
async fn consumer(context: &Context, stream: &str, wanted: &Wanted) -> Result<String, Fault> {
    let stream = context.get_stream(stream).await;
    let stream = stream.map_err(|error| no_stream(&wanted.from).because(error))?;
    let info: Info = match stream.consumer_info(&*wanted.name).await {
        Ok(info) => info,
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => {
            return Ok("it is made when the source begins".to_owned());
        }
        Err(error) => {
            return Err(Fault::new(Class::UpstreamProtocol, "the stream does not tell of it")
                .because(error));
        }
    };
    if info.config.filter_subject != *wanted.from {
        let taken = &info.config.filter_subject;
        return Err(Fault::new(
            Class::UpstreamProtocol,
            format!(
                "it is another one, which takes \"{taken}\"; delete it, or give the source another \
                 name"
            ),
        ));
    }
    let warning = match info.config.max_deliver {
        most if most > 0 => format!(
            "; warning: the server gives a message up that was given {most} times and not stored; \
             set its max_deliver to -1, as the gateway's own schedule ends by itself"
        ),
        _ => String::new(),
    };
    Ok(format!("{} wait, {} are taken{warning}", info.num_pending, info.num_ack_pending))
}
