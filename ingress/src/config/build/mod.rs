//! Checks what is written, and makes the table of it.

mod addresses;
mod answers;
mod guards;
mod headers;
mod limits;
mod listeners;
mod matching;
mod mirror;
mod outbox;
mod policies;
mod routes;
mod sources;
mod stored;
mod targets;
mod templates;
mod upstreams;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use schemas::Name;
use sha2::{Digest, Sha256};

use super::{
    File, Offer, lint,
    node::{Kind, Place},
    not_built,
    problem::did_you_mean,
    schema::SECTIONS,
    spot::{Report, Spot},
};
use crate::{Table, routes::Doors};

/// Makes the table. `None` if something is wrong; it is in the report then.
pub(super) fn table(
    files: &[File],
    tops: &[Spot<'_>],
    offer: &Offer,
    report: &mut Report,
) -> Option<Table> {
    let sections = gather(files, tops, report);
    let listeners = listeners::listeners(&sections, report);
    let admin = listeners::admin(&sections, &listeners, report);
    let events_path = listeners::events_path(&sections, report);
    let trusted_proxies = listeners::trusted_proxies(&sections, report);
    let outbox = outbox::read(&sections, report);
    let replicas = outbox::replicas(&sections, report);
    let (mut policies, guards) = policies::read(&sections, report);
    let mut sources = sources::read(&sections, report);
    let mut upstreams = upstreams::read(&sections, offer, &guards, &sources, report);
    sources.check(&mut upstreams, report);
    let routes = routes::read(
        &sections,
        &mut routes::Around {
            listeners: &listeners,
            events_path: events_path.as_deref(),
            upstreams: &mut upstreams,
            sources: &mut sources,
            policies: &mut policies,
            registry: &offer.registry,
        },
        report,
    );
    outbox::check(&outbox, &replicas, &routes, &upstreams, report);
    upstreams.warn_of_unused(report);
    policies.warn_of_unused(report);
    let served: Vec<_> = routes
        .iter()
        .filter(|(route, _)| route.as_ref().is_none_or(|one| one.matching.source.is_none()))
        .cloned()
        .collect();
    let doors = doors(&served, report);
    let sources = sources.finish(&routes, report);
    let doors = doors?;
    let listeners: Vec<_> = listeners.into_iter().map(|(listener, _)| listener).collect();
    lint::lint(&served, &listeners, report);
    let upstreams = upstreams.finish()?;
    let routes: Option<Vec<_>> = routes.into_iter().map(|(route, _)| route).collect();
    let routes = routes?;
    let names = routes.iter().map(|route| route.name.clone());
    Some(Table {
        version: version(files),
        listeners,
        admin: admin?,
        events_path: events_path?,
        trusted_proxies,
        upstreams,
        by_name: names.zip(0..).collect(),
        routes,
        doors,
        sources: sources?,
        outbox: outbox.finish(),
        registry: Arc::clone(&offer.registry),
    })
}

/// Where the sections of all files are written.
type Sections<'a> = HashMap<&'static str, Vec<Spot<'a>>>;

/// Sorts what is written at the top of the files by section.
fn gather<'a>(files: &[File], tops: &[Spot<'a>], report: &mut Report) -> Sections<'a> {
    let mut sections: Sections<'a> = HashMap::new();
    for top in tops {
        let Some(Kind::Map(_)) = top.node.map(|node| &node.kind) else {
            report.error(top, "the file is no mapping", "begin with `version: 1`");
            sections.entry("version").or_default();
            continue;
        };
        not_built::refuse(top, not_built::Place::Top, report);
        for (key, field) in top.fields() {
            if field.node.is_some_and(|node| report.pruned.contains(&node.id)) {
                continue;
            }
            match SECTIONS.iter().find(|section| section.name == key) {
                Some(section) if field.node.is_some_and(|node| node.is_null()) => {
                    let remedy = "write a value, or leave the field out";
                    report.error(&field, "is empty", remedy);
                    sections.entry(section.name).or_default();
                }
                Some(section) => sections.entry(section.name).or_default().push(field),
                None => {
                    let known = SECTIONS.iter().map(|section| section.name);
                    let remedy = did_you_mean(key, "fields", known);
                    let here = Spot { path: String::new(), ..top.key(key) };
                    report.error(&here, format!("unknown field `{key}`"), remedy);
                }
            }
        }
    }
    check_version(files, tops, &sections, report);
    for once in ["admin", "events_path", "trusted_proxies", "outbox", "replicas"] {
        if let Some([first, rest @ ..]) = sections.get(once).map(Vec::as_slice) {
            for again in rest {
                twice(again, first, &format!("`{once}`"), report);
            }
        }
    }
    sections
}

