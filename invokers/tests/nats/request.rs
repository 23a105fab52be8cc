//! Request and reply.

use std::time::Duration;

use async_nats::{Client, HeaderMap, Message};
use futures_util::StreamExt as _;
use schemas::{Class, Invoker as _, Ran, Verdict};

use crate::support::{Server, all, on_core, plain_lane, publish, request, subscribe};

/// Answers every request on the subject.
async fn serve(
    server: &Server,
    subject: &'static str,
    answer: impl Fn(&Message) -> (HeaderMap, String) + Send + 'static,
) -> Client {
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut requests = subscribe(&client, subject).await;
    let answerer = client.clone();
    tokio::spawn(async move {
        while let Some(message) = requests.next().await {
            let (headers, data) = answer(&message);
            let Some(inbox) = message.reply else { continue };
            answerer.publish_with_headers(inbox, headers, data.into()).await.unwrap();
        }
    });
    client
}

#[test]
fn a_service_sees_the_request_and_its_reply_is_the_answer() {
    let server = Server::start("");
    on_core(async {
        let lane = plain_lane(&server.url());
        let _service = serve(&server, "quotes.*", |message| {
            let asked = message.headers.as_ref().unwrap();
            let mut headers = HeaderMap::new();
            headers.insert("Http-Status", "201");
            headers.insert("http-header-x-query", asked.get("http-query").unwrap().as_str());
            headers.insert("content-type", "text/plain");
            (headers, format!("{} {}", message.subject, asked.get("http-method").unwrap()))
        })
        .await;
        let mut call = request("quotes.abc", "");
        call.head.method = http::Method::GET;
        call.head.uri = "/quote/abc?x=1".parse().unwrap();
        let reply = lane.call(call).await.unwrap();
        assert_eq!(reply.head.status, 201);
        assert_eq!(reply.head.headers["x-query"], "x=1");
        assert_eq!(reply.head.headers["content-type"], "text/plain");
        assert_eq!(reply.verdict, Verdict::Ok);
        assert_eq!(reply.data.whole().unwrap(), "quotes.abc GET");
    });
}

#[test]
fn replies_find_the_request_that_they_belong_to() {
    let server = Server::start("");
    on_core(async {
        let lane = plain_lane(&server.url());
        let _service = serve(&server, "echo", |message| {
            (HeaderMap::new(), String::from_utf8(message.payload.to_vec()).unwrap())
        })
        .await;
        // Publishes in between, so that fences and replies cross.
        let calls = (0..3000).map(|n| match n % 4 {
            0 => publish("t", n.to_string()),
            _ => request("echo", n.to_string()),
        });
        for (n, outcome) in all(&lane, calls).await.into_iter().enumerate() {
            let reply = outcome.unwrap();
            if n % 4 != 0 {
                assert_eq!(reply.data.whole().unwrap(), n.to_string());
            }
        }
    });
}

#[test]
fn a_service_that_fails_says_so_in_its_status_and_nobody_at_all_is_told_at_once() {
    let server = Server::start("");
    on_core(async {
        let lane = plain_lane(&server.url());
        let _service = serve(&server, "failing", |_| {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Service-Error", "no such order");
            headers.insert("Nats-Service-Error-Code", "404");
            (headers, String::new())
        })
        .await;
        let reply = lane.call(request("failing", "")).await.unwrap();
        assert_eq!(reply.head.status, 404);
        assert!(matches!(
            reply.verdict,
            Verdict::Failed { class: Class::FunctionFailed, ran: Ran::Maybe, .. }
        ));
        assert_eq!(reply.data.whole().unwrap(), "no such order");

        let asked = tokio::time::timeout(Duration::from_secs(5), lane.call(request("nobody", "")));
        let fault = asked.await.expect("at once").unwrap_err();
        assert_eq!((fault.class, fault.ran), (Class::NoResponders, Ran::No));
    });
}

#[test]
fn a_call_that_is_dropped_leaves_the_connection_as_it_was() {
    let server = Server::start("");
    on_core(async {
        let lane = plain_lane(&server.url());
        let client = async_nats::connect(server.url()).await.unwrap();
        let mut silent = subscribe(&client, "silent").await;
        for _ in 0..300 {
            let call = lane.call(request("silent", ""));
            drop(tokio::time::timeout(Duration::from_millis(1), call).await);
        }
        // A late reply to one who has left is not taken for another's.
        let late = loop {
            if let Some(reply) = silent.next().await.unwrap().reply {
                break reply;
            }
        };
        client.publish(late, "late".into()).await.unwrap();
        let _service = serve(&server, "echo", |_| (HeaderMap::new(), "mine".to_owned())).await;
        for _ in 0..200 {
            let reply = lane.call(request("echo", "")).await.unwrap();
            assert_eq!(reply.data.whole().unwrap(), "mine");
        }
    });
}
