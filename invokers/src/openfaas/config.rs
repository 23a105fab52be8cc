//! An OpenFaaS upstream as it is written, and checked.

use std::{borrow::Cow, sync::Arc};

use http::HeaderValue;
use schemars::JsonSchema;
use schemas::{Class, Fault, Name, Secret, Template, units::Span};
use serde::{Deserialize, Serialize};

use crate::{
    Tools,
    client::{Client, Origin},
    platform::{Reach, Wrong, is_label},
    tls::Tls,
};

/// An OpenFaaS upstream as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The URL of the OpenFaaS gateway.
    pub url: String,
    /// Who asks for the list of functions; with `password`. Calls of functions need nobody.
    pub username: Option<String>,
    /// The password of `username`.
    pub password: Option<Secret>,
    /// The namespace of a function that is named without one. Default: the platform's own.
    pub namespace: Option<String>,
    /// Who is told what an asynchronous call came to. Default: nobody.
    pub callback: Option<Callback>,
    /// TLS settings for an `https` URL.
    pub tls: Option<Tls>,
    /// How long connecting may take. Default 5s.
    pub connect_timeout: Option<Span>,
    /// Lets the password go over plain text to an address that is not loopback.
    pub allow_plaintext_credentials: Option<bool>,
}

/// Where a worker sends what a function answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Callback {
    /// The URL that the worker posts to: a route of this gateway, as the worker can reach it.
    pub url: String,
}

/// An OpenFaaS upstream, checked.
#[derive(Debug)]
pub struct Target {
    pub(super) origin: Arc<Origin>,
    pub(super) reach: Reach,
    pub(super) operator: Option<(String, Secret)>,
    pub(super) namespace: Option<String>,
    pub(super) callback: Option<HeaderValue>,
}

impl Target {
    /// Checks what is written. Opens nothing.
    ///
    /// # Errors
    /// Each thing that is wrong: the field's path below the upstream, and what to write.
    pub fn build(_name: &Name, written: Written) -> Result<Self, Vec<(String, String)>> {
        let mut wrong = Wrong::new();
        let mut say = |path: &str, what: &str| wrong.push((path.to_owned(), what.to_owned()));
        let operator = match (written.username, written.password) {
            (Some(username), Some(password)) => Some((username, password)),
            (Some(_), None) => {
                say("password", "is missing beside username");
                None
            }
            (None, Some(_)) => {
                say("username", "is missing beside password");
                None
            }
            (None, None) => None,
        };
        if operator.as_ref().is_some_and(|(username, _)| username.contains(':')) {
            say("username", "has a colon, which ends it on the wire; write it without");
        }
        if written.namespace.as_deref().is_some_and(|namespace| !is_label(namespace)) {
            say("namespace", "is no namespace; write lower-case letters, digits and -");
        }
        let callback = written.callback.and_then(|callback| {
            // Read as an endpoint's is, for the same reasons: it holds no user and no fragment.
            if let Err(what) = Origin::parse(callback.url.split('?').next().unwrap_or(""), None) {
                say("callback.url", &what);
            }
            HeaderValue::try_from(callback.url).ok()
        });
        let reach = Reach::new(written.tls, written.connect_timeout);
        let origin = reach.origin("url", &written.url, &mut wrong);
        reach.check(origin.as_slice(), &mut wrong);
        if let (Some(origin), Some(_)) = (&origin, &operator) {
            Reach::keeps(origin, "password", written.allow_plaintext_credentials, &mut wrong);
        }
        match origin {
            Some(origin) if wrong.is_empty() => {
                Ok(Self { origin, reach, operator, namespace: written.namespace, callback })
            }
            _ => Err(wrong),
        }
    }

    /// Whether a function part is a name with an optional namespace.
    pub(crate) fn names(function: &Template) -> Result<(), (String, String)> {
        let text = crate::platform::with_stand_ins(function);
        if is_function(&text) {
            return Ok(());
        }
        let message = match text.is_empty() {
            true => "has no function".to_owned(),
            false => format!("`{function}` is no name of a function"),
        };
        Err((message, "write UPSTREAM/name or UPSTREAM/name.namespace".to_owned()))
    }

    /// The function's name with its namespace, if it has one.
    pub(super) fn whole_name<'f>(&self, function: &'f str) -> Result<Cow<'f, str>, Fault> {
        if !is_function(function) {
            let what = "an OpenFaaS function is named name or name.namespace";
            return Err(Fault::new(Class::FunctionNotDeployed, what));
        }
        Ok(match &self.namespace {
            Some(namespace) if !function.contains('.') => format!("{function}.{namespace}").into(),
            Some(_) | None => function.into(),
        })
    }

    pub(super) fn client(&self, tools: &Tools) -> Client {
        self.reach.client(std::slice::from_ref(&self.origin), tools)
    }
}

/// Whether a text is `name` or `name.namespace`.
fn is_function(text: &str) -> bool {
    match text.split_once('.') {
        Some((name, namespace)) => is_label(name) && is_label(namespace),
        None => is_label(text),
    }
}
