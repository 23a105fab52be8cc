//! A Knative upstream as it is written, and checked.

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use schemas::{Name, Template, units::Span};
use serde::{Deserialize, Serialize};

use super::function::{Function, Role};
use crate::{
    client::Origin,
    platform::{Reach, Wrong, is_label, with_stand_ins},
    tls::Tls,
};

/// A Knative upstream as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The URL of the cluster's ingress, which finds a service by its host; with `domain`.
    pub ingress: Option<String>,
    /// What stands behind a service's name and namespace in its host: `NAME.NAMESPACE.DOMAIN`.
    pub domain: Option<String>,
    /// URLs of services by `name` or `name.namespace`. They win over `ingress`.
    pub services: Option<BTreeMap<String, String>>,
    /// URLs of brokers by `name` or `name.namespace`.
    pub brokers: Option<BTreeMap<String, String>>,
    /// URLs of channels by `name` or `name.namespace`.
    pub channels: Option<BTreeMap<String, String>>,
    /// The namespace of what is named without one. Default: `default`.
    pub namespace: Option<String>,
    /// TLS settings for `https` URLs.
    pub tls: Option<Tls>,
    /// How long connecting may take. Default 5s.
    pub connect_timeout: Option<Span>,
}

/// A Knative upstream, checked.
#[derive(Debug)]
pub struct Target {
    pub(super) reach: Reach,
    pub(super) ingress: Option<Ingress>,
    /// What has a URL, by its full name.
    pub(super) places: BTreeMap<String, Place>,
    pub(super) namespace: String,
}

/// Where services are found by their hosts.
#[derive(Debug)]
pub(super) struct Ingress {
    pub(super) origin: Arc<Origin>,
    pub(super) domain: String,
}

/// Where something is that has a URL of its own.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) origin: Arc<Origin>,
    /// The whole path to post to; empty for a service, behind whose URL a request's path stands.
    pub(super) path: String,
}

impl Target {
    /// Checks what is written. Opens nothing.
    ///
    /// # Errors
    /// Each thing that is wrong: the field's path below the upstream, and what to write.
    pub fn build(_name: &Name, written: Written) -> Result<Self, Vec<(String, String)>> {
        let mut wrong = Wrong::new();
        let reach = Reach::new(written.tls, written.connect_timeout);
        let namespace = written.namespace.unwrap_or_else(|| "default".to_owned());
        if !is_label(&namespace) {
            let what = "is no namespace; write lower-case letters, digits and -";
            wrong.push(("namespace".to_owned(), what.to_owned()));
        }
        let ingress = ingress(&reach, written.ingress, written.domain, &mut wrong);
        let mut places = BTreeMap::new();
        for (role, field, urls) in [
            (Role::Service, "services", written.services),
            (Role::Broker, "brokers", written.brokers),
            (Role::Channel, "channels", written.channels),
        ] {
            for (name, url) in urls.unwrap_or_default() {
                let field = format!("{field}.{name}");
                let Some(function) = Function::of(role, &name) else {
                    let what = "is no name; write name or name.namespace in lower-case letters";
                    wrong.push((field, what.to_owned()));
                    continue;
                };
                let Some(place) = place(&reach, role, &field, &url, &mut wrong) else { continue };
                if places.insert(function.full_name(&namespace), place).is_some() {
                    let what = "is there twice, with its namespace and without; leave one out";
                    wrong.push((field, what.to_owned()));
                }
            }
        }
        let places_of = places.values().map(|place| &place.origin);
        let origins: Vec<_> =
            ingress.iter().map(|one| &one.origin).chain(places_of).cloned().collect();
        reach.check(&origins, &mut wrong);
        if origins.is_empty() && wrong.is_empty() {
            let what = "is missing; write it with `domain`, or URLs in `services`, `brokers` or \
                        `channels`";
            wrong.push(("ingress".to_owned(), what.to_owned()));
        }
        if wrong.is_empty() { Ok(Self { reach, ingress, places, namespace }) } else { Err(wrong) }
    }

