//! What a configuration says of Lambda, and what it becomes once it is checked.

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use schemas::{Name, Secret, Template, units::Span};
use serde::{Deserialize, Serialize};

use super::{function::Function, keys::Keyring, provider::Source};
use crate::{
    client::{CONNECT_TIMEOUT, Origin},
    platform::with_stand_ins,
};

/// A Lambda upstream as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The region that the functions are in, such as `eu-west-1`.
    pub region: String,
    /// The URL of an emulator or of an interface endpoint. Default: the region's own.
    pub endpoint: Option<String>,
    /// The profile in the files of the AWS tools. Default: `AWS_PROFILE`, or `default`.
    pub profile: Option<String>,
    /// The role to assume.
    pub role: Option<Role>,
    /// The keys themselves. Default: environment, profile, web identity, container, instance, in the
    /// order of every AWS tool.
    pub credentials: Option<Keypair>,
    /// Whether answers are streamed as the functions write them. Default: they come whole.
    pub streaming: Option<bool>,
    /// How long connecting may take. Default 5s.
    pub connect_timeout: Option<Span>,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// What its trust policy asks for, where it does.
    pub external_id: Option<String>,
}

/// An access key, by reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keypair {
    /// The access key's id.
    pub access_key: Secret,
    /// Its secret.
    pub secret_key: Secret,
    /// The session token of temporary keys.
    pub session_token: Option<Secret>,
}

/// A Lambda upstream, checked.
#[derive(Debug)]
pub struct Target {
    pub(super) region: String,
    pub(super) origin: Arc<Origin>,
    /// Whether the endpoint was written.
    pub(super) endpoint: Option<String>,
    pub(super) streaming: bool,
    pub(super) connect_timeout: Duration,
    pub(super) keyring: Arc<Keyring>,
}

impl Target {
    /// Checks what is written. Opens nothing.
    ///
    /// # Errors
    /// Each thing that is wrong: the field's path below the upstream, and what to write.
    pub fn build(_name: &Name, written: Written) -> Result<Self, Vec<(String, String)>> {
        let Written { region, endpoint, profile, role, credentials, streaming, connect_timeout } =
            written;
        let mut wrong = Vec::new();
        let mut say = |path: &str, what: &str| wrong.push((path.to_owned(), what.to_owned()));
        let region_fits = is_region(&region);
        if !region_fits {
            say("region", "is no region; write one such as eu-west-1");
        }
        if profile.is_some() && credentials.is_some() {
            say("profile", "stands beside `credentials`; write one of the two");
        }
        if profile.as_deref() == Some("") {
            say("profile", "is empty; write a name, or leave it out");
        }
        if let Some(role) = &role {
            let parts: Vec<&str> = role.arn.splitn(6, ':').collect();
            if !matches!(parts[..], ["arn", _, "iam", _, _, name] if name.starts_with("role/")) {
                say("role.arn", "is no role; write arn:aws:iam::ACCOUNT:role/NAME");
            }
        }
        let connect_timeout = connect_timeout.map_or(CONNECT_TIMEOUT, |span| span.0);
        if connect_timeout.is_zero() {
            say("connect_timeout", "is no time at all; write one such as 5s");
        }
        let url = endpoint.clone().unwrap_or_else(|| of_region(&region));
        let origin = match Origin::parse(&url, None) {
            Ok(origin) => Some(origin),
            Err(what) if endpoint.is_some() => {
                say("endpoint", &what);
                None
            }
            // The region has been spoken of.
            Err(_) => None,
        };
        let (Some(origin), true) = (origin, wrong.is_empty()) else { return Err(wrong) };
        let source = Source { region: region.clone(), keys: credentials, profile, role };
        Ok(Self {
            region,
            origin: Arc::new(origin),
            endpoint,
            streaming: streaming == Some(true),
            connect_timeout,
            keyring: Arc::new(Keyring::new(source)),
        })
    }

    /// Whether a function part is a name, a name with a qualifier, or an ARN.
    pub(crate) fn names(function: &Template) -> Result<(), (String, String)> {
        if Function::parse(&with_stand_ins(function)).is_some() {
            return Ok(());
        }
        let message = match function.is_empty() {
            true => "has no function".to_owned(),
            false => format!("`{function}` is no name of a function"),
        };
        Err((message, "write UPSTREAM/name, UPSTREAM/name:qualifier or an ARN".to_owned()))
    }
}

/// Whether a text can be a region's name, and so a part of a host's.
fn is_region(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 40
        && text.contains('-')
        && text.bytes().all(good)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The region's own endpoint.
fn of_region(region: &str) -> String {
    let domain = match region {
        region if region.starts_with("cn-") => "amazonaws.com.cn",
        region if region.starts_with("eusc-") => "amazonaws.eu",
        region if region.starts_with("us-iso-") => "c2s.ic.gov",
        region if region.starts_with("us-isob-") => "sc2s.sgov.gov",
        _ => "amazonaws.com",
    };
    format!("https://lambda.{region}.{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(written: Written) -> Result<Target, Vec<(String, String)>> {
        Target::build(&"aws".parse().unwrap(), written)
    }

    fn url(region: &str) -> String {
        build(Written { region: region.into(), ..Written::default() }).unwrap().origin.url()
    }

    #[test]
    fn a_region_has_an_endpoint_and_another_may_be_written() {
        assert_eq!(url("eu-west-1"), "https://lambda.eu-west-1.amazonaws.com");
        assert_eq!(url("cn-north-1"), "https://lambda.cn-north-1.amazonaws.com.cn");
        let endpoint = Some("http://127.0.0.1:9001/".to_owned());
        let local = build(Written { region: "x-1".into(), endpoint, ..Written::default() });
        assert_eq!(local.unwrap().origin.url(), "http://127.0.0.1:9001");
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let secret = || Secret::Env("X".into());
        let wrong = build(Written {
            region: "Ireland".into(),
            endpoint: Some("lambda".into()),
            profile: Some(String::new()),
            role: Some(Role { arn: "admin".into(), external_id: None }),
            credentials: Some(Keypair {
                access_key: secret(),
                secret_key: secret(),
                session_token: None,
            }),
            connect_timeout: Some(Span(Duration::ZERO)),
            streaming: None,
        })
        .unwrap_err();
        let fields: Vec<&str> = wrong.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(
            fields,
            ["region", "profile", "profile", "role.arn", "connect_timeout", "endpoint"]
        );
    }
}
