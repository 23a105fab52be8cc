//! An Azure function app as it is written, and checked.

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use schemas::{Class, Fault, Name, Secret, Template, units::Span};
use serde::{Deserialize, Serialize};

use super::entra::{Entra, Identity};
use crate::{
    Tools,
    client::{Client, Origin},
    platform::{Reach, Wrong, is_label, with_stand_ins},
    tls::Tls,
};

/// An Azure function app as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The name of the function app: it is at `https://NAME.azurewebsites.net`.
    pub app: Option<String>,
    /// The URL of the function app, instead of `app`.
    pub url: Option<String>,
    /// The host key, which opens every function that asks for a key.
    pub key: Option<Secret>,
    /// Keys of single functions, by the function's name. They win over `key`.
    pub keys: Option<BTreeMap<String, Secret>>,
    /// The master key, by which the functions are listed, and started where a route says
    /// `ack: published`. It opens no other calls.
    pub master_key: Option<Secret>,
    /// The token of Entra ID that the front of the app asks for, in place of a key or beside it.
    pub entra: Option<Entra>,
    /// What stands in front of a function's route. Default `api`; empty for nothing.
    pub route_prefix: Option<String>,
    /// Waits for the orchestration that a durable function's starter has started, and answers with
    /// what it came to. Default `false`.
    pub follow: Option<bool>,
    /// TLS settings for an `https` URL.
    pub tls: Option<Tls>,
    /// How long connecting may take. Default 5s.
    pub connect_timeout: Option<Span>,
    /// Lets a key go over plain text to an address that is not loopback.
    pub allow_plaintext_credentials: Option<bool>,
}

/// An Azure function app, checked.
#[derive(Debug)]
pub struct Target {
    pub(super) origin: Arc<Origin>,
    pub(super) reach: Reach,
    pub(super) key: Option<Secret>,
    /// By the function's name in lower case: the host knows no case in names.
    pub(super) keys: BTreeMap<String, Secret>,
    pub(super) master_key: Option<Secret>,
    pub(super) entra: Option<Identity>,
    pub(super) follow: bool,
    /// With a slash at either end.
    prefix: String,
}

impl Target {
    /// Checks what is written. Opens nothing.
    ///
    /// # Errors
    /// Each thing that is wrong: the field's path below the upstream, and what to write.
    pub fn build(_name: &Name, written: Written) -> Result<Self, Vec<(String, String)>> {
        let mut wrong = Wrong::new();
        let mut say = |path: &str, what: &str| wrong.push((path.to_owned(), what.to_owned()));
        let (field, url) = match (written.app, written.url) {
            (Some(_), Some(_)) => {
                say("url", "stands beside `app`; write one of the two");
                ("url", None)
            }
            (Some(app), None) => {
                if !is_label(&app) {
                    say("app", "is no name of an app; write lower-case letters, digits and -");
                }
                ("app", is_label(&app).then(|| format!("https://{app}.azurewebsites.net")))
            }
            (None, Some(url)) => ("url", Some(url)),
            (None, None) => {
                say("app", "is missing; write the function app's name, or `url`");
                ("app", None)
            }
        };
        let route_prefix = written.route_prefix.as_deref().unwrap_or("api");
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
        let steps = route_prefix.split('/').any(|step| matches!(step, "" | "." | ".."));
        if !route_prefix.is_empty() && (steps || !route_prefix.bytes().all(plain)) {
            say("route_prefix", "is no path; write it as host.json has it, such as api/v1");
        }
        let mut keys = BTreeMap::new();
        for (function, secret) in written.keys.unwrap_or_default() {
            let field = format!("keys.{function}");
            if !is_function(&function) {
                say(&field, "is no name of a function");
            }
            if keys.insert(function.to_ascii_lowercase(), secret).is_some() {
                say(&field, "is there in other case too, which the host does not tell apart");
            }
        }
        let reach = Reach::new(written.tls, written.connect_timeout);
        let origin = url.and_then(|url| reach.origin(field, &url, &mut wrong));
        reach.check(origin.as_slice(), &mut wrong);
        if let Some(origin) = &origin {
            let secrets = [
                ("key", written.key.is_some()),
                ("keys", !keys.is_empty()),
                ("master_key", written.master_key.is_some()),
                ("entra", written.entra.is_some()),
            ];
            for (field, _) in secrets.iter().filter(|(_, written)| *written) {
                Reach::keeps(origin, field, written.allow_plaintext_credentials, &mut wrong);
            }
        }
        let entra = written.entra.map(|entra| Identity::check(entra, &mut wrong));
        let prefix = match route_prefix {
            "" => "/".to_owned(),
            prefix => format!("/{prefix}/"),
        };
        let (key, master_key) = (written.key, written.master_key);
        match origin {
            Some(origin) if wrong.is_empty() => {
                let follow = written.follow == Some(true);
                Ok(Self { origin, reach, key, keys, master_key, entra, follow, prefix })
            }
            _ => Err(wrong),
        }
    }

    /// Whether a function part is the name of a function.
    pub(crate) fn names(function: &Template) -> Result<(), (String, String)> {
        if is_function(&with_stand_ins(function)) {
            return Ok(());
        }
        let message = match function.is_empty() {
            true => "has no function".to_owned(),
            false => format!("`{function}` is no name of a function"),
        };
        Err((message, "write UPSTREAM/NAME: letters, digits, - and _".to_owned()))
    }

    /// The function's own path.
    pub(super) fn path(&self, function: &str) -> Result<String, Fault> {
        if !is_function(function) {
            let what = "an Azure function is named by letters, digits, - and _";
            return Err(Fault::new(Class::FunctionNotDeployed, what));
        }
        Ok([&self.prefix, function].concat())
    }

    /// Whether its functions can be started without an answer that is waited for.
    pub(crate) fn starts(&self) -> bool {
        self.master_key.is_some()
    }

    pub(super) fn client(&self, tools: &Tools) -> Client {
        self.reach.client(std::slice::from_ref(&self.origin), tools)
    }
}

/// Whether a text is the name of a function: a letter, then letters, digits, `-` and `_`, at most
/// 128 in all.
fn is_function(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(inner)
}