/// Every file may say the version of the dialect, and one of them must.
fn check_version(files: &[File], tops: &[Spot<'_>], sections: &Sections<'_>, report: &mut Report) {
    for spot in sections.get("version").into_iter().flatten() {
        match spot.node.map(|node| &node.kind) {
            Some(Kind::Scalar { text, plain: true }) if text == "1" => {}
            Some(Kind::Scalar { text, .. }) => {
                let message = format!("version {text:?} of the dialect is not known here");
                report.error(spot, message, "write `version: 1`");
            }
            _ => report.error(spot, "is no version", "write `version: 1`"),
        }
    }
    if sections.contains_key("version") {
        return;
    }
    let first = files.first().map_or("", |file| file.name.as_str());
    let start =
        Spot { file: first, path: String::new(), at: Place { line: 1, column: 1 }, node: None };
    match tops {
        [] => report.error(&start, "nothing is written here", "begin with `version: 1`"),
        _ => report.error(&start, "`version` is missing", "write `version: 1`"),
    }
}

/// Says that something is written a second time, and where it was first.
fn twice(again: &Spot<'_>, first: &Spot<'_>, name: &str, report: &mut Report) {
    let message = format!("{name} is written twice, first at {}", first.place());
    report.error(again, message, "write it once");
}

/// Makes the routes ready for matching: those that are whole, so that what is wrong with the
/// others is not said twice.
fn doors(routes: &[(Option<Arc<crate::Route>>, Spot<'_>)], report: &mut Report) -> Option<Doors> {
    let whole: Vec<_> = routes
        .iter()
        .filter_map(|(route, spot)| Some((Arc::clone(route.as_ref()?), spot)))
        .collect();
    let only: Vec<_> = whole.iter().map(|(route, _)| Arc::clone(route)).collect();
    match Doors::build(&only) {
        Ok(doors) => Some(doors),
        Err(clashes) => {
            for clash in clashes {
                let (Some((a, first)), Some((b, second))) =
                    (whole.get(clash.a), whole.get(clash.b))
                else {
                    continue;
                };
                let message = format!(
                    "`{}` and `{}` ({}) serve the same requests: {}",
                    b.name,
                    a.name,
                    first.place(),
                    clash.why
                );
                report.error(
                    second,
                    message,
                    "make their conditions differ, or give one of them a higher `priority`",
                );
            }
            None
        }
    }
}

/// A short digest of all that is written, which is the version of the table made of it.
#[must_use]
pub fn version(files: &[File]) -> String {
    let mut digest = Sha256::new();
    for file in files {
        for part in [&file.name, &file.text] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
    }
    digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Things that are named in the configuration, whether they turned out well or not, and whether
/// anything refers to them.
#[derive(Debug)]
struct Named<'a, T> {
    what: &'static str,
    all: BTreeMap<Name, Entry<'a, T>>,
}

#[derive(Debug)]
struct Entry<'a, T> {
    spot: Spot<'a>,
    value: Option<T>,
    used: bool,
}

impl<'a, T> Named<'a, T> {
    /// Reads the mappings of a section of all files by name.
    fn read(
        what: &'static str,
        section: Option<&Vec<Spot<'a>>>,
        report: &mut Report,
        mut one: impl FnMut(&Name, &Spot<'a>, &mut Report) -> Option<T>,
    ) -> Self {
        let mut all: BTreeMap<Name, Entry<'a, T>> = BTreeMap::new();
        for section in section.into_iter().flatten() {
            if !matches!(section.node.map(|node| &node.kind), Some(Kind::Map(_))) {
                report.error(section, "is no mapping", "write `name: { … }` for each");
                continue;
            }
            for (key, spot) in section.fields() {
                let name: Name = match key.parse() {
                    Ok(name) => name,
                    Err(error) => {
                        report.said(&section.key(key), error);
                        continue;
                    }
                };
                if let Some(first) = all.get(&name) {
                    twice(&section.key(key), &first.spot, &format!("the {what} `{key}`"), report);
                    continue;
                }
                let value = one(&name, &spot, report);
                all.insert(name, Entry { spot: section.key(key), value, used: false });
            }
        }
        Self { what, all }
    }

    /// Finds something by the name that is written at the spot. `None`, after a word on it, if
    /// there is no such thing; `Some(None)` if there is, and it is wrong.
    fn find(&mut self, name: &str, spot: &Spot<'_>, report: &mut Report) -> Option<Option<&T>> {
        let what = self.what;
        if !self.all.contains_key(name) {
            let plural = match what {
                "policy" => "policies".to_owned(),
                what => format!("{what}s"),
            };
            let remedy = match self.all.len() {
                0 => format!("write it under `{plural}`"),
                _ => did_you_mean(name, &plural, self.all.keys().map(Name::as_str)),
            };
            report.error(spot, format!("there is no {what} `{name}`"), remedy);
            return None;
        }
        let entry = self.all.get_mut(name)?;
        entry.used = true;
        Some(entry.value.as_ref())
    }

    fn warn_of_unused(&self, report: &mut Report) {
        for (name, entry) in self.all.iter().filter(|(_, entry)| !entry.used) {
            report.warn(&entry.spot, format!("no route uses the {} `{name}`", self.what), "");
        }
    }
}
