//! Services behind TLS: verified, or not spoken to.

use std::{fs, path::Path, sync::Arc};

use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::aws_lc_rs};

use crate::support::{Gateway, peer::Peer, raw::Client};

/// A certificate for these names, signed by itself.
struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Identity {
    fn of(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    fn server(&self) -> Arc<ServerConfig> {
        let key = self.key.serialize_der().try_into().unwrap();
        let chain = vec![self.certificate.der().clone()];
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key);
        Arc::new(config.unwrap())
    }

    fn write_to(&self, folder: &Path) {
        fs::write(folder.join("ca.pem"), self.certificate.pem()).unwrap();
    }
}

/// A service that answers over TLS with what it was asked for.
fn service(identity: &Identity) -> Peer {
    let config = identity.server();
    Peer::start_over(
        |exchange| {
            let seen = exchange.read();
            exchange.answer(200, &[], seen.body);
        },
        move |socket| {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            Some(Client::over_stream(StreamOwned::new(session, socket)))
        },
    )
}

fn gateway(peer: &Peer, identity: &Identity, tls: &str) -> Gateway {
    let port = peer.address().port();
    let config = format!(
        "version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstreams:
  web: {{ kind: http, url: \"https://localhost:{port}\"{tls} }}
routes:
  - {{ name: all, match: {{ prefix: / }}, to: web }}
"
    );
    Gateway::run_with(&config, |folder| identity.write_to(folder))
}

#[test]
fn a_service_whose_authority_is_trusted_is_spoken_to() {
    let identity = Identity::of("localhost");
    let peer = service(&identity);
    let gateway = gateway(&peer, &identity, ", tls: { ca: { file: ca.pem } }");
    for _ in 0..3 {
        assert_eq!(gateway.post("/", &[], "over TLS").text(), "over TLS");
    }
}

#[test]
fn a_service_that_nobody_vouches_for_is_502_and_gets_no_request() {
    let identity = Identity::of("localhost");
    let peer = service(&identity);
    let gateway = gateway(&peer, &identity, "");
    gateway.post("/", &[], "secret").problem(502, "connect_failed");
    assert!(peer.seen().is_empty());
}

#[test]
fn a_certificate_for_another_name_is_refused_unless_that_name_is_asked_for() {
    let identity = Identity::of("inner.test");
    let peer = service(&identity);
    gateway(&peer, &identity, ", tls: { ca: { file: ca.pem } }")
        .get("/")
        .problem(502, "connect_failed");
    let named = ", tls: { ca: { file: ca.pem }, server_name: inner.test }";
    assert_eq!(gateway(&peer, &identity, named).post("/", &[], "x").text(), "x");
}
