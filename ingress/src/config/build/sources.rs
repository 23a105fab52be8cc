//! Sources: what consumes the topics of this gateway's own outbox.

use std::{collections::BTreeMap, sync::Arc};

use invokers::{Target, embedded};
use schemas::Name;

use super::{Named, Sections, doors, upstreams::Upstreams};
use crate::{
    Route,
    config::{
        de,
        spot::{Report, Spot},
        written,
    },
    table::Source,
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
}

/// How many events of a source are delivered at once where nothing else is written.
const AT_ONCE: u32 = 16;
const AT_ONCE_MAX: u32 = 1024;

/// Reads the sources, before the upstreams that they name are known.
pub(super) fn read<'a>(sections: &Sections<'a>, report: &mut Report) -> Sources<'a> {
    Named::read("source", sections.get("sources"), report, |_, spot, report| {
        let written: written::Source = de::read(spot, report)?;
        let from = spot.field("from");
        let at_once = written.concurrency.unwrap_or(AT_ONCE);
        if !(1..=AT_ONCE_MAX).contains(&at_once) {
            let remedy = format!("write 1 to {AT_ONCE_MAX}");
            report.error(&spot.field("concurrency"), format!("{at_once} does not fit"), remedy);
        }
        let topics = written.from.function.literal().unwrap_or_default();
        if !embedded::is_pattern(topics) {
            let message = format!("\"{}\" names no topic", written.from);
            let remedy = "write one such as local/orders, or a pattern such as \"local/orders.*\"";
            report.error(&from, message, remedy);
            return None;
        }
        Some(Read {
            upstream: written.from.upstream.clone(),
            topics: topics.into(),
            at_once: at_once as usize,
        })
    })
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

    /// Checks that the upstreams are there and have topics.
    pub(super) fn check(&self, upstreams: &mut Upstreams<'_>, report: &mut Report) {
        for entry in self.all.values() {
            let Some(read) = &entry.value else { continue };
            let at = Spot { at: entry.spot.at, ..entry.spot.clone() };
            let Some(Some(upstream)) = upstreams.find(&read.upstream, &at, report) else {
                continue;
            };
            if !matches!(upstream.target, Target::Embedded(_)) {
                let kind = upstream.target.kind();
                let message = format!("a source of kind {kind} is not built yet");
                report.error(&at, message, "consume a topic of an upstream of kind embedded");
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
            let at_once = entry.value?.at_once;
            all.insert(name, Source { at_once, doors });
        }
        Some(all)
    }
}
