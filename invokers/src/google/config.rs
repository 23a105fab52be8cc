//! A Google Cloud upstream as it is written, and checked.

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use schemas::{Name, Secret, Template, units::Span};
use serde::{Deserialize, Serialize};

use super::list::Listing;
use crate::{
    client::Origin,
    platform::{Reach, Wrong, is_label, with_stand_ins},
    tls::Tls,
};

/// A Google Cloud upstream as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The project: its functions are at `https://REGION-PROJECT.cloudfunctions.net`; with `region`.
    pub project: Option<String>,
    /// The region of the functions.
    pub region: Option<String>,
    /// URLs of functions and of Cloud Run services, by name. They win over `project`.
    pub functions: Option<BTreeMap<String, String>>,
    /// For whom tokens are minted. Default: the URL of the function that is called.
    pub audience: Option<String>,
    /// Who the gateway is: `metadata`, the service account of the machine that it runs on, or the key
    /// of a service account. Default `metadata`.
    pub credentials: Option<Credentials>,
    /// The service account in whose name tokens are asked for.
    pub impersonate: Option<Impersonate>,
    /// `none`: the functions are called without a token.
    pub auth: Option<Auth>,
    /// The URL of the APIs by which the functions and services of the project are listed, where they
    /// are behind an endpoint of one's own.
    pub endpoint: Option<String>,
    /// TLS settings for `https` URLs of functions.
    pub tls: Option<Tls>,
    /// How long connecting may take. Default 5s.
    pub connect_timeout: Option<Span>,
    /// Lets a token go over plain text to an address that is not loopback.
    pub allow_plaintext_credentials: Option<bool>,
}

/// Who the gateway is to Google Cloud.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Credentials {
    /// The service account of the machine.
    Machine(Machine),
    /// The key of a service account, in JSON.
    Key(Secret),
}

/// The word for the service account of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Machine {
    /// As the metadata server tells it.
    Metadata,
}

/// In whose name tokens are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Impersonate {
    /// The service account's address.
    Account(String),
    /// The same, and where it is asked.
    At {
        /// The service account's address.
        account: String,
        /// The URL of the IAM Credentials API, where it is behind an endpoint of one's own.
        url: String,
    },
}

/// The word for no token at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// No token.
    None,
}

/// A Google Cloud upstream, checked.
#[derive(Debug)]
pub struct Target {
    pub(super) reach: Reach,
    /// Where the functions of a project are.
    pub(super) project: Option<Arc<Origin>>,
    /// What has a URL of its own.
    pub(super) functions: BTreeMap<String, Arc<Origin>>,
    pub(super) audience: Option<String>,
    /// None where no token is sent.
    pub(super) identity: Option<Identity>,
    /// What is listed; none without a project.
    pub(super) listing: Option<Listing>,
}

/// Who the gateway is.
#[derive(Debug)]
pub(super) struct Identity {
    /// The key; none for the service account of the machine.
    pub(super) key: Option<Secret>,
    pub(super) impersonate: Option<Impersonated>,
}

/// In whose name tokens are asked for, and where.
#[derive(Debug)]
pub(super) struct Impersonated {
    pub(super) account: String,
    pub(super) origin: Arc<Origin>,
}

impl Target {
    /// Checks what is written. Opens nothing.
    ///
    /// # Errors
    /// Each thing that is wrong: the field's path below the upstream, and what to write.
    pub fn build(_name: &Name, written: Written) -> Result<Self, Vec<(String, String)>> {
        let mut wrong = Wrong::new();
        let listing = listing(&written, &mut wrong);
        let reach = Reach::new(written.tls, written.connect_timeout);
        let project = project(&reach, written.project, written.region, &mut wrong);
        let mut functions = BTreeMap::new();
        for (name, url) in written.functions.unwrap_or_default() {
            let field = format!("functions.{name}");
            if !is_function(&name) {
                wrong.push((field.clone(), "is no name of a function".to_owned()));
            }
            let Some(origin) = reach.origin(&field, &url, &mut wrong) else { continue };
            let open = origin.is_open() && written.allow_plaintext_credentials != Some(true);
            if open && written.auth.is_none() {
                let what = "is not https, so that the token could be read on the way; write https, \
                            or allow_plaintext_credentials: true, or auth: none";
                wrong.push((field, what.to_owned()));
            }
            functions.insert(name, origin);
        }
        let origins: Vec<_> = project.iter().chain(functions.values()).cloned().collect();
        reach.check(&origins, &mut wrong);
        if origins.is_empty() && wrong.is_empty() {
            let what = "is missing; write it with `region`, or URLs in `functions`";
            wrong.push(("project".to_owned(), what.to_owned()));
        }
        if written.audience.as_ref().is_some_and(String::is_empty) {
            let what = "is empty; write the audience that the functions ask for, or leave it out";
            wrong.push(("audience".to_owned(), what.to_owned()));
        }
        let identity = identity(
            written.auth,
            written.credentials,
            written.impersonate,
            written.audience.is_some(),
            &mut wrong,
        );
        let audience = written.audience;
        if wrong.is_empty() {
            Ok(Self { reach, project, functions, audience, identity, listing })
        } else {
            Err(wrong)
        }
    }

