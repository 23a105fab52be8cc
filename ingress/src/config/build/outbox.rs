//! Where stored events are kept, and whether that fits how many gateways run the configuration.

use std::sync::Arc;

use ::outbox::config::{Server, Settings, Written};
use invokers::{Target, nats};
use schemas::Name;

use super::{Sections, stored::complain, upstreams::Upstreams};
use crate::{
    Route,
    config::{
        de,
        spot::{Report, Spot},
        written::{OutboxOnJetstream, Replicas},
    },
    table::{self, OnJetstream},
};

/// The kinds that there are.
const KINDS: [&str; 2] = ["embedded", "jetstream"];

/// The fields of an outbox in files alone, and those of one on JetStream alone.
const IN_FILES: [&str; 1] = ["path"];
const ON_JETSTREAM: [&str; 12] = [
    "url",
    "stream",
    "replicas",
    "monitor",
    "username",
    "password",
    "token",
    "nkey",
    "credentials",
    "tls",
    "connect_timeout",
    "allow_plaintext_credentials",
];

/// An outbox as it is written.
pub(super) struct Outbox<'a> {
    spot: Option<Spot<'a>>,
    settings: Settings,
    server: Option<Arc<OnJetstream>>,
    /// Nothing more is said of one that is wrong.
    wrong: bool,
}

impl Outbox<'_> {
    /// As the table has it.
    pub(super) fn finish(self) -> table::Outbox {
        let place = self.spot.map_or_else(String::new, |spot| spot.place());
        table::Outbox { settings: self.settings, on_jetstream: self.server, place }
    }
}

/// Reads the outbox.
pub(super) fn read<'a>(sections: &Sections<'a>, report: &mut Report) -> Outbox<'a> {
    let spot = sections.get("outbox").and_then(|written| written.first()).cloned();
    let mut outbox =
        Outbox { spot: spot.clone(), settings: Settings::default(), server: None, wrong: false };
    let Some(spot) = spot else { return outbox };
    let kind = spot.field("kind");
    let kind = if spot.has("kind") { de::read::<String>(&kind, report) } else { None };
    if let Some(other) = kind.as_deref().filter(|kind| !KINDS.contains(kind)) {
        let said = format!("{other:?} is not known here");
        report.error(&spot.field("kind"), said, format!("one of: {}", KINDS.join(", ")));
        outbox.wrong = true;
        return outbox;
    }
    let on_jetstream = kind.as_deref() == Some("jetstream");
    let (foreign, remedy): (&[&str], _) = if on_jetstream {
        (&IN_FILES, "leave it out: it is for `kind: embedded`")
    } else {
        (&ON_JETSTREAM, "write `kind: jetstream`, or leave it out")
    };
    for field in foreign.iter().filter(|field| spot.has(field)) {
        let said = format!("`{field}` does nothing for an outbox of this kind");
        report.error(&spot.key(field), said, remedy);
        report.prune(&spot.field(field));
    }
    if on_jetstream {
        report.prune(&spot.field("kind"));
        outbox.server = read_server(&spot, &mut outbox.settings, report);
        outbox.wrong = outbox.server.is_none();
        return outbox;
    }
    match de::read::<Written>(&spot, report).map(|written| Settings::new(&written)) {
        Some(Ok(settings)) => outbox.settings = settings,
        Some(Err(wrong)) => complain(&spot, wrong, report),
        None => outbox.wrong = true,
    }
    outbox
}

