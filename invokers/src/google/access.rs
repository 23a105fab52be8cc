//! Who says who the gateway is to Google Cloud: the metadata server, the token endpoint of service
//! accounts, and the IAM Credentials API.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use schemas::{Class, Fault, Secret};
use serde::Deserialize;
use serde_json::json;

use super::{
    config::{Identity, Impersonated},
    key::Key,
};
use crate::{
    Tools,
    client::{CONNECT_TIMEOUT, Client, Origin},
    platform::{Ask, Told, ask},
};

/// The variable by which every library of Google's finds another metadata server.
const METADATA_HOST: &str = "GCE_METADATA_HOST";
const METADATA: &str = "metadata.google.internal";
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");

/// What an access token is to be good for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// A clock that is further off than this is not asked again.
const SKEW: Duration = Duration::from_mins(1);

/// Asks them, each time over a connection of its own: there is one question in an hour.
pub(super) struct Access {
    pub(super) tools: Tools,
}

/// What the token endpoint answers.
#[derive(Deserialize)]
pub(super) struct Exchanged {
    #[serde(default)]
    pub(super) id_token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

impl Access {
    /// An access token, by which APIs of Google Cloud are asked.
    pub(super) async fn token(
        &self,
        identity: &Identity,
        deadline: Instant,
    ) -> Result<String, Fault> {
        #[derive(Deserialize)]
        struct Generated {
            #[serde(rename = "accessToken")]
            token: String,
        }
        let Some(account) = &identity.impersonate else {
            return self.own_token(identity.key.as_ref(), deadline).await;
        };
        let asked = json!({ "scope": [SCOPE] });
        let told =
            self.generate(account, identity.key.as_ref(), "AccessToken", &asked, deadline).await?;
        Ok(told.json::<Generated>()?.token)
    }

    /// The same, in the name of the gateway's own account.
    async fn own_token(&self, key: Option<&Secret>, deadline: Instant) -> Result<String, Fault> {
        let exchanged = match key {
            Some(key) => self.exchange(key, ("scope", SCOPE), deadline).await?,
            None => self.metadata("token", deadline).await?.json::<Exchanged>()?,
        };
        exchanged.access_token.ok_or_else(|| refused("the gateway's own account has no token"))
    }

    /// Asks the IAM Credentials API for a token of another service account.
    pub(super) async fn generate(
        &self,
        Impersonated { account, origin }: &Impersonated,
        key: Option<&Secret>,
        what: &str,
        asked: &serde_json::Value,
        deadline: Instant,
    ) -> Result<Told, Fault> {
        let access = self.own_token(key, deadline).await?;
        let path = format!("/v1/projects/-/serviceAccounts/{account}:generate{what}");
        let own = [
            (AUTHORIZATION, bearer(&access)?),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ];
        let body = Bytes::from(asked.to_string());
        let asked = Ask { method: Method::POST, path: &path, own: &own, body, deadline };
        good(self.ask(Arc::clone(origin), asked).await?)
    }

    /// Gives the token endpoint an assertion for a token. If it refuses one because of the time, it is
    /// told again by its own clock.
    pub(super) async fn exchange(
        &self,
        key: &Secret,
        claim: (&str, &str),
        deadline: Instant,
    ) -> Result<Exchanged, Fault> {
        let text = self.tools.secrets.reveal(key);
        let text = text.map_err(|cause| refused("the credentials cannot be had").because(cause))?;
        let bad = |cause| refused("the credentials cannot be used").because(cause);
        let key = Key::read(text.expose()).map_err(bad)?;
        let origin = Origin::parse(&key.token_uri, None).ok().filter(|origin| !origin.is_open());
        let mut origin = origin.ok_or_else(|| refused("the token_uri is no URL with https"))?;
        let path = match std::mem::take(&mut origin.base) {
            path if path.is_empty() => "/".to_owned(),
            path => path,
        };
        let origin = Arc::new(origin);
        let now = SystemTime::now();
        let ask = async |assertion: String| {
            let body = Bytes::from(format!(
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}"
            ));
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            let own = [(CONTENT_TYPE, form)];
            let asked = Ask { method: Method::POST, path: &path, own: &own, body, deadline };
            self.ask(Arc::clone(&origin), asked).await
        };
        let told = ask(key.assertion(claim, now).map_err(bad)?).await?;
        let theirs =
            told.date().filter(|theirs| told.status.is_client_error() && off(*theirs, now));
        let told = match theirs {
            Some(theirs) => ask(key.assertion(claim, theirs).map_err(bad)?).await?,
            None => told,
        };
        good(told)?.json()
    }

    /// Asks the metadata server.
    pub(super) async fn metadata(&self, what: &str, deadline: Instant) -> Result<Told, Fault> {
        let host = self.tools.secrets.reveal(&Secret::Env(METADATA_HOST.to_owned()));
        let host = host.as_ref().map_or(METADATA, |host| host.expose());
        let origin = Origin::parse(&format!("http://{host}"), None)
            .map_err(|what| refused("GCE_METADATA_HOST is no host").because(what))?;
        let path = format!("/computeMetadata/v1/instance/service-accounts/default/{what}");
        let own = [(FLAVOR, HeaderValue::from_static("Google"))];
        let body = Bytes::new();
        let asked = Ask { method: Method::GET, path: &path, own: &own, body, deadline };
        good(self.ask(Arc::new(origin), asked).await?)
    }

    async fn ask(&self, origin: Arc<Origin>, asked: Ask<'_>) -> Result<Told, Fault> {
        let client = Client::new(&[origin], None, CONNECT_TIMEOUT, &self.tools);
        let client = client.expect("there is one origin");
        ask(&client, asked).await.map_err(|fault| {
            let class = match fault.class {
                Class::Timeout | Class::ConnectFailed => fault.class,
                _ => Class::Unavailable,
            };
            // Whatever has become of the question, no function has run.
            Fault::new(class, "nobody is there who would mint a token").because(fault.chain())
        })
    }
}

/// An answer that is what was asked for.
fn good(told: Told) -> Result<Told, Fault> {
    match told.status {
        StatusCode::OK => Ok(told),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            let what = "no token is minted now";
            Err(Fault::new(Class::Unavailable, what).because(format!("it answered {status}")))
        }
        status => {
            let what = "the gateway is given no token";
            Err(refused(what).because(format!("it answered {status}")))
        }
    }
}

pub(super) fn refused(what: &'static str) -> Fault {
    Fault::new(Class::UpstreamAuth, what)
}

pub(super) fn bearer(token: &str) -> Result<HeaderValue, Fault> {
    let value = HeaderValue::try_from(format!("Bearer {token}"));
    let mut value = value.map_err(|_| refused("what was minted fits no header"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn off(theirs: SystemTime, ours: SystemTime) -> bool {
    let off = theirs.duration_since(ours).unwrap_or_else(|error| error.duration());
    off > SKEW
}
