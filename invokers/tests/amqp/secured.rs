//! Who the gateway is to a broker, and TLS.

use std::fs;

use invokers::{Target, amqp, probe};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use schemas::{Class, Invoker as _, Ran};
use serde_json::json;

use crate::support::{
    Client, PASSWORD, Rabbit, Secrets, USER, lane, on_core, publish, refused, shared, target,
    tools, written,
};

#[test]
fn who_is_not_let_in_is_told_so_and_no_secret_with_it() {
    on_core(async {
        for (more, password) in [
            (json!({}), "wrong-hunter3"),
            (json!({"username": "guest"}), "guest-hunter3"),
            (json!({"vhost": "elsewhere"}), PASSWORD),
        ] {
            let tools = Secrets::tools(&[("P", password)]);
            let target = target(written(&shared().url(), more.clone()));
            let lane = amqp::Lane::new(target, tools);
            let fault = refused(lane.call(publish("/q", "x")).await);
            assert_eq!((fault.class, fault.ran), (Class::UpstreamAuth, Ran::No), "{more}");
            let shown = format!("{fault:?} {lane:?}");
            assert!(!shown.contains("hunter") && !shown.contains(password), "{shown}");
        }
        let lane =
            amqp::Lane::new(target(written(&shared().url(), json!({}))), Secrets::tools(&[]));
        let fault = refused(lane.call(publish("/q", "x")).await);
        assert_eq!((fault.class, fault.ran), (Class::UpstreamAuth, Ran::No));
        assert!(!shared().log().contains("hunter"));
    });
}

#[test]
fn an_exchange_that_the_user_may_not_write_is_an_error_of_the_upstream() {
    on_core(async {
        let may = format!(
            "rabbit_auth_backend_internal:add_user(<<\"few\">>, <<\"{PASSWORD}\">>, <<\"test\">>), \
             rabbit_auth_backend_internal:set_permissions(<<\"few\">>, <<\"/\">>, <<\"\">>, \
             <<\"^amq.default$\">>, <<\"\">>, <<\"test\">>)"
        );
        shared().eval(&may);
        let client = Client::connect(shared()).await;
        let queue = client.queue().await;
        let lane = lane(written(&shared().url(), json!({"username": "few"})));
        lane.call(publish(&format!("/{queue}"), "x")).await.unwrap();
        let fault = refused(lane.call(publish("amq.topic/k", "x")).await);
        assert_eq!((fault.class, fault.ran), (Class::UpstreamAuth, Ran::No), "{fault:?}");
        assert!(fault.detail.contains("amq.topic"), "{fault}");
        lane.call(publish(&format!("/{queue}"), "x")).await.unwrap();
    });
}

#[test]
fn tls_is_verified_and_a_certificate_says_who_the_gateway_is() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    put("ca.pem", &authority.pem());
    for (name, usage) in [
        ("broker.test", ExtendedKeyUsagePurpose::ServerAuth),
        (USER, ExtendedKeyUsagePurpose::ClientAuth),
    ] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        put(&format!("{name}.pem"), &params.signed_by(&key, &authority).unwrap().pem());
        put(&format!("{name}.key"), &key.serialize_pem());
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = DIR/ca.pem
ssl_options.certfile = DIR/broker.test.pem
ssl_options.keyfile = DIR/broker.test.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
ssl_cert_login_from = common_name
"
    );
    let rabbit = Rabbit::start_in(folder, &config, "rabbitmq_auth_mechanism_ssl");
    on_core(async {
        let client = Client::connect(&rabbit).await;
        let queue = client.queue().await;
        let url = format!("amqps://127.0.0.1:{port}");
        let file = |name: &str| json!({"file": rabbit.file(name)});
        let trusted = json!({"ca": file("ca.pem"), "server_name": "broker.test"});
        let certificate = json!({
            "ca": file("ca.pem"), "server_name": "broker.test",
            "certificate": file(&format!("{USER}.pem")), "key": file(&format!("{USER}.key")),
        });
        let call = || publish(&format!("/{queue}"), "x");
        let with = |tls: serde_json::Value| written(&url, json!({"tls": tls}));
        lane(with(trusted.clone())).call(call()).await.unwrap();
        // No user name and no password: EXTERNAL.
        lane(json!({"url": url, "tls": certificate})).call(call()).await.unwrap();

        let other_name = with(json!({"ca": file("ca.pem")}));
        let unknown_authority = with(json!({"server_name": "broker.test"}));
        for bad in [other_name, unknown_authority] {
            let fault = refused(lane(bad).call(call()).await);
            assert_eq!((fault.class, fault.ran), (Class::Unavailable, Ran::No), "{fault:?}");
        }
        // A port without TLS is not talked to.
        let plain = format!("amqps://127.0.0.1:{}", rabbit.port());
        let fault = refused(lane(written(&plain, json!({"tls": trusted}))).call(call()).await);
        assert_eq!((fault.class, fault.ran), (Class::Unavailable, Ran::No), "{fault:?}");
        let probed = probe::probe(&Target::Amqp(target(with(trusted))), &tools()).await;
        assert!(probed[0].outcome.is_ok() && probed[0].at == url, "{probed:?}");
        let wrong = Secrets::tools(&[("P", "wrong")]);
        let at = Target::Amqp(target(written(&rabbit.url(), json!({}))));
        let probed = probe::probe(&at, &wrong).await;
        assert_eq!(probed[0].outcome.as_ref().unwrap_err().class, Class::UpstreamAuth);
    });
}
