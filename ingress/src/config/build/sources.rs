//! Sources: what consumes the topics of this gateway's own outbox, or a broker's.

use std::{collections::BTreeMap, sync::Arc};

use invokers::{Target, amqp, consume::Wanted, embedded};
use schemas::Name;

use super::{Named, Sections, doors, upstreams::Upstreams};
use crate::{
    Route, Upstream,
    config::{
        de,
        spot::{Report, Spot},
        written,
    },
    table::{Consumes, Source},
};

/// All sources, by name.
pub(super) type Sources<'a> = Named<'a, Read>;

/// A source as it is read.
#[derive(Clone, Debug)]
pub(super) struct Read {
    /// The upstream that has its topics.
    pub(super) upstream: Name,
    /// Which of them.
    pub(super) topics: Box<str>,
    /// How many of its events are delivered at once.
    at_once: usize,
    /// By which name a broker remembers it.
    durable: Box<str>,
    /// Whether that was written.
    named: bool,
    /// The broker; found once the upstreams are known.
    broker: Option<Arc<Upstream>>,
}

/// How many events of a source are delivered at once where nothing else is written.
const AT_ONCE: u32 = 16;
const AT_ONCE_MAX: u32 = 1024;

/// How many messages of a broker are on their way into the outbox at once. How many leave it at
/// once is another matter.
const TAKEN_AT_ONCE: usize = 64;

/// Reads the sources, before the upstreams that they name are known.
pub(super) fn read<'a>(sections: &Sections<'a>, report: &mut Report) -> Sources<'a> {
    Named::read("source", sections.get("sources"), report, |name, spot, report| {
        let written: written::Source = de::read(spot, report)?;
        let from = spot.field("from");
        let at_once = written.concurrency.unwrap_or(AT_ONCE);
        if !(1..=AT_ONCE_MAX).contains(&at_once) {
            let remedy = format!("write 1 to {AT_ONCE_MAX}");
            report.error(&spot.field("concurrency"), format!("{at_once} does not fit"), remedy);
        }
        let topics = written.from.function.literal().unwrap_or_default();
        if !embedded::is_pattern(topics) && amqp::queue(topics).is_none() {
            no_topic(&written.from.to_string(), &from, report);
            return None;
        }
        let durable = written.durable.clone().unwrap_or_else(|| format!("gusset-{name}"));
        let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if durable.is_empty() || durable.len() > 128 || !durable.bytes().all(fit) {
            let remedy = "write letters, digits, - and _";
            report.error(&spot.field("durable"), format!("{durable:?} is no name"), remedy);
        }
        Some(Read {
            upstream: written.from.upstream.clone(),
            topics: topics.into(),
            at_once: at_once as usize,
            durable: durable.into(),
            named: written.durable.is_some(),
            broker: None,
        })
    })
}

fn no_topic(from: &str, spot: &Spot<'_>, report: &mut Report) {
    let remedy = "write one such as local/orders, or a pattern such as \"local/orders.*\"";
    report.error(spot, format!("\"{from}\" names no topic"), remedy);
}

/// Says what the declaration of a source's queue tells.
fn check_queue(target: &amqp::Target, function: &str, at: &Spot<'_>, report: &mut Report) {
    let queue = amqp::queue(function).and_then(|name| target.declared(name));
    let Some(queue) = queue else { return };
    if queue.kind == Some(amqp::QueueKind::Stream) {
        let message =
            format!("\"{}\" is a stream, and a source of one is not built yet", queue.name);
        report.error(at, message, "bind a queue to the same exchange, and consume that");
    }
    if let Some(limit) = queue.delivery_limit() {
        let message = format!(
            "the broker gives up what `{}` has given out {limit} times and was not stored; the \
             gateway's own schedule ends by itself",
            queue.name
        );
        report.warn(at, message, "leave `x-delivery-limit` out, or write -1");
    }
}

impl Sources<'_> {
    /// Those that consume topics of an upstream.
    pub(super) fn of(&self, upstream: &Name) -> Box<[embedded::Source]> {
        let sources = self.all.iter().filter_map(|(name, entry)| {
            let read = entry.value.as_ref().filter(|read| read.upstream == *upstream)?;
            Some(embedded::Source { name: name.clone(), topics: read.topics.clone() })
        });
        sources.collect()
    }

    /// Checks that the upstreams are there and have something to consume.
    pub(super) fn check(&mut self, upstreams: &mut Upstreams<'_>, report: &mut Report) {
        for entry in self.all.values_mut() {
            let Some(read) = &mut entry.value else { continue };
            let at = Spot { at: entry.spot.at, ..entry.spot.clone() };
            let Some(Some(upstream)) = upstreams.find(&read.upstream, &at, report) else {
                continue;
            };
            let is_queue = amqp::queue(&read.topics).is_some();
            let of_topics = matches!(upstream.target, Target::Embedded(_) | Target::Nats(_));
            if is_queue && of_topics {
                no_topic(&format!("{}/{}", read.upstream, read.topics), &at, report);
                continue;
            }
            match &upstream.target {
                Target::Embedded(_) | Target::Amqp(_) if read.named => {
                    let message = "only NATS remembers by name what was consumed";
                    report.error(&at.key("durable"), message, "leave it out");
                }
                Target::Embedded(_) => {}
                Target::Amqp(_) if !is_queue => {
                    let message = format!("\"{}/{}\" names no queue", read.upstream, read.topics);
                    let remedy = format!("write one such as {}//orders", read.upstream);
                    report.error(&at, message, remedy);
                }
                Target::Amqp(target) => {
                    check_queue(target, &read.topics, &at, report);
                    read.broker = Some(Arc::clone(upstream));
                }
                Target::Nats(target) => {
                    if !target.jetstream() {
                        let message = format!(
                            "`{}` is core NATS: what is published while nobody listens, and what is \
                             taken when the gateway dies, is gone",
                            read.upstream
                        );
                        report.warn(&at, message, "write `jetstream: true` on the upstream");
                    }
                    read.broker = Some(Arc::clone(upstream));
                }
                other => {
                    let kind = other.kind();
                    let message = format!("a source of kind {kind} is not built yet");
                    let remedy = "consume from an upstream of kind embedded, nats or amqp";
                    report.error(&at, message, remedy);
                }
            }
        }
    }

    /// Gives each source the routes that take its events.
    pub(super) fn finish(
        self,
        routes: &[(Option<Arc<Route>>, Spot<'_>)],
        report: &mut Report,
    ) -> Option<BTreeMap<Name, Source>> {
        let mut all = BTreeMap::new();
        for (name, entry) in self.all {
            let own: Vec<_> = routes
                .iter()
                .filter(|(route, _)| {
                    route.as_ref().is_some_and(|one| one.matching.source.as_ref() == Some(&name))
                })
                .cloned()
                .collect();
            if own.is_empty() {
                let message = format!("no route takes the events of the source `{name}`");
                report.warn(&entry.spot, message, "write a route with `match.source`");
            }
            let doors = doors(&own, report)?;
            let Read { topics, at_once, durable, broker, .. } = entry.value?;
            let wanted = Wanted { from: topics, name: durable, at_once: TAKEN_AT_ONCE };
            let consumes = broker.map(|upstream| Consumes { upstream, wanted });
            all.insert(name, Source { at_once, doors, consumes });
        }
        Some(all)
    }
}
