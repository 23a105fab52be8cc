//! JetStream: acknowledgements, and what a stream refuses.

use std::time::Duration;

use async_nats::Client;
use schemas::{Call, Class, Identity, Invoker as _, Ran};
use serde_json::{Value, json};

use crate::support::{
    Server, all, on_core, plain_lane, publish, receipt, request, stream_lane, subscribe,
};

pub(crate) const JETSTREAM: &str = r#"jetstream { store_dir: "DIR/js" }"#;

/// Makes a stream, by the server's own API.
pub(crate) async fn make(client: &Client, config: Value) {
    let name = config["name"].as_str().unwrap().to_owned();
    let subject = format!("$JS.API.STREAM.CREATE.{name}");
    let answer = client.request(subject, config.to_string().into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert!(answer.get("error").is_none(), "{answer}");
}

/// How many messages a stream holds.
pub(crate) async fn count(client: &Client, name: &str) -> u64 {
    let subject = format!("$JS.API.STREAM.INFO.{name}");
    let answer = client.request(subject, "".into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    answer["state"]["messages"].as_u64().unwrap()
}

fn identified(subject: &str, identity: u8, data: &'static str) -> Call {
    let mut call = publish(subject, data);
    call.identity = Some(Identity([identity; 32]));
    call
}

#[test]
fn an_acknowledgement_names_the_stream_and_what_it_guarantees() {
    let server = Server::start(JETSTREAM);
    on_core(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        for storage in ["file", "memory"] {
            let config = json!({"name": storage, "subjects": [storage], "storage": storage});
            make(&client, config).await;
        }
        let lane = stream_lane(&server.url(), json!(true));
        let first = receipt(lane.call(publish("file", "1")).await);
        assert_eq!(
            first,
            json!({
                "ack": "published", "guarantee": "broker-memory", "duplicate": false,
                "receipt": {
                    "stream": "file", "sequence": 1, "subject": "file", "sync": "unknown"
                }
            }),
            "until the stream's storage is known, the weaker claim is made"
        );
        let mut told = first;
        while told["guarantee"] != "broker-disk" {
            tokio::time::sleep(Duration::from_millis(5)).await;
            told = receipt(lane.call(publish("file", "2")).await);
        }
        for _ in 0..20 {
            let told = receipt(lane.call(publish("memory", "3")).await);
            assert_eq!(told["guarantee"], "broker-memory");
        }
    });
}

#[test]
fn the_storage_that_may_not_be_asked_for_is_the_weaker_one() {
    let server = Server::start(
        r#"jetstream { store_dir: "DIR/js" }
        accounts { A { jetstream: enabled, users: [
            { user: all, password: all },
            { user: few, password: few,
              permissions: { publish: "orders.>", subscribe: "_INBOX.>" } } ] } }"#,
    );
    on_core(async {
        let options =
            async_nats::ConnectOptions::with_user_and_password("all".into(), "all".into());
        let client = options.connect(server.url()).await.unwrap();
        make(&client, json!({"name": "S", "subjects": ["orders.>"], "storage": "file"})).await;
        let lane = crate::support::lane(
            json!({
                "url": server.url(), "jetstream": true,
                "username": "few", "password": {"env": "P"}
            }),
            crate::support::Secrets::tools(&[("P", "few")]),
        );
        for _ in 0..50 {
            let told = receipt(lane.call(publish("orders.a", "1")).await);
            assert_eq!(told["guarantee"], "broker-memory");
        }
        let fault = lane.call(publish("other", "1")).await.unwrap_err();
        assert_eq!((fault.class, fault.ran), (Class::UpstreamAuth, Ran::No));
    });
}

#[test]
fn the_same_event_is_stored_once_and_the_second_receipt_says_so() {
    let server = Server::start(JETSTREAM);
    on_core(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        make(&client, json!({"name": "S", "subjects": ["a", "b"], "storage": "memory"})).await;
        let lane = stream_lane(&server.url(), json!(true));
        let first = receipt(lane.call(identified("a", 1, "x")).await);
        let again = receipt(lane.call(identified("a", 1, "x")).await);
        assert_eq!((&first["duplicate"], &again["duplicate"]), (&json!(false), &json!(true)));
        assert_eq!(first["receipt"]["sequence"], again["receipt"]["sequence"]);
        // Another event, the same event for another subject, and no identity at all.
        for call in [identified("a", 2, "x"), identified("b", 1, "x"), publish("a", "x")] {
            assert_eq!(receipt(lane.call(call).await)["duplicate"], false);
        }
        assert_eq!(count(&client, "S").await, 4);
    });
}

#[test]
fn what_a_stream_refuses_surely_did_not_happen() {
    let server = Server::start(JETSTREAM);
    on_core(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        make(&client, json!({"name": "ONE", "subjects": ["one"], "storage": "memory"})).await;
        make(
            &client,
            json!({
                "name": "FULL", "subjects": ["full"], "storage": "memory",
                "max_msgs": 1, "discard": "new", "max_msg_size": 100
            }),
        )
        .await;
        let any = stream_lane(&server.url(), json!(true));
        let named = stream_lane(&server.url(), json!({"stream": "FULL"}));
        named.call(publish("full", "1")).await.unwrap();
        for (lane, call, name) in [
            (&any, publish("nowhere", "x"), "no_responders"),
            (&named, publish("one", "x"), "wrong_stream"),
            (&any, publish("full", "x"), "stream_full"),
            (&any, publish("full", vec![b'x'; 200]), "too_large"),
        ] {
            let fault = lane.call(call).await.unwrap_err();
            assert_eq!((fault.name(), fault.ran), (name, Ran::No), "{fault:?}");
        }
        assert_eq!((count(&client, "ONE").await, count(&client, "FULL").await), (0, 1));
    });
}

#[test]
fn a_request_that_a_stream_captures_is_not_taken_for_answered() {
    let server = Server::start(JETSTREAM);
    on_core(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        make(&client, json!({"name": "S", "subjects": ["t"], "storage": "memory"})).await;
        let fault = plain_lane(&server.url()).call(request("t", "x")).await.unwrap_err();
        assert_eq!((fault.name(), fault.ran), ("stream_captured_request", Ran::Maybe));
    });
}

#[test]
fn somebody_who_answers_in_place_of_a_stream_is_not_believed() {
    let server = Server::start(JETSTREAM);
    on_core(async {
        use futures_util::StreamExt as _;
        let client = async_nats::connect(server.url()).await.unwrap();
        let mut requests = subscribe(&client, "t").await;
        tokio::spawn(async move {
            while let Some(message) = requests.next().await {
                client.publish(message.reply.unwrap(), "ok".into()).await.unwrap();
            }
        });
        let fault =
            stream_lane(&server.url(), json!(true)).call(publish("t", "x")).await.unwrap_err();
        assert_eq!((fault.name(), fault.ran), ("no_puback", Ran::Maybe));
    });
}

#[test]
fn many_are_acknowledged_each_with_its_own_place() {
    let server = Server::start(JETSTREAM);
    on_core(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        make(&client, json!({"name": "S", "subjects": ["t"], "storage": "file"})).await;
        let lane = stream_lane(&server.url(), json!({"stream": "S"}));
        let outcomes = all(&lane, (0..3000).map(|n| publish("t", n.to_string()))).await;
        let places: std::collections::HashSet<u64> = outcomes
            .into_iter()
            .map(|outcome| receipt(outcome)["receipt"]["sequence"].as_u64().unwrap())
            .collect();
        assert_eq!(places, (1..=3000).collect());
    });
}