    /// Whether a function part is something that can be reached here.
    pub(crate) fn names(&self, template: &Template) -> Result<(), (String, String)> {
        let text = with_stand_ins(template);
        let Some(function) = Function::parse(&text) else {
            let message = match text.is_empty() {
                true => "has no service, broker or channel".to_owned(),
                false => format!("`{template}` names no service, broker or channel"),
            };
            let remedy = "write UPSTREAM/name, UPSTREAM/broker:name or UPSTREAM/channel:name, with \
                 .namespace behind the name if need be";
            return Err((message, remedy.to_owned()));
        };
        if template.literal().is_none() || self.reaches(&function) {
            return Ok(());
        }
        let (what, remedy) = match function.role {
            Role::Service => ("service", "write its URL in `services`, or `ingress` and `domain`"),
            Role::Broker => ("broker", "write its URL in `brokers`"),
            Role::Channel => ("channel", "write its URL in `channels`"),
        };
        let full = function.full_name(&self.namespace);
        let name = full.rsplit(':').next().unwrap_or_default();
        Err((format!("there is no URL of the {what} `{name}`"), remedy.to_owned()))
    }

    fn reaches(&self, function: &Function<'_>) -> bool {
        let by_host = function.role == Role::Service && self.ingress.is_some();
        by_host || self.places.contains_key(&function.full_name(&self.namespace))
    }

    /// The URL that something is called at, for people.
    pub(super) fn url(&self, function: &Function<'_>) -> String {
        match (self.places.get(&function.full_name(&self.namespace)), &self.ingress) {
            (Some(place), _) => format!("{}{}", place.origin.url(), place.path),
            (None, Some(ingress)) => {
                let scheme = if ingress.origin.https() { "https" } else { "http" };
                format!("{scheme}://{}", self.host(function, ingress))
            }
            (None, None) => String::new(),
        }
    }

    /// The host by which the ingress knows a service (Knative's `domain-template`, as it is unless
    /// somebody has changed it).
    pub(super) fn host(&self, function: &Function<'_>, ingress: &Ingress) -> String {
        let namespace = function.namespace.unwrap_or(&self.namespace);
        format!("{}.{namespace}.{}", function.name, ingress.domain)
    }
}

fn ingress(
    reach: &Reach,
    url: Option<String>,
    domain: Option<String>,
    wrong: &mut Wrong,
) -> Option<Ingress> {
    let mut say = |field: &str, what: &str| wrong.push((field.to_owned(), what.to_owned()));
    match (url, domain) {
        (None, None) => None,
        (Some(_), None) => {
            say("domain", "is missing beside `ingress`; write the domain of the services");
            None
        }
        (None, Some(_)) => {
            say("ingress", "is missing beside `domain`; write the URL of the cluster's ingress");
            None
        }
        (Some(url), Some(domain)) => {
            if !domain.split('.').all(is_label) {
                say("domain", "is no domain; write one such as example.com");
            }
            let origin = reach.origin("ingress", &url, wrong)?;
            if !origin.base.is_empty() {
                let what = "has a path, and services are found by their hosts alone; leave it out";
                wrong.push(("ingress".to_owned(), what.to_owned()));
            }
            Some(Ingress { origin, domain })
        }
    }
}

fn place(reach: &Reach, role: Role, field: &str, url: &str, wrong: &mut Wrong) -> Option<Place> {
    let mut origin = reach.origin(field, url, wrong)?;
    let mut path = String::new();
    if role != Role::Service {
        // What is posted to is this URL and nothing behind it.
        let base = Arc::get_mut(&mut origin).map(|origin| std::mem::take(&mut origin.base));
        path = base.filter(|base| !base.is_empty()).unwrap_or_else(|| "/".to_owned());
    }
    Some(Place { origin, path })
}
