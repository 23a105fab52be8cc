//! TLS towards upstreams: verified, by rustls with the system's roots or the ones that are named.
//! There is no switch that turns verification off.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls_platform_verifier::BuilderVerifierExt as _;
use schemars::JsonSchema;
use schemas::{FileRef, Reveal, Secret, secret::NoSecret};
use serde::{Deserialize, Serialize};

/// TLS towards an upstream, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The authorities to trust, in PEM. Default: the system's.
    pub ca: Option<FileRef>,
    /// The certificate chain to show, in PEM; with `key`.
    pub certificate: Option<FileRef>,
    /// The private key of the certificate, in PEM.
    pub key: Option<Secret>,
    /// The name to ask for and to verify, if it is not the host of the URL.
    pub server_name: Option<String>,
}

/// Why TLS cannot be set up. Names the field, never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum BadTls {
    /// A file or a secret cannot be had.
    #[error("`tls.{field}` cannot be read")]
    Unread {
        /// The field.
        field: &'static str,
        /// Why.
        #[source]
        cause: NoSecret,
    },
    /// It is there, but not what it should be. What it is instead is not said: it may be a secret.
    #[error("`tls.{field}` is not PEM of the right kind")]
    Pem {
        /// The field.
        field: &'static str,
    },
    /// It holds no certificate.
    #[error("`tls.{field}` holds no certificate")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// It was read but cannot be used.
    #[error("TLS refuses what is configured")]
    Refused(#[from] rustls::Error),
    /// The program is stopping.
    #[error("reading was stopped")]
    Stopped,
}

impl Tls {
    /// What is wrong with the fields taken together: the field's path and what to write.
    pub(crate) fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut say = |path: &str, what: String| wrong.push((path.to_owned(), what));
        match (&self.certificate, &self.key) {
            (Some(_), None) => {
                say("tls.certificate", "has no key; write `key` beside it".to_owned());
            }
            (None, Some(_)) => {
                say("tls.key", "has no certificate; write `certificate` beside it".to_owned());
            }
            _ => {}
        }
        if let Some(Err(what)) = self.server_name.as_deref().map(crate::client::server_name_of) {
            say("tls.server_name", what);
        }
        wrong
    }

    /// Reads the files and makes rustls's own configuration of them.
    pub(crate) fn client_config(&self, secrets: &dyn Reveal) -> Result<ClientConfig, BadTls> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?;
        let builder = match &self.ca {
            None => builder.with_platform_verifier()?,
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("ca", ca, secrets)? {
                    roots.add(certificate)?;
                }
                builder.with_root_certificates(roots)
            }
        };
        Ok(match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let chain = certificates("certificate", certificate, secrets)?;
                let key =
                    secrets.reveal(key).map_err(|cause| BadTls::Unread { field: "key", cause })?;
                let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
                    .map_err(|_| BadTls::Pem { field: "key" })?;
                builder.with_client_auth_cert(chain, key)?
            }
            _ => builder.with_no_client_auth(),
        })
    }
}

fn certificates(
    field: &'static str,
    file: &FileRef,
    secrets: &dyn Reveal,
) -> Result<Vec<CertificateDer<'static>>, BadTls> {
    let pem = secrets.read(file).map_err(|cause| BadTls::Unread { field, cause })?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|_| BadTls::Pem { field })?;
    if found.is_empty() { Err(BadTls::Empty { field }) } else { Ok(found) }
}
