//! The places that hold functions.

use std::sync::Arc;

use invokers::{
    Target, amqp, azure, embedded, google, grpc, http, knative, lambda, nats, openfaas,
};
use policy::GuardsWritten;
use schemas::{Name, Reveal};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Named, Sections, guards, not_built, sources::Sources};
use crate::{
    Upstream,
    config::{
        Offer, de,
        node::Kind,
        problem::did_you_mean,
        spot::{Report, Spot},
        written::Embedded,
    },
};

/// All upstreams, by name.
pub(super) type Upstreams<'a> = Named<'a, Arc<Upstream>>;

/// The kinds that are built.
const KINDS: [&str; 10] = [
    "http",
    "grpc",
    "nats",
    "amqp",
    "embedded",
    "lambda",
    "openfaas",
    "azure-functions",
    "google-functions",
    "knative",
];

/// Reads and checks every upstream.
pub(super) fn read<'a>(
    sections: &Sections<'a>,
    offer: &Offer,
    for_all: &GuardsWritten,
    sources: &Sources<'_>,
    report: &mut Report,
) -> Upstreams<'a> {
    let mut named =
        Named::read("upstream", sections.get("upstreams"), report, |name, spot, report| {
            upstream(name, spot, offer, for_all, sources, report)
        });
    for (index, entry) in named.all.values_mut().enumerate() {
        if let Some(upstream) = entry.value.as_mut().and_then(Arc::get_mut) {
            upstream.index = index;
        }
    }
    named
}

impl Upstreams<'_> {
    /// All of them, in the order of their names.
    pub(super) fn finish(self) -> Option<Vec<Arc<Upstream>>> {
        self.all.into_values().map(|entry| entry.value).collect()
    }
}

fn upstream(
    name: &Name,
    spot: &Spot<'_>,
    offer: &Offer,
    for_all: &GuardsWritten,
    sources: &Sources<'_>,
    report: &mut Report,
) -> Option<Arc<Upstream>> {
    if !matches!(spot.node.map(|node| &node.kind), Some(Kind::Map(_))) {
        report.error(spot, "is no mapping", "write { kind: http, url: … }");
        return None;
    }
    if !spot.has("kind") {
        let remedy = format!("write `kind:` and one of {}", KINDS.join(", "));
        report.error(spot, "`kind` is missing", remedy);
        return None;
    }
    let at = spot.field("kind");
    let kind = de::read::<String>(&at, report)?;
    report.prune(&at);
    not_built::refuse(spot, not_built::Place::Upstream, report);
    let own = guards::read(spot, report);
    let (target, written) = match kind.as_str() {
        "http" => {
            let (target, written) = checked(name, spot, report, http::Target::build)?;
            (Target::Http(Arc::new(target)), written)
        }
        "grpc" => {
            let build = |name: &Name, written| grpc::Target::build(name, written, &offer.catalogs);
            let (mut target, written) = checked(name, spot, report, build)?;
            if let Some(files) = &offer.files {
                descriptors(&mut target, files, spot, report);
            }
            (Target::Grpc(Arc::new(target)), written)
        }
        "nats" => {
            not_built::refuse(spot, not_built::Place::Nats, report);
            let (target, written) = checked(name, spot, report, nats::Target::build)?;
            (Target::Nats(Arc::new(target)), written)
        }
        "amqp" => {
            let (target, written) = checked(name, spot, report, amqp::Target::build)?;
            (Target::Amqp(Arc::new(target)), written)
        }
        "embedded" => {
            let bus = Arc::clone(&offer.embedded);
            let take = |name: &Name, _: Embedded| {
                Ok(embedded::Target { name: name.clone(), bus, sources: sources.of(name) })
            };
            let (target, written) = checked(name, spot, report, take)?;
            (Target::Embedded(Arc::new(target)), written)
        }
        "lambda" => {
            let (target, written) = checked(name, spot, report, lambda::Target::build)?;
            (Target::Lambda(Arc::new(target)), written)
        }
        "openfaas" => {
            let (target, written) = checked(name, spot, report, openfaas::Target::build)?;
            (Target::OpenFaas(Arc::new(target)), written)
        }
        "azure-functions" => {
            let (target, written) = checked(name, spot, report, azure::Target::build)?;
            (Target::Azure(Arc::new(target)), written)
        }
        "google-functions" => {
            let (target, written) = checked(name, spot, report, google::Target::build)?;
            (Target::Google(Arc::new(target)), written)
        }
        "knative" => {
            let (target, written) = checked(name, spot, report, knative::Target::build)?;
            (Target::Knative(Arc::new(target)), written)
        }
        to_come if not_built::kind(to_come) => {
            let message = format!("kind `{to_come}` is not built yet");
            report.error(&at, message, format!("there is {}", KINDS.join(", ")));
            return None;
        }
        unknown => {
            let message = format!("kind {unknown:?} is not known");
            report.error(&at, message, did_you_mean(unknown, "kinds", KINDS));
            return None;
        }
    };
    // A lane is made of what the kind takes alone, so that new guards leave its connections.
    let mut made_of = with_kind(&kind, written.clone());
    if let Target::Embedded(target) = &target {
        let sources = target.sources.iter().map(|one| format!("{} {}", one.name, one.topics));
        made_of["sources"] = sources.collect();
    }
    let digest = digest(name, &made_of);
    let written = with_kind(&kind, with_guards(written, &own));
    let mut guarding = guards::of_upstream(name, &own, for_all, &offer.registry);
    guarding.guards.deduplicates = target.deduplicates();
    Some(Arc::new(Upstream {
        name: name.clone(),
        // Its place among all, which only the whole list knows.
        index: 0,
        target,
        guarding,
        digest,
        written,
    }))
}

