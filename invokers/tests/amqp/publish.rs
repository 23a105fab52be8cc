//! What a 202 means, and what is refused.

use lapin::types::AMQPValue;
use schemas::{Attributes, Class, Format, Invoker as _, Ran};
use serde_json::json;

use crate::support::{
    Client, MESSAGE_MAX, all, event, on_core, plain_lane, publish, receipt, refused, shared,
};

#[test]
fn an_event_arrives_with_its_attributes_and_is_persistent() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let queue = client.queue().await;
        let lane = plain_lane(&shared().url());
        assert_eq!(lane.state(), "idle");
        let attributes = Attributes {
            id: "7".into(),
            source: "/shop".into(),
            kind: "order made".into(),
            time: Some("2026-11-23T12:00:00Z".into()),
            datacontenttype: Some("application/json".into()),
            ..Attributes::default()
        };
        let address = format!("/{queue}");
        let binary = event(&address, attributes.clone(), Format::Binary, "{\"a\":1.10}");
        assert_eq!(
            receipt(lane.call(binary).await),
            json!({
                "ack": "published", "guarantee": "broker-memory", "duplicate": false,
                "receipt": {"exchange": "", "key": queue}
            })
        );
        let message = client.get(&queue).await.unwrap().delivery;
        assert_eq!(message.data, b"{\"a\":1.10}");
        let properties = &message.properties;
        assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/json");
        assert_eq!(
            (*properties.delivery_mode(), *properties.timestamp()),
            (Some(2), Some(1_795_435_200))
        );
        let headers = properties.headers().as_ref().unwrap().inner();
        assert_eq!(headers["ce-type"], AMQPValue::LongString("order made".into()));
        assert_eq!(headers["ce-id"], AMQPValue::LongString("7".into()));

        let structured = event(&address, attributes, Format::Structured, "1");
        lane.call(structured).await.unwrap();
        let message = client.get(&queue).await.unwrap().delivery;
        let kind = message.properties.content_type().clone().unwrap();
        assert_eq!(kind.as_str(), "application/cloudevents+json");
        let document: serde_json::Value = serde_json::from_slice(&message.data).unwrap();
        assert_eq!((&document["id"], &document["data"]), (&json!("7"), &json!(1)));
        assert_eq!(lane.state(), "up");
    });
}

#[test]
fn every_one_of_many_is_confirmed_and_there() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let queue = client.queue().await;
        let lane = plain_lane(&shared().url());
        let address = format!("/{queue}");
        let outcomes = all(&lane, (0..3000).map(|n| publish(&address, n.to_string()))).await;
        assert!(outcomes.iter().all(Result::is_ok));
        assert_eq!(client.numbers(&queue).await.len(), 3000);
    });
}

#[test]
fn what_nobody_takes_is_refused_and_what_others_publish_beside_it_is_not() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let queue = client.queue().await;
        let lane = plain_lane(&shared().url());
        let good = format!("/{queue}");
        // Returns, closed channels and confirmations cross on one connection, thousands at a time.
        let address = |n: usize| match n % 4 {
            0 => "/nobody.listens",
            1 => "no.such.exchange/key",
            _ => &good,
        };
        let outcomes = all(&lane, (0..4000).map(|n| publish(address(n), n.to_string()))).await;
        for (n, outcome) in outcomes.into_iter().enumerate() {
            match n % 4 {
                0 => {
                    let fault = refused(outcome);
                    assert_eq!((fault.name(), fault.ran), ("unroutable", Ran::No), "{fault:?}");
                    assert!(fault.detail.contains("nobody.listens"), "{fault}");
                }
                1 => {
                    let fault = refused(outcome);
                    assert_eq!((fault.name(), fault.ran), ("no_exchange", Ran::No), "{fault:?}");
                    assert!(fault.detail.contains("no.such.exchange"), "{fault}");
                }
                _ => assert_eq!(receipt(outcome)["ack"], "published"),
            }
        }
        let there = client.numbers(&queue).await;
        let expected = (0..4000).filter(|n| n % 4 > 1).collect();
        assert_eq!(there, expected);
        assert_eq!(lane.state(), "up");
    });
}

