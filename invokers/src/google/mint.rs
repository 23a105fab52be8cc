//! ID tokens of Google, by each of the ways to one: the metadata server, the key of a service account,
//! and the name of another service account.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use schemas::{Class, Fault, Secret};
use serde::Deserialize;
use serde_json::json;

use super::{
    Target,
    config::{Identity, Impersonated},
    key::Key,
};
use crate::{
    Tools,
    client::{CONNECT_TIMEOUT, Client, Origin},
    platform::{Ask, Mint, Minted, Told, ask},
};

/// The variable by which every library of Google's finds another metadata server.
const METADATA_HOST: &str = "GCE_METADATA_HOST";
const METADATA: &str = "metadata.google.internal";
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");

/// What an access token is to be good for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// A clock that is further off than this is not asked again.
const SKEW: Duration = Duration::from_mins(1);
/// How long a token is believed to be good that has ended by the gateway's own clock.
const AT_LEAST: Duration = Duration::from_secs(30);

/// Mints ID tokens for one audience.
pub(super) struct Minter {
    pub(super) target: Arc<Target>,
    pub(super) audience: String,
    pub(super) tools: Tools,
}

/// What the token endpoint answers.
#[derive(Deserialize)]
struct Exchanged {
    #[serde(default)]
    id_token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

impl Mint for Minter {
    fn mint(&self, deadline: Instant) -> LocalBoxFuture<'_, Result<Minted, Fault>> {
        Box::pin(async move {
            let token = match &self.target.identity {
                Some(identity) => self.id_token(identity, deadline).await?,
                None => return Err(refused("no token is to be had without credentials")),
            };
            let good_for = good_for(&token, SystemTime::now());
            let good_for = good_for.ok_or_else(|| refused("what was minted is no ID token"))?;
            Ok(Minted { value: bearer(&token)?, good_for })
        })
    }
}

impl Minter {
    async fn id_token(&self, identity: &Identity, deadline: Instant) -> Result<String, Fault> {
        match identity {
            Identity { impersonate: Some(account), key } => {
                self.in_the_name_of(account, key.as_ref(), deadline).await
            }
            Identity { key: Some(key), .. } => {
                let exchanged =
                    self.exchange(key, ("target_audience", &self.audience), deadline).await?;
                exchanged.id_token.ok_or_else(|| refused("the token endpoint gave no ID token"))
            }
            Identity { key: None, .. } => {
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.append_pair("audience", &self.audience).append_pair("format", "full");
                let told = self.metadata(&format!("identity?{}", query.finish()), deadline).await?;
                let text = str::from_utf8(&told.body).unwrap_or_default();
                Ok(text.trim().to_owned())
            }
        }
    }

    /// Asks the IAM Credentials API for a token of another service account.
    async fn in_the_name_of(
        &self,
        Impersonated { account, origin }: &Impersonated,
        key: Option<&Secret>,
        deadline: Instant,
    ) -> Result<String, Fault> {
        #[derive(Deserialize)]
        struct Generated {
            token: String,
        }
        let access = match key {
            Some(key) => self.exchange(key, ("scope", SCOPE), deadline).await?.access_token,
            None => {
                let told = self.metadata("token", deadline).await?;
                told.json::<Exchanged>()?.access_token
            }
        };
        let access = access.ok_or_else(|| refused("the gateway's own account has no token"))?;
        let path = format!("/v1/projects/-/serviceAccounts/{account}:generateIdToken");
        let asked = json!({ "audience": self.audience, "includeEmail": true });
        let own = [
            (AUTHORIZATION, bearer(&access)?),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ];
        let body = Bytes::from(asked.to_string());
        let asked = Ask { method: Method::POST, path: &path, own: &own, body, deadline };
        let told = self.ask(Arc::clone(origin), asked).await?;
        Ok(good(told)?.json::<Generated>()?.token)
    }

    /// Gives the token endpoint an assertion for a token. If it refuses one because of the time, it is
    /// told again by its own clock.
    async fn exchange(
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

    async fn metadata(&self, what: &str, deadline: Instant) -> Result<Told, Fault> {
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

    /// Asks over a connection of its own: there is one question in an hour.
    async fn ask(&self, origin: Arc<Origin>, asked: Ask<'_>) -> Result<Told, Fault> {
        let client = Client::new(&[origin], None, CONNECT_TIMEOUT, &self.tools);
        let client = client.expect("there is one origin");
        ask(&client, asked).await.map_err(|fault| {
            let class = match fault.class {
                Class::Timeout | Class::ConnectFailed => fault.class,
                _ => Class::Unavailable,
            };
            // Whatever has become of the question, no function has run.
            Fault::new(class, "nobody is there who would mint a token for the function")
                .because(fault.chain())
        })
    }
}

/// An answer that is what was asked for.
fn good(told: Told) -> Result<Told, Fault> {
    match told.status {
        StatusCode::OK => Ok(told),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            let what = "no token for the function is minted now";
            Err(Fault::new(Class::Unavailable, what).because(format!("it answered {status}")))
        }
        status => {
            let what = "the gateway is given no token for the function";
            Err(refused(what).because(format!("it answered {status}")))
        }
    }
}

fn refused(what: &'static str) -> Fault {
    Fault::new(Class::UpstreamAuth, what)
}

fn bearer(token: &str) -> Result<HeaderValue, Fault> {
    let value = HeaderValue::try_from(format!("Bearer {token}"));
    let mut value = value.map_err(|_| refused("what was minted fits no header"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn off(theirs: SystemTime, ours: SystemTime) -> bool {
    let off = theirs.duration_since(ours).unwrap_or_else(|error| error.duration());
    off > SKEW
}

/// How long an ID token is good for. Its own two times say the most; the clock here, which may be
/// wrong, says how much of it is left.
fn good_for(token: &str, now: SystemTime) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
        #[serde(default)]
        iat: Option<u64>,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let Claims { exp, iat } = serde_json::from_slice(&claims).ok()?;
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let most = Duration::from_secs(exp.saturating_sub(iat.unwrap_or(now)));
    let left = match exp.saturating_sub(now) {
        0 => AT_LEAST,
        left => Duration::from_secs(left),
    };
    Some(left.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_as_long_as_it_says_whatever_the_clock_here_says() {
        let token = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let good = |claims: &str, now| good_for(&token(claims), at(now)).map(|it| it.as_secs());
        let hour = r#"{"iat":10000,"exp":13600}"#;
        assert_eq!(good(hour, 10_000), Some(3600));
        assert_eq!(good(hour, 13_000), Some(600), "it was minted a while ago");
        assert_eq!(good(hour, 1_000), Some(3600), "the clock here is behind");
        assert_eq!(good(hour, 20_000), Some(30), "the clock here is ahead");
        assert_eq!(good(r#"{"exp":13600}"#, 10_000), Some(3600));
        assert_eq!(good(r#"{"iat":10000,"exp":10003}"#, 10_000), Some(3));
        for bad in ["{}", "no json", r#"{"exp":"soon"}"#] {
            assert_eq!(good(bad, 10_000), None, "{bad}");
        }
        assert_eq!(good_for("opaque", at(0)), None);
    }
}
