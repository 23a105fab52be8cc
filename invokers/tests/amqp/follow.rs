//! Listening to an exchange beside those who read from its queues.

use invokers::amqp;
use schemas::{Class, Invoker as _};
use serde_json::json;

use crate::support::{
    Client, Secrets, on_core, plain_lane, publish, shared, target, tools, written,
};

#[test]
fn what_is_published_to_an_exchange_is_heard_and_taken_from_nobody() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let (exchange, queue) = (client.exchange().await, client.queue().await);
        client.bind(&exchange, "created.de", &queue).await;
        let target = target(written(&shared().url(), json!({})));
        let listened = format!("{exchange}/created.*");
        let mut heard = amqp::follow(&target, &tools(), &listened).await.unwrap();
        let lane = plain_lane(&shared().url());
        let address = format!("{exchange}/created.de");
        for n in 0..600 {
            lane.call(publish(&address, n.to_string())).await.unwrap();
        }
        for n in 0..600 {
            let (place, message) = heard.next().await.unwrap().unwrap();
            assert_eq!((place, message.data), (address.clone(), n.to_string().into()));
        }
        assert_eq!(client.numbers(&queue).await.len(), 600);
    });
}

#[test]
fn what_cannot_be_listened_to_is_told_with_what_to_do() {
    on_core(async {
        let right = target(written(&shared().url(), json!({})));
        for (pattern, class, says) in [
            ("/queue", Class::BadRequest, "rabbit/exchange/key"),
            ("orders", Class::BadRequest, "exchange/key"),
            ("no.such.exchange/#", Class::FunctionNotDeployed, "no.such.exchange"),
        ] {
            let fault = amqp::follow(&right, &tools(), pattern).await.unwrap_err();
            assert_eq!(fault.class, class, "{pattern}: {fault:?}");
            assert!(fault.detail.contains(says), "{fault:?}");
        }
        let wrong = Secrets::tools(&[("P", "wrong")]);
        let fault = amqp::follow(&right, &wrong, "e/#").await.unwrap_err();
        assert_eq!(fault.class, Class::UpstreamAuth, "{fault:?}");
    });
}
