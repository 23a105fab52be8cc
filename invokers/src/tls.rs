//! TLS towards upstreams: verified, by rustls with the system's roots or the ones that are named.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls_platform_verifier::BuilderVerifierExt as _;
use schemars::JsonSchema;
use schemas::{Class, Fault, FileRef, Secret};
use serde::{Deserialize, Serialize};

use crate::Tools;

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

/// Reads the files and makes the client's side of TLS of them.
///
/// # Errors
/// If a file cannot be read or holds something else than it should.
pub fn client_config(tls: &Tls, tools: &Tools) -> Result<ClientConfig, Fault> {
    let bad = |what: &'static str| Fault::new(Class::ConnectFailed, what);
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("TLS cannot be set up").because(error))?;
    let certificates = |file| -> Result<Vec<CertificateDer<'static>>, Fault> {
        let pem = tools
            .secrets
            .read(file)
            .map_err(|error| bad("a TLS certificate cannot be read").because(error))?;
        CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|error| bad("a TLS certificate is not PEM").because(error))
    };
    let builder = if let Some(ca) = &tls.ca {
        let mut roots = RootCertStore::empty();
        for root in certificates(ca)? {
            roots.add(root).map_err(|error| bad("a TLS authority is not valid").because(error))?;
        }
        builder.with_root_certificates(roots)
    } else {
        builder
            .with_platform_verifier()
            .map_err(|error| bad("the system's TLS authorities cannot be read").because(error))?
    };
    let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let key = tools
        .secrets
        .reveal(key)
        .map_err(|error| bad("the TLS key cannot be read").because(error))?;
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
        .map_err(|_| bad("the TLS key is not PEM"))?;
    builder
        .with_client_auth_cert(certificates(certificate)?, key)
        .map_err(|error| bad("the TLS certificate and its key do not fit").because(error))
}
