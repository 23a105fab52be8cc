//! TLS towards upstreams: verified, by rustls with the system's roots or the ones that are named.

use schemars::JsonSchema;
use schemas::{FileRef, Secret};
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