/// Reads what is written for a kind and has the kind check it. What the kind says of a field that
/// was wrong in itself is not worth saying.
fn checked<W: DeserializeOwned + Serialize, T>(
    name: &Name,
    spot: &Spot<'_>,
    report: &mut Report,
    build: impl FnOnce(&Name, W) -> Result<T, Vec<(String, String)>>,
) -> Option<(T, Value)> {
    let written: W = de::read(spot, report)?;
    let json = serde_json::to_value(&written).unwrap_or_default();
    match build(name, written) {
        Ok(target) => Some((target, json)),
        Err(complaints) => {
            for (path, text) in complaints {
                let at = spot.below(&path);
                let pruned = at.node.is_some_and(|node| report.pruned.contains(&node.id));
                if !pruned {
                    report.said(&at, text);
                }
            }
            None
        }
    }
}

/// Checks the files that a service is described by: what is broken or contradicts itself is refused,
/// and a rule that is not served is told, for the service may be somebody else's.
fn descriptors(
    target: &mut grpc::Target,
    files: &Arc<dyn Reveal>,
    spot: &Spot<'_>,
    report: &mut Report,
) {
    if let Err((field, problem)) = target.read_descriptors(files) {
        report.error(&spot.below(field), problem, "");
        return;
    }
    for refused in target.catalog().known().refused {
        report.warn(&spot.field("descriptors"), refused, "no request finds the method by it");
    }
}

/// What was written, the kind first, without what was left out.
fn with_kind(kind: &str, written: Value) -> Value {
    let mut all = serde_json::Map::from_iter([("kind".to_owned(), Value::from(kind))]);
    if let Value::Object(fields) = written {
        all.extend(fields.into_iter().map(|(name, value)| (name, without_nulls(value))));
    }
    without_nulls(Value::Object(all))
}

fn with_guards(written: Value, guards: &GuardsWritten) -> Value {
    match (written, serde_json::to_value(guards)) {
        (Value::Object(mut all), Ok(Value::Object(guards))) => {
            all.extend(guards);
            Value::Object(all)
        }
        (written, _) => written,
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, without_nulls(value)))
            .collect(),
        other => other,
    }
}

fn digest(name: &Name, written: &Value) -> u64 {
    let digest = Sha256::digest(format!("{name} {written}"));
    digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}
