//! What goes out and what comes back.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use schemas::{Body, BodyError, Class, EndpointId, Invoker, Ran, Verdict};

use super::{
    call, fault, get, lane,
    peer::{Peer, core},
    said, text,
};

#[tokio::test]
async fn status_headers_and_bytes_come_back_unchanged() {
    core(async {
        let peer = Peer::serve(|_| async {
            let mut response = Response::new(Body::from(Bytes::from_static(b"\0\xff bytes")));
            *response.status_mut() = StatusCode::from_u16(418).unwrap();
            let headers = response.headers_mut();
            headers.append("set-cookie", HeaderValue::from_static("a=1"));
            headers.append("set-cookie", HeaderValue::from_static("b=2"));
            headers.append("x-odd", HeaderValue::from_bytes(b"caf\xe9").unwrap());
            response
        })
        .await;
        let reply = lane(&[&peer.url]).call(get("/")).await.unwrap();
        assert_eq!(reply.head.status, 418);
        assert_eq!(reply.verdict, Verdict::Ok);
        assert_eq!(reply.endpoint, Some(EndpointId(0)));
        let headers = &reply.head.headers;
        let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        assert_eq!(headers["x-odd"].as_bytes(), b"caf\xe9");
        assert_eq!(headers[header::CONTENT_LENGTH], "8");
        assert_eq!(reply.data.collect(100).await.unwrap(), &b"\0\xff bytes"[..]);
    })
    .await;
}

#[tokio::test]
async fn the_request_goes_on_unchanged_with_the_endpoints_host() {
    core(async {
        let peer = Peer::echo().await;
        let lane = lane(&[&peer.url]);
        let host = peer.url.strip_prefix("http://").unwrap();
        let headers = [("x-a", "1"), ("x-b", "2"), ("x-a", "3"), ("content-length", "4")];
        let call = call(Method::PATCH, "/a%2Fb//c?q=%20&r", &headers, "body");
        assert_eq!(
            said(&lane, call).await,
            format!(
                "PATCH /a%2Fb//c?q=%20&r [host={host} x-a=1 x-a=3 x-b=2 content-length=4] body"
            )
        );
    })
    .await;
}

#[tokio::test]
async fn a_host_that_is_to_be_kept_is_kept() {
    core(async {
        let peer = Peer::echo().await;
        let call = call(Method::GET, "/", &[("host", "shop.example.com")], "");
        assert_eq!(said(&lane(&[&peer.url]), call).await, "GET / [host=shop.example.com] ");
    })
    .await;
}

#[tokio::test]
async fn the_endpoints_own_path_goes_in_front() {
    core(async {
        let peer = Peer::echo().await;
        let url = format!("{}/api/v1/", peer.url);
        let call = call(Method::GET, "http://other/a?b", &[("host", "h")], "");
        assert_eq!(said(&lane(&[&url]), call).await, "GET /api/v1/a?b [host=h] ");
    })
    .await;
}

#[tokio::test]
async fn nobody_is_asked_to_wait_for_100() {
    core(async {
        let peer = Peer::echo().await;
        let headers = [("host", "h"), ("expect", "100-continue"), ("content-length", "1")];
        let call = call(Method::POST, "/", &headers, "x");
        assert_eq!(said(&lane(&[&peer.url]), call).await, "POST / [host=h content-length=1] x");
    })
    .await;
}

#[tokio::test]
async fn failures_of_the_service_come_back_as_replies_with_a_verdict() {
    core(async {
        let peer = Peer::serve(|request| async move {
            let mut response = Response::new(Body::from(Bytes::from_static(b"sorry")));
            *response.status_mut() = request.uri().path().trim_start_matches('/').parse().unwrap();
            response
        })
        .await;
        let lane = lane(&[&peer.url]);
        for (path, class, ran) in
            [("/503", Class::FunctionFailed, Ran::Maybe), ("/429", Class::Throttled, Ran::No)]
        {
            let reply = lane.call(get(path)).await.unwrap();
            assert_eq!(reply.verdict, Verdict::Failed { class, ran, retry_after_ms: None });
            assert_eq!(text(reply).await, "sorry");
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_service_cannot_be_asked_is_refused_before_it_is_sent() {
    core(async {
        let peer = Peer::echo().await;
        let lane = lane(&[&peer.url]);
        let tunnel = fault(&lane, call(Method::CONNECT, "/", &[], "")).await;
        assert_eq!((tunnel.class, tunnel.ran), (Class::BadRequest, Ran::No));
        let mut named = get("/");
        named.function = "orders".into();
        assert_eq!(fault(&lane, named).await.class, Class::FunctionNotDeployed);
        assert_eq!(peer.connections(), 0);
    })
    .await;
}

/// A body that breaks after its first chunk.
struct Breaks(Vec<Option<BodyError>>);

impl http_body::Body for Breaks {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        cx.waker().wake_by_ref();
        std::task::Poll::Ready(self.0.pop().map(|error| match error {
            Some(error) => Err(error),
            None => Ok(http_body::Frame::data(Bytes::from_static(b"chunk"))),
        }))
    }
}

#[tokio::test]
async fn a_body_of_the_callers_that_breaks_is_the_callers_fault_and_may_have_run() {
    core(async {
        let peer = Peer::echo().await;
        let lane = lane(&[&peer.url]);
        let broken =
            |kind: std::io::ErrorKind| BodyError::Broken(std::io::Error::from(kind).into());
        for (error, class) in [
            (BodyError::TooLarge { limit: 3 }, Class::TooLarge),
            (BodyError::Idle { millis: 60 }, Class::RequestTimeout),
            (broken(std::io::ErrorKind::InvalidInput), Class::BadRequest),
            (broken(std::io::ErrorKind::UnexpectedEof), Class::Cancelled),
        ] {
            let mut call = call(Method::POST, "/", &[], "");
            call.event.data = Body::boxed(Breaks(vec![Some(error), None]));
            let fault = fault(&lane, call).await;
            assert_eq!((fault.class, fault.ran), (class, Ran::Maybe), "{fault:?}");
        }
    })
    .await;
}
