//! TLS towards services.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use http::Response;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use schemas::{Body, Class, FileRef, Ran, Secret};
use tokio_rustls::TlsAcceptor;

use super::{
    super::Written,
    Lane, fault, get, lane_of,
    peer::{Peer, core},
    said,
};
use crate::tls::Tls;

/// An authority, and the folder that its certificate is in.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        Path::join(self.folder.path(), name)
    }

    fn certificate(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A service that shows a certificate for `name`, and wants one of this authority's from its
    /// client if `client` says so.
    async fn serve(&self, name: &str, client: bool) -> String {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if client {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let (certificate, key) = self.certificate(name);
        let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let peer = Peer::serve_over(
            async move |stream| acceptor.accept(stream).await.expect("a handshake"),
            |_| async { Response::new(Body::from(Bytes::from_static(b"secret"))) },
        )
        .await;
        peer.url.replace("http://", "https://")
    }

    fn tls(&self) -> Tls {
        Tls { ca: Some(FileRef { file: self.path("ca.pem") }), ..Tls::default() }
    }
}

fn lane(url: &str, tls: Option<Tls>) -> Lane {
    lane_of(Written { url: Some(url.to_owned()), tls, ..Written::default() })
}

#[track_caller]
fn refused(fault: &schemas::Fault) {
    assert_eq!((fault.class, fault.ran), (Class::ConnectFailed, Ran::No), "{fault:?}");
    assert!(fault.unsent.is_some());
    assert!(!fault.detail.contains("127.0.0.1"), "{fault}");
}

#[tokio::test]
async fn a_certificate_of_the_named_authority_is_trusted() {
    core(async {
        let authority = Authority::new();
        let lane = lane(&authority.serve("127.0.0.1", false).await, Some(authority.tls()));
        assert_eq!(said(&lane, get("/")).await, "secret");
        assert_eq!(said(&lane, get("/")).await, "secret");
    })
    .await;
}

#[tokio::test]
async fn a_certificate_of_nobody_we_know_is_not_trusted() {
    core(async {
        let (known, other) = (Authority::new(), Authority::new());
        let url = other.serve("127.0.0.1", false).await;
        refused(&fault(&lane(&url, Some(known.tls())), get("/")).await);
        // Nor by the system's roots.
        refused(&fault(&lane(&url, None), get("/")).await);
    })
    .await;
}

#[tokio::test]
async fn a_certificate_has_to_name_the_host_or_the_server_name() {
    core(async {
        let authority = Authority::new();
        let url = authority.serve("web.example", false).await;
        refused(&fault(&lane(&url, Some(authority.tls())), get("/")).await);
        let named = Tls { server_name: Some("web.example".to_owned()), ..authority.tls() };
        assert_eq!(said(&lane(&url, Some(named)), get("/")).await, "secret");
    })
    .await;
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    core(async {
        let authority = Authority::new();
        let url = authority.serve("127.0.0.1", true).await;
        let (certificate, key) = authority.certificate("gateway");
        let (certificate_at, key_at) = (authority.path("c.pem"), authority.path("k.pem"));
        std::fs::write(&certificate_at, certificate.pem()).unwrap();
        std::fs::write(&key_at, key.serialize_pem()).unwrap();
        let shown = Tls {
            certificate: Some(FileRef { file: certificate_at }),
            key: Some(Secret::File(key_at)),
            ..authority.tls()
        };
        assert_eq!(said(&lane(&url, Some(shown)), get("/")).await, "secret");
        // Without it the service hangs up. In TLS 1.3 the client learns that only after it has
        // sent, so the function may have run for all that it knows.
        let fault = fault(&lane(&url, Some(authority.tls())), get("/")).await;
        assert_ne!(fault.class, Class::Internal, "{fault:?}");
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_missing_or_no_pem_is_said_in_the_log_alone() {
    core(async {
        let authority = Authority::new();
        let url = authority.serve("127.0.0.1", false).await;
        std::fs::write(authority.path("odd.pem"), "-----BEGIN hunter2").unwrap();
        for (file, said) in [("none.pem", "none.pem is missing"), ("odd.pem", "`tls.ca`")] {
            let tls = Tls { ca: Some(FileRef { file: authority.path(file) }), ..Tls::default() };
            let fault = fault(&lane(&url, Some(tls)), get("/")).await;
            refused(&fault);
            assert!(fault.chain().contains(said), "{}", fault.chain());
            assert!(!fault.chain().contains("hunter2") && !fault.detail.contains("pem"));
        }
    })
    .await;
}
