//! ID tokens of Google, by each of the ways to one: the metadata server, the key of a service account,
//! and the name of another service account.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::LocalBoxFuture;
use schemas::Fault;
use serde::Deserialize;
use serde_json::json;

use super::{
    Target,
    access::{Access, bearer, refused},
    config::Identity,
};
use crate::platform::{Mint, Minted};

/// How long a token is believed to be good that has ended by the gateway's own clock.
const AT_LEAST: Duration = Duration::from_secs(30);

/// Mints ID tokens for one audience.
pub(super) struct Minter {
    pub(super) target: Arc<Target>,
    pub(super) audience: String,
    pub(super) access: Access,
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
        #[derive(Deserialize)]
        struct Generated {
            token: String,
        }
        let access = &self.access;
        match identity {
            Identity { impersonate: Some(account), key } => {
                let asked = json!({ "audience": self.audience, "includeEmail": true });
                let told = access.generate(account, key.as_ref(), "IdToken", &asked, deadline);
                Ok(told.await?.json::<Generated>()?.token)
            }
            Identity { key: Some(key), .. } => {
                let exchanged =
                    access.exchange(key, ("target_audience", &self.audience), deadline).await?;
                exchanged.id_token.ok_or_else(|| refused("the token endpoint gave no ID token"))
            }
            Identity { key: None, .. } => {
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.append_pair("audience", &self.audience).append_pair("format", "full");
                let asked = format!("identity?{}", query.finish());
                let told = access.metadata(&asked, deadline).await?;
                let text = str::from_utf8(&told.body).unwrap_or_default();
                Ok(text.trim().to_owned())
            }
        }
    }
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
