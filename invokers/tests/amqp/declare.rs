//! What the gateway declares, and what it does not.

use schemas::{Class, Invoker as _, Ran};
use serde_json::json;

use crate::support::{
    Client, lane, on_core, plain_lane, publish, receipt, refused, shared, written,
};

#[test]
fn exchanges_queues_streams_and_bindings_are_declared_and_then_known_to_be_on_disk() {
    on_core(async {
        let declare = json!({"declare": {
            "exchanges": [{"name": "d-orders", "type": "topic"}],
            "queues": [
                {"name": "d-kept"},
                {"name": "d-gone", "durable": false},
                {"name": "d-quorum", "type": "quorum", "arguments": {"x-delivery-limit": 3}},
                {"name": "d-stream", "type": "stream", "arguments": {"x-max-age": "1h"}},
            ],
            "bindings": [
                {"exchange": "d-orders", "queue": "d-kept", "key": "kept.#"},
                {"exchange": "d-orders", "queue": "d-gone", "key": "gone.#"},
            ],
        }});
        let written = written(&shared().url(), declare);
        let first = lane(written.clone());
        for (address, guarantee) in [
            ("d-orders/kept.a", "broker-disk"),
            ("d-orders/gone.a", "broker-memory"),
            ("/d-kept", "broker-disk"),
            ("/d-gone", "broker-memory"),
            ("/d-quorum", "broker-disk"),
            ("/d-stream", "broker-disk"),
        ] {
            let receipt = receipt(first.call(publish(address, "x")).await);
            assert_eq!(receipt["guarantee"], guarantee, "{address}");
        }
        assert_eq!(refused(first.call(publish("d-orders/none", "x")).await).name(), "unroutable");
        let client = Client::connect(shared()).await;
        assert!(client.get("d-kept").await.is_some() && client.get("d-kept").await.is_some());
        // What is there already is no error.
        lane(written).call(publish("/d-kept", "x")).await.unwrap();
    });
}

#[test]
fn nothing_else_is_declared() {
    on_core(async {
        let lane = plain_lane(&shared().url());
        assert_eq!(refused(lane.call(publish("/undeclared", "x")).await).name(), "unroutable");
        assert_eq!(refused(lane.call(publish("/undeclared", "x")).await).name(), "unroutable");
    });
}

#[test]
fn what_is_there_with_other_properties_is_told_and_nothing_is_published() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let queue = client.queue().await;
        let declare = json!({"declare": {"queues": [{"name": queue, "durable": false}]}});
        let lane = lane(written(&shared().url(), declare));
        let fault = refused(lane.call(publish(&format!("/{queue}"), "x")).await);
        assert_eq!((fault.class, fault.ran), (Class::UpstreamProtocol, Ran::No), "{fault:?}");
        assert!(fault.detail.contains(&queue) && fault.detail.contains("other properties"));
        assert!(client.get(&queue).await.is_none());
    });
}
