//! Bodies that move while both sides are still talking.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use hyper_util::rt::TokioIo;
use schemas::{Body, BodyError, Class, Invoker, Ran};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use super::{
    call, fault, get, lane,
    peer::{Peer, core},
    said, text,
};

/// A body that is fed by hand.
struct Fed(mpsc::Receiver<Frame<Bytes>>);

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

fn fed() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (feed, body) = mpsc::channel(4);
    (feed, Body::boxed(Fed(body)))
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

async fn next(body: &mut Body) -> Option<Frame<Bytes>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await.transpose().unwrap()
}

async fn chunk(body: &mut Body) -> Bytes {
    next(body).await.unwrap().into_data().unwrap()
}

/// Sends back what comes, as it comes.
async fn mirror() -> Peer {
    Peer::serve(|request| async {
        let trailer = request.headers().get(header::TRAILER).cloned();
        let mut response = Response::new(Body::incoming(request.into_body()));
        if let Some(trailer) = trailer {
            response.headers_mut().insert(header::TRAILER, trailer);
        }
        response
    })
    .await
}

#[tokio::test]
async fn both_bodies_stream() {
    core(async {
        let peer = mirror().await;
        let lane = lane(&[&peer.url]);
        let (feed, body) = fed();
        let mut call = call(Method::POST, "/", &[], "");
        call.event.data = body;
        feed.send(data("one")).await.unwrap();
        let mut reply = lane.call(call).await.unwrap();
        // The second chunk leaves only when the first has come back.
        assert_eq!(chunk(&mut reply.data).await, "one");
        feed.send(data("two")).await.unwrap();
        assert_eq!(chunk(&mut reply.data).await, "two");
        drop(feed);
        assert!(next(&mut reply.data).await.is_none());
        assert_eq!(said(&lane, get("/")).await, "");
        assert_eq!(peer.connections(), 1);
    })
    .await;
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    core(async {
        let peer = mirror().await;
        let (feed, body) = fed();
        let headers = [("trailer", "x-sum"), ("te", "trailers, deflate")];
        let mut call = call(Method::POST, "/", &headers, "");
        call.event.data = body;
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "42".parse().unwrap())]);
        feed.send(data("body")).await.unwrap();
        feed.send(Frame::trailers(trailers.clone())).await.unwrap();
        drop(feed);
        let mut reply = lane(&[&peer.url]).call(call).await.unwrap();
        assert_eq!(reply.head.headers[header::TRAILER], "x-sum");
        assert_eq!(chunk(&mut reply.data).await, "body");
        assert_eq!(next(&mut reply.data).await.unwrap().into_trailers().unwrap(), trailers);
        assert!(next(&mut reply.data).await.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_get_may_have_a_body_whose_length_nobody_knows() {
    core(async {
        let peer = mirror().await;
        let (feed, body) = fed();
        let mut call = get("/");
        call.event.data = body;
        feed.send(data("body")).await.unwrap();
        drop(feed);
        assert_eq!(said(&lane(&[&peer.url]), call).await, "body");
    })
    .await;
}

#[tokio::test]
async fn a_change_of_protocol_that_was_asked_for_joins_both_sides() {
    core(async {
        let peer = Peer::serve(|mut request| async move {
            assert_eq!(request.headers()[header::CONNECTION], "upgrade");
            assert_eq!(request.headers()[header::UPGRADE], "shout");
            tokio::spawn(async move {
                let io = hyper::upgrade::on(&mut request).await.unwrap();
                let mut io = TokioIo::new(io);
                let mut word = [0; 5];
                io.read_exact(&mut word).await.unwrap();
                io.write_all(&word.to_ascii_uppercase()).await.unwrap();
            });
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("shout"));
            response
        })
        .await;
        let lane = lane(&[&peer.url]);
        let mut call = get("/");
        call.upgrade = Some(HeaderValue::from_static("shout"));
        let reply = lane.call(call).await.unwrap();
        assert_eq!(reply.head.status, StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(reply.head.headers[header::UPGRADE], "shout");
        assert!(!reply.head.headers.contains_key(header::CONNECTION));
        let mut io = reply.upgrade.unwrap();
        io.write_all(b"hello").await.unwrap();
        let mut word = [0; 5];
        io.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"HELLO");

        // Unasked, it is a fault: what follows would be no HTTP.
        let fault = fault(&lane, {
            let mut call = get("/");
            call.head.headers.insert("upgrade", HeaderValue::from_static("shout"));
            call.head.headers.insert("connection", HeaderValue::from_static("upgrade"));
            call
        })
        .await;
        assert_eq!((fault.class, fault.ran), (Class::UpstreamProtocol, Ran::Maybe));
        assert_eq!(peer.connections(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_service_that_does_not_change_the_protocol_just_answers() {
    core(async {
        let peer = Peer::echo().await;
        let mut call = get("/");
        call.upgrade = Some(HeaderValue::from_static("shout"));
        let reply = lane(&[&peer.url]).call(call).await.unwrap();
        assert!(reply.upgrade.is_none());
        assert!(text(reply).await.contains("upgrade=shout connection=upgrade"));
    })
    .await;
}