fn read_server(
    spot: &Spot<'_>,
    settings: &mut Settings,
    report: &mut Report,
) -> Option<Arc<OnJetstream>> {
    let replicas = spot.field("replicas");
    let word = replicas.node.and_then(|node| node.text()).unwrap_or_default();
    if matches!(word, "one" | "many") {
        let remedy = "write a number from 1 to 5, and `replicas` at the top of the file for how many \
                      gateways there are";
        report.error(&replicas, "is on how many servers each stream is kept", remedy);
        report.prune(&replicas);
    }
    let written: OutboxOnJetstream = de::read(spot, report)?;
    let sizes = Written {
        max_size: written.max_size,
        per_target: written.per_target,
        dead_letters: written.dead_letters.clone(),
        ..Written::default()
    };
    let mut right = true;
    match Settings::new(&sizes) {
        Ok(sizes) => *settings = sizes,
        Err(wrong) => {
            complain(spot, wrong, report);
            right = false;
        }
    }
    let server = Server::new(written.stream.as_deref(), written.replicas);
    let server = server.map_err(|wrong| complain(spot, wrong, report)).ok();
    // The name that the connection has at the server.
    let name: Name = "outbox".parse().ok()?;
    let written = written.nats();
    match (nats::Target::build(&name, written.clone()), server) {
        (Ok(target), Some(server)) if right => {
            Some(Arc::new(OnJetstream { server, target: Arc::new(target), written }))
        }
        (Ok(_), _) => None,
        (Err(wrong), _) => {
            for (path, text) in wrong {
                let at = spot.below(&path);
                if !at.node.is_some_and(|node| report.pruned.contains(&node.id)) {
                    report.said(&at, text);
                }
            }
            None
        }
    }
}

/// How many gateways run this configuration.
pub(super) fn replicas<'a>(
    sections: &Sections<'a>,
    report: &mut Report,
) -> (Replicas, Option<Spot<'a>>) {
    let spot = sections.get("replicas").and_then(|written| written.first()).cloned();
    let read = spot.as_ref().and_then(|spot| de::read(spot, report));
    (read.unwrap_or_default(), spot)
}

/// Refuses what the outbox cannot do, and what holds only for one gateway where there are many.
pub(super) fn check(
    outbox: &Outbox<'_>,
    (replicas, at): &(Replicas, Option<Spot<'_>>),
    routes: &[(Option<Arc<Route>>, Spot<'_>)],
    upstreams: &Upstreams<'_>,
    report: &mut Report,
) {
    if outbox.wrong {
        return;
    }
    let whole: Vec<(&Route, &Spot<'_>)> =
        routes.iter().filter_map(|(route, spot)| Some((&**route.as_ref()?, spot))).collect();
    let stored =
        whole.iter().filter_map(|(route, spot)| Some((*route, spot, route.stored.as_ref()?)));
    let (Replicas::Many, Some(at)) = (replicas, at) else { return };
    let topics = upstreams.all.iter().find(|(_, entry)| {
        entry.value.as_ref().is_some_and(|one| matches!(one.target, Target::Embedded(_)))
    });
    if outbox.server.is_none() {
        let who = match (stored.clone().next(), topics) {
            (Some((route, ..)), _) => Some(format!("the route `{}` stores events", route.name)),
            (None, Some((name, _))) => Some(format!("`{name}` has topics")),
            (None, None) => None,
        };
        if let Some(who) = who {
            let message = format!("{who}, and the outbox is in files of one gateway");
            let remedy = "write `outbox: { kind: jetstream, url: … }`, or `replicas: one`";
            let place = outbox.spot.as_ref().unwrap_or(at);
            report.error(place, message, remedy);
        }
    }
    for (_, spot, _) in stored.filter(|(_, _, stored)| stored.wait.is_some()) {
        let message = "the outcome is known to the gateway that delivers, which may be another";
        report.error(&spot.key("wait"), message, "leave it out, or write `replicas: one`");
    }
    let limited: Vec<&str> = whole
        .iter()
        .filter(|(route, _)| route.limits.is_some())
        .map(|(one, _)| &*one.name)
        .collect();
    if !limited.is_empty() {
        let message = format!(
            "each gateway counts the rate limits of {} alone, so that all of them let through more",
            limited.join(", ")
        );
        report.warn(at, message, "divide the rates by the number of gateways");
    }
}
