//! Core publish: what a 202 means, and what is refused.

use std::{collections::HashSet, time::Duration};

use futures_util::StreamExt as _;
use invokers::nats;
use schemas::{Attributes, Class, Format, Invoker as _, Ran};
use serde_json::json;

use crate::support::{
    Secrets, Server, all, event, lane, on_core, plain_lane, publish, receipt, request, subscribe,
    target,
};

/// One user who may publish to `ok.>` and nothing else.
const ONLY_OK: &str = r#"authorization { users = [
    { user: all, password: all },
    { user: few, password: few, permissions: {
        publish: ["ok.>", "_INBOX.>"], subscribe: ["_INBOX.>", "ok.>"] } },
    { user: mute, password: mute, permissions: { publish: "ok.>", subscribe: "_INBOX.>" } },
    { user: deaf, password: deaf, permissions: { publish: ">", subscribe: "ok.>" } }
] }"#;

fn as_user(server: &Server, user: &str) -> std::rc::Rc<nats::Lane> {
    let written = json!({"url": server.url(), "username": user, "password": {"env": "P"}});
    lane(written, Secrets::tools(&[("P", user)]))
}

async fn client(server: &Server) -> async_nats::Client {
    let options = async_nats::ConnectOptions::with_user_and_password("all".into(), "all".into());
    options.connect(server.url()).await.unwrap()
}

#[test]
fn an_event_arrives_with_its_attributes_and_the_receipt_promises_nothing() {
    let server = Server::start("");
    on_core(async {
        let lane = plain_lane(&server.url());
        assert_eq!(lane.state(), "idle");
        let client = async_nats::connect(server.url()).await.unwrap();
        let mut heard = subscribe(&client, "orders.>").await;
        let attributes = Attributes {
            id: "7".into(),
            source: "/shop".into(),
            kind: "order made".into(),
            datacontenttype: Some("application/json".into()),
            ..Attributes::default()
        };
        let binary = event("orders.made", attributes.clone(), Format::Binary, "{\"a\":1.10}");
        assert_eq!(
            receipt(lane.call(binary).await),
            json!({
                "ack": "published", "guarantee": "none", "duplicate": false,
                "receipt": {"subject": "orders.made"}
            })
        );
        let message = heard.next().await.unwrap();
        assert_eq!(message.payload, "{\"a\":1.10}");
        let headers = message.headers.unwrap();
        let header = |name: &str| headers.get(name).map(ToString::to_string);
        assert_eq!(header("ce-type").unwrap(), "order%20made");
        assert_eq!(header("ce-datacontenttype").unwrap(), "application/json");
        assert_eq!(header("content-type"), None);

        let structured = event("orders.made", attributes, Format::Structured, "1");
        lane.call(structured).await.unwrap();
        let message = heard.next().await.unwrap();
        let kind = message.headers.unwrap().get("content-type").unwrap().to_string();
        assert_eq!(kind, "application/cloudevents+json");
        let document: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!((&document["id"], &document["data"]), (&json!("7"), &json!(1)));
        assert_eq!(lane.state(), "up");
    });
}

#[test]
fn every_one_of_many_is_confirmed_and_seen() {
    let server = Server::start("");
    on_core(async {
        let lane = plain_lane(&server.url());
        let client = async_nats::connect(server.url()).await.unwrap();
        let mut heard = subscribe(&client, "t").await;
        let outcomes = all(&lane, (0..5000).map(|n| publish("t", n.to_string()))).await;
        assert!(outcomes.iter().all(Result::is_ok));
        let mut seen = HashSet::new();
        while seen.len() < 5000 {
            seen.insert(heard.next().await.unwrap().payload);
        }
    });
}

