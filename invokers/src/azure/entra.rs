//! Tokens of Entra ID, which the front of a function app may ask for (App Service authentication). They
//! are asked for by `azure_identity`, over the gateway's own connections.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use azure_core::{
    cloud::CloudConfiguration,
    credentials::TokenCredential,
    http::{ClientMethodOptions, ClientOptions, RetryOptions, Transport},
    time::OffsetDateTime,
};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId,
};
use futures_util::future::LocalBoxFuture;
use http::HeaderValue;
use schemars::JsonSchema;
use schemas::{Class, Fault, Revealed, Secret};
use serde::{Deserialize, Serialize};

use super::transport::{Last, Sender};
use crate::{
    Tools,
    client::Origin,
    platform::{Mint, Minted, Wrong},
};

/// Where tokens come from in the public cloud, unless `AZURE_AUTHORITY_HOST` names another place.
const AUTHORITY: &str = "https://login.microsoftonline.com";
/// How long a token is believed to be good that has ended by the gateway's own clock.
const AT_LEAST: Duration = Duration::from_secs(30);
/// Letters of a refusal that the log gets.
const REASON_MAX: usize = 300;

/// Who the gateway is to Entra ID, and for what it asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entra {
    /// What a token is for: the app's own registration, as in `api://CLIENT-ID/.default`.
    pub scope: String,
    /// The tenant of the gateway's own registration. Default: `AZURE_TENANT_ID`.
    pub tenant: Option<String>,
    /// The gateway's own registration, or the managed identity that is meant where there are several.
    /// Default: `AZURE_CLIENT_ID`.
    pub client_id: Option<String>,
    /// The secret of the registration. Default: `AZURE_CLIENT_SECRET`.
    pub client_secret: Option<Secret>,
    /// A token of somebody whom the registration trusts, in place of its secret. Default: the file
    /// that `AZURE_FEDERATED_TOKEN_FILE` names, as workload identity does on Kubernetes.
    pub assertion: Option<Secret>,
    /// Where tokens are asked for. Default: `AZURE_AUTHORITY_HOST`, else the public cloud.
    pub authority: Option<String>,
}

/// The same, checked.
#[derive(Debug)]
pub(super) struct Identity {
    scope: String,
    tenant: Option<String>,
    client_id: Option<String>,
    proof: Option<Proof>,
    authority: Option<Arc<Origin>>,
}

/// What shows that the gateway is its registration.
#[derive(Clone, Debug)]
enum Proof {
    Secret(Secret),
    Assertion(Secret),
}

impl Identity {
    /// Checks what is written.
    pub(super) fn check(written: Entra, wrong: &mut Wrong) -> Self {
        let mut say =
            |field: &str, what: &str| wrong.push((format!("entra.{field}"), what.to_owned()));
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-:/".contains(c);
        if !written.scope.ends_with("/.default") || !written.scope.chars().all(plain) {
            say("scope", "is no scope of an app; write one such as api://CLIENT-ID/.default");
        }
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        for (field, value) in [("tenant", &written.tenant), ("client_id", &written.client_id)] {
            if value.as_ref().is_some_and(|value| value.is_empty() || !value.chars().all(named)) {
                say(field, "is no id; write it as the portal shows it");
            }
        }
        let proof = match (written.client_secret, written.assertion) {
            (Some(_), Some(_)) => {
                say("assertion", "stands beside `client_secret`; write one of the two");
                None
            }
            (Some(secret), None) => Some(Proof::Secret(secret)),
            (None, assertion) => assertion.map(Proof::Assertion),
        };
        let authority = written.authority.and_then(|url| match Origin::parse(&url, None) {
            Ok(origin) if origin.is_open() => {
                say(
                    "authority",
                    "is not https, so that a secret could be read on the way; write https",
                );
                None
            }
            Ok(origin) => Some(Arc::new(origin)),
            Err(what) => {
                say("authority", &what);
                None
            }
        });
        let Entra { scope, tenant, client_id, .. } = written;
        Self { scope, tenant, client_id, proof, authority }
    }
}

/// Mints tokens for the app.
pub(super) struct Minter {
    pub(super) target: Arc<super::Target>,
    pub(super) tools: Tools,
}

impl Mint for Minter {
    fn mint(&self, deadline: Instant) -> LocalBoxFuture<'_, Result<Minted, Fault>> {
        Box::pin(async move {
            let Some(identity) = &self.target.entra else {
                return Err(refused("no token is to be had without `entra`"));
            };
            // One that is new each time: it would keep its token for itself, and hand it out again
            // when it was refused.
            let sender = Sender::new(self.tools.clone(), deadline);
            let last = sender.last();
            let credential = self.credential(identity, sender)?;
            let scopes = [identity.scope.as_str()];
            let asked = credential.get_token(&scopes, None);
            let token = tokio::time::timeout_at(deadline.into(), asked).await;
            let token = token
                .map_err(|_| Fault::new(Class::Timeout, "no token is minted in time"))?
                .map_err(|error| told(last.get(), &error))?;
            let value = HeaderValue::try_from(format!("Bearer {}", token.token.secret()));
            let value = value.map_err(|_| refused("what was minted fits no header"))?;
            let left = token.expires_on - OffsetDateTime::now_utc();
            let left = Duration::try_from(left).ok().filter(|left| !left.is_zero());
            let good_for = left.unwrap_or(AT_LEAST);
            Ok(Minted { value, good_for })
        })
    }
}