    /// Whether a function part is the name of a function that can be reached.
    pub(crate) fn names(&self, template: &Template) -> Result<(), (String, String)> {
        let name = with_stand_ins(template);
        if !is_function(&name) {
            let message = match name.is_empty() {
                true => "has no function".to_owned(),
                false => format!("`{template}` is no name of a function"),
            };
            return Err((message, "write UPSTREAM/NAME: letters, digits, - and _".to_owned()));
        }
        let known = self.project.is_some() || self.functions.contains_key(&name);
        if template.literal().is_none() || known {
            return Ok(());
        }
        let remedy = "write its URL in `functions`, or `project` and `region`";
        Err((format!("there is no URL of the function `{name}`"), remedy.to_owned()))
    }

    /// The name by which a URL is written in `functions`.
    pub(super) fn named(&self, url: &str) -> Option<&str> {
        let url = url.trim_end_matches('/');
        let mut all = self.functions.iter();
        all.find(|(_, origin)| origin.url() == url).map(|(name, _)| name.as_str())
    }

    /// For whom a token is minted that this function takes.
    pub(super) fn audience_of(&self, function: &str) -> Option<String> {
        if let Some(audience) = &self.audience {
            return Some(audience.clone());
        }
        match (self.functions.get(function), &self.project) {
            (Some(origin), _) => Some(origin.url()),
            (None, Some(origin)) => Some(format!("{}/{function}", origin.url())),
            (None, None) => None,
        }
    }
}

fn listing(written: &Written, wrong: &mut Wrong) -> Option<Listing> {
    let endpoint = match written.endpoint.as_deref().map(|url| Origin::parse(url, None)) {
        None => None,
        Some(Ok(origin)) if origin.is_open() => {
            let what = "is not https, so that the token could be read on the way; write https";
            wrong.push(("endpoint".to_owned(), what.to_owned()));
            None
        }
        Some(Ok(origin)) => Some(Arc::new(origin)),
        Some(Err(what)) => {
            wrong.push(("endpoint".to_owned(), what));
            None
        }
    };
    let (Some(project), Some(region)) = (&written.project, &written.region) else {
        if written.endpoint.is_some() {
            let what = "has no use without `project` and `region`, whose functions are listed";
            wrong.push(("endpoint".to_owned(), what.to_owned()));
        }
        return None;
    };
    Some(Listing { project: project.clone(), region: region.clone(), endpoint })
}

fn project(
    reach: &Reach,
    project: Option<String>,
    region: Option<String>,
    wrong: &mut Wrong,
) -> Option<Arc<Origin>> {
    let mut say = |field: &str, what: &str| wrong.push((field.to_owned(), what.to_owned()));
    match (project, region) {
        (None, None) => None,
        (Some(_), None) => {
            say("region", "is missing beside `project`; write one such as europe-west1");
            None
        }
        (None, Some(_)) => {
            say("project", "is missing beside `region`");
            None
        }
        (Some(project), Some(region)) => {
            let (good_project, good_region) = (is_label(&project), is_label(&region));
            if !good_project {
                say("project", "is no id of a project; write lower-case letters, digits and -");
            }
            if !good_region {
                say("region", "is no region; write one such as europe-west1");
            }
            let url = format!("https://{region}-{project}.cloudfunctions.net");
            if good_project && good_region { reach.origin("project", &url, wrong) } else { None }
        }
    }
}

fn identity(
    auth: Option<Auth>,
    credentials: Option<Credentials>,
    impersonate: Option<Impersonate>,
    audience: bool,
    wrong: &mut Wrong,
) -> Option<Identity> {
    if auth.is_some() {
        let written = [
            ("credentials", credentials.is_some()),
            ("impersonate", impersonate.is_some()),
            ("audience", audience),
        ];
        for (field, _) in written.iter().filter(|(_, written)| *written) {
            let what = "has no use beside `auth: none`; leave one of them out";
            wrong.push(((*field).to_owned(), what.to_owned()));
        }
        return None;
    }
    let key = match credentials {
        None | Some(Credentials::Machine(Machine::Metadata)) => None,
        Some(Credentials::Key(secret)) => Some(secret),
    };
    let (account, url) = match impersonate {
        None => return Some(Identity { key, impersonate: None }),
        Some(Impersonate::Account(account)) => (account, None),
        Some(Impersonate::At { account, url }) => (account, Some(url)),
    };
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'@' | b'_');
    if !account.contains('@') || !account.bytes().all(fits) {
        let what = "is no service account; write its address, NAME@PROJECT.iam.gserviceaccount.com";
        wrong.push(("impersonate".to_owned(), what.to_owned()));
    }
    let url = url.as_deref().unwrap_or("https://iamcredentials.googleapis.com");
    match Origin::parse(url, None) {
        Ok(origin) if origin.is_open() => {
            let what = "is not https, so that the token could be read on the way; write https";
            wrong.push(("impersonate.url".to_owned(), what.to_owned()));
            None
        }
        Ok(origin) => {
            let impersonate = Some(Impersonated { account, origin: Arc::new(origin) });
            Some(Identity { key, impersonate })
        }
        Err(what) => {
            wrong.push(("impersonate.url".to_owned(), what));
            None
        }
    }
}

/// Whether a text is the name of a function or of a service: a letter, then letters, digits, `-` and
/// `_`, at most 63 in all.
pub(super) fn is_function(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(inner)
}