#[test]
fn a_full_queue_that_refuses_is_a_nack_and_may_be_tried_again_later() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let arguments = [
            ("x-max-length", AMQPValue::LongLongInt(2)),
            ("x-overflow", AMQPValue::LongString("reject-publish".into())),
        ];
        let queue = client.queue_with(&arguments).await;
        let lane = plain_lane(&shared().url());
        let mut nacked = 0;
        // The queue tells its publishers a little later that it is full.
        for _ in 0..20 {
            if let Err(fault) = lane.call(publish(&format!("/{queue}"), "x")).await {
                assert_eq!((fault.class, fault.name()), (Class::Unavailable, "nacked"));
                // Another queue that is bound to the same key may have taken it.
                assert_eq!(fault.ran, Ran::Maybe);
                assert!(fault.retry_after.is_some());
                nacked += 1;
            }
        }
        assert!(nacked >= 10, "{nacked}");
        client.get(&queue).await.unwrap();
        client.get(&queue).await.unwrap();
        lane.call(publish(&format!("/{queue}"), "x")).await.unwrap();
    });
}

#[test]
fn a_nack_is_maybe_because_another_queue_may_have_the_message() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let arguments = [
            ("x-max-length", AMQPValue::LongLongInt(1)),
            ("x-overflow", AMQPValue::LongString("reject-publish".into())),
        ];
        let (full, takes) = (client.queue_with(&arguments).await, client.queue().await);
        let exchange = client.exchange().await;
        client.bind(&exchange, "k", &full).await;
        client.bind(&exchange, "k", &takes).await;
        let lane = plain_lane(&shared().url());
        let address = format!("{exchange}/k");
        let outcomes = all(&lane, (0..200).map(|n| publish(&address, n.to_string()))).await;
        let nacked = outcomes.into_iter().filter_map(Result::err).map(|fault| {
            assert_eq!((fault.name(), fault.ran), ("nacked", Ran::Maybe), "{fault:?}");
        });
        assert!(nacked.count() > 100);
        assert_eq!(client.numbers(&takes).await.len(), 200);
    });
}

#[test]
fn what_is_larger_than_the_broker_takes_is_refused_and_leaves_the_connection() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let queue = client.queue().await;
        let lane = plain_lane(&shared().url());
        let address = format!("/{queue}");
        lane.call(publish(&address, vec![b'x'; MESSAGE_MAX])).await.unwrap();
        let fault = refused(lane.call(publish(&address, vec![b'x'; MESSAGE_MAX + 1])).await);
        assert_eq!((fault.class, fault.ran), (Class::TooLarge, Ran::No), "{fault:?}");
        let mut headers = publish(&address, "x");
        headers.head.headers.insert("x-long", "y".repeat(140_000).parse().unwrap());
        let fault = refused(lane.call(headers).await);
        assert_eq!((fault.class, fault.ran), (Class::TooLarge, Ran::No), "{fault:?}");
        lane.call(publish(&address, "x")).await.unwrap();
        assert_eq!(client.get(&queue).await.unwrap().delivery.data.len(), MESSAGE_MAX);
        assert_eq!(client.get(&queue).await.unwrap().delivery.data, b"x");
    });
}

#[test]
fn what_is_no_exchange_and_key_is_refused() {
    on_core(async {
        let lane = plain_lane(&shared().url());
        for function in ["", "orders", "/", "a/b\r\n", &format!("e/{}", "k".repeat(256))] {
            let fault = refused(lane.call(publish(function, "x")).await);
            assert_eq!((fault.class, fault.ran), (Class::BadRequest, Ran::No), "{function:?}");
        }
    });
}

#[test]
fn a_caller_that_leaves_takes_no_place_with_it() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let queue = client.queue().await;
        let lane = plain_lane(&shared().url());
        let address = format!("/{queue}");
        for _ in 0..1000 {
            let call = lane.call(publish(&address, "0"));
            drop(tokio::time::timeout(std::time::Duration::from_micros(300), call).await);
        }
        let outcomes = all(&lane, (0..1000).map(|_| publish("/nobody.listens", "x"))).await;
        assert!(outcomes.into_iter().all(|outcome| refused(outcome).name() == "unroutable"));
        lane.call(publish(&address, "0")).await.unwrap();
    });
}
