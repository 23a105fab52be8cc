//! The official SDK as the oracle: what the gateway sends is what the SDK sends.

use aws_credential_types::Credentials;
use aws_sdk_lambda::{
    Client,
    config::{BehaviorVersion, Region},
    primitives::Blob,
    types::InvocationType,
};
use serde_json::json;

use super::gateway;
use crate::support::{
    lambda::{Lambda, Outcome, REGION},
    peer::Seen,
    sigv4::{self, Signature},
};

/// What the SDK says of itself, and the gateway does not.
const OF_THE_SDK: [&str; 4] =
    ["amz-sdk-invocation-id", "amz-sdk-request", "user-agent", "x-amz-user-agent"];

/// Inputs: the address's function part, name and qualifier for the SDK, whether it is queued.
const CASES: &[(&str, &str, Option<&str>, bool)] = &[
    ("orders", "orders", None, false),
    ("orders:prod", "orders", Some("prod"), false),
    ("orders:$LATEST", "orders", Some("$LATEST"), false),
    ("a_b-C9", "a_b-C9", None, true),
    ("123456789012:function:orders", "123456789012:function:orders", None, false),
    (
        "arn:aws:lambda:eu-west-1:123456789012:function:orders:7",
        "arn:aws:lambda:eu-west-1:123456789012:function:orders",
        Some("7"),
        true,
    ),
];

/// Payloads that are their own test of length and hash.
const PAYLOADS: [&str; 4] = ["{}", "\"é 🍵\"", "[1,2,3]", "{\"a\":{\"b\":\"c d+e%20\"}}"];

/// The request without what differs by design: method, target, headers by name, body.
fn told(seen: &Seen) -> (String, String, Vec<(String, String)>, Vec<u8>) {
    let mut headers: Vec<(String, String)> = seen
        .head
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .filter(|(name, _)| !OF_THE_SDK.contains(&name.as_str()))
        .filter(|(name, _)| name != "authorization" && name != "x-amz-date")
        .collect();
    headers.sort();
    (seen.method().to_owned(), seen.target().to_owned(), headers, seen.body.clone())
}

/// The canonical request as the signature of a request says it is made, at one and the same time.
fn canonical(seen: &Seen) -> String {
    let signature = Signature::read(seen.header("authorization").unwrap()).unwrap();
    let signed: Vec<&str> =
        signature.signed_headers.split(';').filter(|name| !OF_THE_SDK.contains(name)).collect();
    let headers = |name: &str| match name {
        "x-amz-date" => vec!["now"],
        name => seen.head.all(name),
    };
    sigv4::canonical(seen.method(), seen.target(), &signed.join(";"), headers, &seen.body)
}

#[test]
fn the_gateway_sends_and_signs_what_the_sdk_does() {
    let lambda = Lambda::start(|_| Some(Outcome::json(&json!(1))));
    let routes: String = CASES
        .iter()
        .enumerate()
        .map(|(n, (function, _, _, queued))| {
            let ack = if *queued { "published" } else { "replied" };
            format!(
                "  - {{ name: r-{n}, match: {{ path: /{n} }}, to: \"aws/{function}\", format: plain, \
                 ack: {ack} }}\n"
            )
        })
        .collect();
    let gateway = gateway(&lambda, "", &routes);
    let key = lambda.key();
    let credentials = Credentials::new(key.access, key.secret, key.token, None, "test");
    let config = aws_sdk_lambda::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(lambda.url())
        .credentials_provider(credentials)
        .build();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::from_conf(config);
    for (n, (_, name, qualifier, queued)) in CASES.iter().enumerate() {
        for payload in PAYLOADS {
            let answer = gateway.post(&format!("/{n}"), &[], payload);
            assert!(answer.status < 300, "{}", answer.text());
            let kind =
                if *queued { InvocationType::Event } else { InvocationType::RequestResponse };
            let sent = client
                .invoke()
                .function_name(*name)
                .set_qualifier(qualifier.map(str::to_owned))
                .invocation_type(kind)
                .payload(Blob::new(payload))
                .send();
            runtime.block_on(sent).unwrap();
            let seen = lambda.seen();
            let [.., ours, theirs] = seen.as_slice() else { panic!("{} requests", seen.len()) };
            assert_eq!(told(ours), told(theirs));
            assert_eq!(canonical(ours), canonical(theirs));
        }
    }
    assert_eq!(lambda.refused(), 0);
}
