//! The key of a service account, and what is signed with it (RFC 7523).

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::{SignatureScheme, crypto::aws_lc_rs::sign::any_supported_type};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use serde::Deserialize;
use serde_json::json;

/// How long an assertion is good for: the most that the token endpoint takes.
const GOOD_FOR_SECONDS: u64 = 3600;

/// The key of a service account, as Google Cloud hands it out.
#[derive(Deserialize)]
pub(super) struct Key {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
    #[serde(default = "usual")]
    pub(super) token_uri: String,
}

fn usual() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

/// What is wrong with a key. It says nothing of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadKey {
    #[error("the credentials are no JSON of a service account's key")]
    Json,
    #[error("the credentials are not of the type service_account")]
    Kind,
    #[error("the private key of the credentials is no RSA key in PEM")]
    Pem,
    #[error("the private key of the credentials does not sign")]
    Signing,
}

impl Key {
    /// Reads the text of the file.
    pub(super) fn read(text: &str) -> Result<Self, BadKey> {
        // serde's own words would show the text around the mistake.
        let key: Self = serde_json::from_str(text).map_err(|_| BadKey::Json)?;
        if key.kind == "service_account" { Ok(key) } else { Err(BadKey::Kind) }
    }

    /// Says, signed, that the service account asks for a token: for an audience
    /// (`target_audience`), or with a scope.
    pub(super) fn assertion(
        &self,
        (claim, value): (&str, &str),
        now: SystemTime,
    ) -> Result<String, BadKey> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let head = json!({ "alg": "RS256", "typ": "JWT", "kid": self.private_key_id });
        let claims = json!({
            "iss": self.client_email,
            "sub": self.client_email,
            "aud": self.token_uri,
            "iat": now,
            "exp": now + GOOD_FOR_SECONDS,
            claim: value,
        });
        let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let said = format!("{}.{}", part(head), part(claims));
        let signature = self.sign(said.as_bytes())?;
        Ok(format!("{said}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BadKey> {
        let pem = PrivateKeyDer::from_pem_slice(self.private_key.as_bytes());
        let key = any_supported_type(&pem.map_err(|_| BadKey::Pem)?).map_err(|_| BadKey::Pem)?;
        let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).ok_or(BadKey::Pem)?;
        signer.sign(message).map_err(|_| BadKey::Signing)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Key(of {})", self.client_email)
    }
}