impl Minter {
    /// Who asks: what is written, else what the environment says, else the machine.
    fn credential(
        &self,
        identity: &Identity,
        sender: Sender,
    ) -> Result<Arc<dyn TokenCredential>, Fault> {
        let id = |written: &Option<String>, name: &str| {
            let read = || self.variable(name).map(|value| value.expose().to_owned());
            written.clone().or_else(read)
        };
        let client_id = id(&identity.client_id, "AZURE_CLIENT_ID");
        let proof = identity.proof.clone().or_else(|| self.proof());
        let Some(proof) = proof else {
            let options = ManagedIdentityCredentialOptions {
                user_assigned_id: client_id.map(UserAssignedId::ClientId),
                client_options: options(sender),
            };
            let machine = ManagedIdentityCredential::new(Some(options));
            return Ok(machine.map_err(|error| unusable(&error))?);
        };
        let tenant = id(&identity.tenant, "AZURE_TENANT_ID");
        let tenant = tenant.ok_or_else(|| refused("`entra` names no tenant"))?;
        let client_id = client_id.ok_or_else(|| refused("`entra` names no client_id"))?;
        let client_options = options(sender.to(self.authority(identity)?));
        let reveal = |secret: &Secret| {
            let had = self.tools.secrets.reveal(secret);
            had.map_err(|cause| refused("the secret for Entra ID cannot be had").because(cause))
        };
        Ok(match proof {
            Proof::Secret(secret) => {
                let secret = reveal(&secret)?.expose().to_owned();
                let options = Some(ClientSecretCredentialOptions { client_options });
                ClientSecretCredential::new(&tenant, client_id, secret.into(), options)
                    .map_err(|error| unusable(&error))?
            }
            Proof::Assertion(secret) => {
                let assertion = Assertion(reveal(&secret)?);
                let options = Some(ClientAssertionCredentialOptions { client_options });
                ClientAssertionCredential::new(tenant, client_id, assertion, options)
                    .map_err(|error| unusable(&error))?
            }
        })
    }

    /// What the environment has to show, in the order in which Azure's own tools look at it.
    fn proof(&self) -> Option<Proof> {
        const SECRET: &str = "AZURE_CLIENT_SECRET";
        if self.variable(SECRET).is_some() {
            return Some(Proof::Secret(Secret::Env(SECRET.to_owned())));
        }
        let file = self.variable("AZURE_FEDERATED_TOKEN_FILE")?;
        Some(Proof::Assertion(Secret::File(file.expose().into())))
    }

    fn authority(&self, identity: &Identity) -> Result<Arc<Origin>, Fault> {
        if let Some(authority) = &identity.authority {
            return Ok(Arc::clone(authority));
        }
        let named = self.variable("AZURE_AUTHORITY_HOST");
        let url = named.as_ref().map_or(AUTHORITY, Revealed::expose);
        let origin = Origin::parse(url, None).ok().filter(|origin| !origin.is_open());
        let origin = origin.ok_or_else(|| refused("AZURE_AUTHORITY_HOST is no URL with https"))?;
        Ok(Arc::new(origin))
    }

    fn variable(&self, name: &str) -> Option<Revealed> {
        let value = self.tools.secrets.reveal(&Secret::Env(name.to_owned())).ok();
        value.filter(|value| !value.expose().is_empty())
    }
}

/// What the registration trusts.
struct Assertion(Revealed);

#[async_trait::async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.expose().to_owned())
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Assertion")
    }
}

/// Once, over our own connections, and with nothing read from the environment.
fn options(sender: Sender) -> ClientOptions {
    ClientOptions {
        retry: RetryOptions::none(),
        transport: Some(Transport::new(Arc::new(sender))),
        cloud: Some(Arc::new(CloudConfiguration::AzurePublic)),
        ..ClientOptions::default()
    }
}

/// The fault that it is to have no token. Whatever has become of the question, no function has run.
fn told(last: Option<Last>, error: &azure_core::Error) -> Fault {
    let fault = match last {
        Some(Last::Unanswered(class)) => {
            Fault::new(class, "nobody is there who would mint a token for the function app")
        }
        Some(Last::Answered(status)) if status >= 500 || status == 429 => {
            Fault::new(Class::Unavailable, "no token for the function app is minted now")
        }
        Some(Last::Answered(_)) | None => {
            refused("the gateway is given no token for the function app")
        }
    };
    fault.because(reason(error))
}

fn unusable(error: &azure_core::Error) -> Fault {
    refused("`entra` cannot be used").because(reason(error))
}

/// The first line of what is wrong, for the log.
fn reason(error: &azure_core::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().chars().take(REASON_MAX).collect()
}

fn refused(what: &'static str) -> Fault {
    Fault::new(Class::UpstreamAuth, what)
}
