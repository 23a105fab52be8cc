//! HTTP/2 without TLS, by prior knowledge.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, runtime::Builder};

use super::through;
use crate::support::{Gateway, Peer, eventually, noise};

fn block_on<T>(task: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(task)
}

async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let socket = TcpStream::connect(address).await.unwrap();
    let (send, connection) = handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    send
}

async fn post(send: &mut SendRequest<Full<Bytes>>, path: &str, body: Bytes) -> (StatusCode, Bytes) {
    let request = Request::post(format!("http://shop.test{path}")).body(Full::new(body)).unwrap();
    let answer = send.send_request(request).await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
    (answer.status(), answer.into_body().collect().await.unwrap().to_bytes())
}

#[test]
fn a_request_over_http_2_reaches_a_service_that_speaks_http_1() {
    let peer = Peer::echo();
    let gateway = through(&peer);
    let body = Bytes::from(noise(300_000));
    let (status, back) = block_on(async {
        let mut send = connect(gateway.address()).await;
        post(&mut send, "/a?b=c", body.clone()).await
    });
    assert_eq!(status, StatusCode::OK);
    assert_eq!(back, body);
    let seen = peer.only();
    assert_eq!(seen.target(), "/a?b=c");
    assert_eq!(seen.head.start, "POST /a?b=c HTTP/1.1");
}

#[test]
fn requests_of_one_connection_run_beside_each_other() {
    let peer = Peer::echo();
    let gateway = through(&peer);
    block_on(async {
        let send = connect(gateway.address()).await;
        let calls = (0..50).map(|n| {
            let mut send = send.clone();
            tokio::spawn(async move {
                let body = Bytes::from(format!("call {n}"));
                (post(&mut send, "/", body.clone()).await, body)
            })
        });
        for call in calls.collect::<Vec<_>>() {
            let ((status, back), body) = call.await.unwrap();
            assert_eq!((status, back), (StatusCode::OK, body));
        }
    });
}

#[test]
fn a_problem_is_told_over_http_2_as_well() {
    let peer = Peer::answering("ok");
    let gateway = Gateway::start(&format!(
        "upstreams: {{ web: {{ kind: http, url: {} }} }}
routes: [{{ name: only, match: {{ path: /only }}, to: web }}]
",
        peer.url()
    ));
    let (status, body) = block_on(async {
        let mut send = connect(gateway.address()).await;
        post(&mut send, "/other", Bytes::new()).await
    });
    assert_eq!(status, StatusCode::NOT_FOUND);
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["code"], "no_route", "{problem}");
}

#[test]
fn half_a_request_is_not_stored_however_its_stream_is_reset() {
    let peer = Peer::answering("x");
    let gateway = Gateway::start(&format!(
        "upstreams: {{ web: {{ kind: http, url: {} }} }}\nroutes:\n  - {{ name: in, match: {{ path: \
         /in }}, to: web, ack: stored }}\n",
        peer.url()
    ));
    eventually("it stores", || (gateway.metric("gusset_outbox_ready") == 1).then_some(()));
    block_on(async {
        let socket = TcpStream::connect(gateway.address()).await.unwrap();
        let (mut send, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        let request = || Request::post("http://shop.test/in").body(()).unwrap();
        for reason in [h2::Reason::NO_ERROR, h2::Reason::CANCEL] {
            let (answer, mut body) = send.send_request(request(), false).unwrap();
            body.send_data("half".into(), false).unwrap();
            // A whole one behind it has been read when it is answered, and so has the half.
            let (whole, mut rest) = send.send_request(request(), false).unwrap();
            rest.send_data("whole".into(), true).unwrap();
            assert_eq!(whole.await.unwrap().status(), StatusCode::ACCEPTED);
            body.send_reset(reason);
            assert!(answer.await.is_err());
        }
        let (last, mut rest) = send.send_request(request(), false).unwrap();
        rest.send_data("last".into(), true).unwrap();
        assert_eq!(last.await.unwrap().status(), StatusCode::ACCEPTED);
    });
    eventually("what is whole is delivered", || (peer.seen().len() >= 3).then_some(()));
    // The service has a request a moment before the gateway has its answer.
    let pending = || gateway.metric("gusset_outbox_pending{target=\"web\"}");
    eventually("nothing is left", || (pending() == 0).then_some(()));
    let whole = ["last", "whole"].map(str::to_owned);
    assert_eq!(peer.bodies(), whole.into());
    assert_eq!(peer.seen().len(), 3);
}
