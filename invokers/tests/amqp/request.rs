//! Request and reply.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use lapin::{
    BasicProperties,
    message::Delivery,
    options::{BasicConsumeOptions, BasicPublishOptions},
    types::{AMQPValue, FieldTable},
};
use schemas::{Class, Invoker as _, Ran};

use crate::support::{Client, Rabbit, all, on_core, plain_lane, publish, refused, request, shared};

/// Answers what comes to a queue, with headers and a body. `None` gives no answer.
async fn serve(
    rabbit: &Rabbit,
    answer: impl Fn(&Delivery) -> Option<(Vec<(&'static str, &'static str)>, Vec<u8>)> + 'static,
) -> String {
    let client = Client::connect(rabbit).await;
    let queue = client.queue().await;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut consumer = client
        .channel
        .basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default())
        .await
        .unwrap();
    tokio::task::spawn_local(async move {
        while let Some(Ok(asked)) = consumer.next().await {
            if let Some((headers, body)) = answer(&asked) {
                reply(&client, &asked, &headers, &body).await;
            }
        }
    });
    queue
}

async fn reply(client: &Client, asked: &Delivery, headers: &[(&str, &str)], body: &[u8]) {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert((*name).into(), AMQPValue::LongString((*value).into()));
    }
    let properties = BasicProperties::default()
        .with_correlation_id(asked.properties.correlation_id().clone().unwrap())
        .with_headers(table);
    let to = asked.properties.reply_to().clone().unwrap();
    let options = BasicPublishOptions::default();
    drop(client.channel.basic_publish("".into(), to, options, body, properties).await.unwrap());
}

#[test]
fn the_reply_is_the_answer_with_its_status_and_headers() {
    on_core(async {
        let queue = serve(shared(), |asked| {
            assert!(asked.properties.expiration().is_some());
            let headers = vec![
                ("http-status", "201"),
                ("http-header-x-more", "1"),
                ("http-header-content-type", "text/plain"),
            ];
            Some((headers, [b"got ", &asked.data[..]].concat()))
        })
        .await;
        let lane = plain_lane(&shared().url());
        let reply = lane.call(request(&format!("/{queue}"), "this")).await.unwrap();
        assert_eq!(reply.head.status, 201);
        assert_eq!(reply.head.headers["x-more"], "1");
        assert_eq!(reply.head.headers["content-type"], "text/plain");
        assert_eq!(reply.data.whole().unwrap(), "got this");
    });
}

#[test]
fn replies_find_the_request_that_they_belong_to() {
    on_core(async {
        let queue = serve(shared(), |asked| Some((Vec::new(), asked.data.clone()))).await;
        let client = Client::connect(shared()).await;
        let other = client.queue().await;
        let lane = plain_lane(&shared().url());
        let (ask, put) = (format!("/{queue}"), format!("/{other}"));
        let calls = (0..900).map(|n| match n % 4 {
            0 => publish(&put, n.to_string()),
            1 => request("/nobody.listens", n.to_string()),
            _ => request(&ask, n.to_string()),
        });
        for (n, outcome) in all(&lane, calls).await.into_iter().enumerate() {
            match n % 4 {
                0 => drop(outcome.unwrap()),
                1 => assert_eq!(refused(outcome).name(), "unroutable"),
                _ => assert_eq!(outcome.unwrap().data.whole().unwrap(), n.to_string()),
            }
        }
    });
}

#[test]
fn a_late_reply_is_dropped_and_counted_and_is_nobody_elses_answer() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let queue = client.queue().await;
        let lane = plain_lane(&shared().url());
        let address = format!("/{queue}");
        let before = invokers::late_replies();
        // The caller leaves, as it does when its time is over.
        let call = lane.call(request(&address, "late"));
        assert!(tokio::time::timeout(Duration::from_millis(300), call).await.is_err());
        let asked = client.get(&queue).await.expect("the request").delivery;
        // The next on the same channel asks, and gets the reply to its own question after the other.
        let next = lane.call(request(&address, "next"));
        let answer = async {
            let next = loop {
                if let Some(next) = client.get(&queue).await {
                    break next.delivery;
                }
            };
            reply(&client, &asked, &[], b"late").await;
            reply(&client, &next, &[], b"mine").await;
        };
        let (outcome, ()) = tokio::join!(next, answer);
        assert_eq!(outcome.unwrap().data.whole().unwrap(), "mine");
        assert!(invokers::late_replies() > before);
    });
}

#[test]
fn a_request_that_nobody_takes_in_time_expires() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let queue = client.queue().await;
        let lane = plain_lane(&shared().url());
        let mut short = request(&format!("/{queue}"), "x");
        short.deadline = Instant::now() + Duration::from_millis(200);
        let call = lane.call(short);
        assert!(tokio::time::timeout(Duration::from_millis(250), call).await.is_err());
        assert!(client.get(&queue).await.is_none(), "the request outlived its caller");
    });
}

#[test]
fn more_requests_than_can_wait_are_refused_at_once() {
    on_core(async {
        let client = Client::connect(shared()).await;
        let queue = client.queue().await;
        let lane = plain_lane(&shared().url());
        let address = format!("/{queue}");
        let asked = all(&lane, (0..1025).map(|_| request(&address, "x")));
        let outcome = tokio::time::timeout(Duration::from_secs(20), async {
            // All wait but the one that is over the bound.
            tokio::select! {
                all = asked => all.into_iter().next().unwrap(),
                fault = async {
                    loop {
                        let asked = tokio::time::timeout(
                            Duration::from_millis(20),
                            lane.call(request(&address, "x")),
                        );
                        if let Ok(outcome) = asked.await {
                            return outcome;
                        }
                    }
                } => fault,
            }
        });
        let fault = refused(outcome.await.expect("it is refused"));
        assert_eq!((fault.class, fault.ran), (Class::Overloaded, Ran::No), "{fault:?}");
        assert!(fault.retry_after.is_some());
    });
}