#[test]
fn what_the_server_refuses_is_never_confirmed() {
    let server = Server::start(ONLY_OK);
    on_core(async {
        let lane = as_user(&server, "few");
        let client = client(&server).await;
        let mut heard = subscribe(&client, ">").await;
        // Refusals and confirmations cross on one connection, thousands at a time.
        let subject = |n: usize| if n.is_multiple_of(3) { "ok.t" } else { "no.t" };
        let calls = (0..6000).map(|n| {
            let call = if n % 7 == 1 { request } else { publish };
            call(subject(n), n.to_string())
        });
        let outcomes = all(
            &lane,
            calls.filter(|call| call.ack == schemas::Ack::Published || &*call.function == "no.t"),
        )
        .await;
        let mut confirmed = 0;
        for outcome in &outcomes {
            match outcome {
                Ok(reply) => {
                    confirmed += 1;
                    assert_eq!(reply.receipt.as_ref().unwrap().receipt["subject"], "ok.t");
                }
                Err(fault) => {
                    assert_eq!((fault.class, fault.ran), (Class::UpstreamAuth, Ran::No));
                }
            }
        }
        assert!(confirmed > 1500, "{confirmed}");
        for _ in 0..confirmed {
            let message = loop {
                let message = heard.next().await.unwrap();
                if !message.subject.starts_with("_INBOX.") {
                    break message;
                }
            };
            assert_eq!(message.subject.as_str(), "ok.t");
        }
    });
}

#[test]
fn a_user_without_its_inbox_is_told_what_to_allow() {
    let server = Server::start(ONLY_OK);
    on_core(async {
        let client = client(&server).await;
        let mut service = subscribe(&client, "ok.service").await;
        tokio::spawn(async move {
            while let Some(message) = service.next().await {
                client.publish(message.reply.unwrap(), "pong".into()).await.unwrap();
            }
        });
        for user in ["mute", "deaf"] {
            let fault = as_user(&server, user).call(publish("ok.t", "x")).await.unwrap_err();
            assert_eq!((fault.class, fault.ran), (Class::UpstreamAuth, Ran::No), "{user}");
            assert!(fault.detail.contains("_INBOX.>"), "{fault:?}");
        }
        // A request needs no fence.
        let reply = as_user(&server, "mute").call(request("ok.service", "ping")).await.unwrap();
        assert_eq!(reply.data.whole().unwrap(), "pong");
    });
}

#[test]
fn what_is_larger_than_the_server_takes_is_not_sent() {
    let server = Server::start("max_payload: 1000");
    on_core(async {
        let lane = plain_lane(&server.url());
        lane.call(publish("t", vec![b'x'; 1000])).await.unwrap();
        let mut with_header = publish("t", vec![b'x'; 950]);
        let value = "y".repeat(100).parse().unwrap();
        with_header.head.headers.insert("x-more", value);
        for call in [publish("t", vec![b'x'; 1001]), with_header] {
            let fault = lane.call(call).await.unwrap_err();
            assert_eq!((fault.class, fault.ran), (Class::TooLarge, Ran::No));
            assert!(fault.detail.contains("1000 bytes"), "{fault}");
        }
        // The server would have ended the connection for it.
        assert_eq!(lane.state(), "up");
        lane.call(publish("t", "x")).await.unwrap();
    });
}

#[test]
fn what_is_no_subject_is_refused() {
    let server = Server::start("");
    on_core(async {
        let lane = plain_lane(&server.url());
        for subject in ["", "a..b", "a.*", ">", "a b", "a\r\nPUB b 0\r\n"] {
            let fault = lane.call(publish(subject, "x")).await.unwrap_err();
            assert_eq!((fault.class, fault.ran), (Class::BadRequest, Ran::No), "{subject:?}");
        }
    });
}

#[test]
fn one_who_follows_hears_what_is_published_or_why_not() {
    let server = Server::start(ONLY_OK);
    on_core(async {
        let written = json!({"url": server.url(), "username": "few", "password": {"env": "P"}});
        let tools = Secrets::tools(&[("P", "few")]);
        let target = target(written);
        let mut following = nats::follow(&target, &tools, "ok.>").await.unwrap();
        let lane = as_user(&server, "few");
        let attributes = Attributes {
            id: "1".into(),
            source: "/s".into(),
            kind: "k".into(),
            ..Attributes::default()
        };
        // The server may not have seen the subscription yet.
        let (subject, message) = loop {
            lane.call(event("ok.t", attributes.clone(), Format::Binary, "hi")).await.unwrap();
            let next = tokio::time::timeout(Duration::from_millis(100), following.next());
            if let Ok(heard) = next.await {
                break heard.unwrap().unwrap();
            }
        };
        assert_eq!(subject, "ok.t");
        assert_eq!(message.attributes, Some(attributes));
        assert_eq!(message.data, "hi");

        let mut refused = nats::follow(&target, &tools, "no.>").await.unwrap();
        let fault = refused.next().await.unwrap().unwrap_err();
        assert_eq!(fault.class, Class::UpstreamAuth);
    });
}
