//! Where credentials come from: what the configuration names, or the places that every tool of AWS
//! looks in, by the SDK's own chain; then a role, if one is to be assumed.

use std::io;

use aws_config::{
    BehaviorVersion, Region, default_provider::credentials::DefaultCredentialsChain,
    sts::AssumeRoleProvider,
};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, error::CredentialsError},
};
use schemas::{Reveal, Secret, secret::NoSecret};

use super::config::{Keypair, Role};

/// What an assumed role's sessions are called in the platform's logs.
const SESSION: &str = "gusset";

/// Where to look.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) region: String,
    /// Keys that the configuration names, instead of the chain.
    pub(super) keys: Option<Keypair>,
    /// The profile in the files of the AWS tools.
    pub(super) profile: Option<String>,
    /// The role to assume with what was found.
    pub(super) role: Option<Role>,
}

/// Why there are no credentials. Names places, never what was found there.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoCredentials {
    #[error("`credentials.{field}` cannot be read")]
    Secret {
        field: &'static str,
        #[source]
        cause: NoSecret,
    },
    #[error("no place that AWS credentials are looked for in has any")]
    Chain(#[source] CredentialsError),
    #[error("the role {role} cannot be assumed")]
    Role {
        role: String,
        #[source]
        cause: CredentialsError,
    },
    #[error("the search for credentials took too long")]
    Slow,
    #[error("nothing can be searched for")]
    Stopped(#[source] io::Error),
}

impl Source {
    /// Looks once, and anew: the chain remembers files that have changed meanwhile.
    pub(super) async fn find(&self, secrets: &dyn Reveal) -> Result<Credentials, NoCredentials> {
        let base = match &self.keys {
            Some(keys) => named(keys, secrets)?,
            None => self.chain().await?,
        };
        let Some(Role { arn, external_id }) = &self.role else { return Ok(base) };
        let region = Region::new(self.region.clone());
        let mut config = aws_config::defaults(BehaviorVersion::latest())
            .region(region.clone())
            .credentials_provider(base.clone());
        if let Some(profile) = &self.profile {
            config = config.profile_name(profile);
        }
        let mut provider = AssumeRoleProvider::builder(arn)
            .session_name(SESSION)
            .region(region)
            .configure(&config.load().await);
        if let Some(id) = external_id {
            provider = provider.external_id(id);
        }
        let provider = provider.build_from_provider(base).await;
        let found = provider.provide_credentials().await;
        found.map_err(|cause| NoCredentials::Role { role: arn.clone(), cause })
    }

    async fn chain(&self) -> Result<Credentials, NoCredentials> {
        let mut chain = DefaultCredentialsChain::builder().region(Region::new(self.region.clone()));
        if let Some(profile) = &self.profile {
            chain = chain.profile_name(profile);
        }
        chain.build().await.provide_credentials().await.map_err(NoCredentials::Chain)
    }
}

fn named(keys: &Keypair, secrets: &dyn Reveal) -> Result<Credentials, NoCredentials> {
    let read = |field, secret: &Secret| {
        let revealed = secrets.reveal(secret);
        revealed.map_err(|cause| NoCredentials::Secret { field, cause })
    };
    let token =
        keys.session_token.as_ref().map(|token| read("session_token", token)).transpose()?;
    Ok(Credentials::new(
        read("access_key", &keys.access_key)?.expose(),
        read("secret_key", &keys.secret_key)?.expose(),
        token.map(|token| token.expose().to_owned()),
        None,
        "configuration",
    ))
}
