//! How connections live and die.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Response};
use schemas::{Body, BodyError, Class, EndpointId, Invoker, Ran, units::Span};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use super::{
    super::Written,
    call, fault, get, lane, lane_of,
    peer::{Peer, core, local, raw, soon},
    said,
};

#[tokio::test]
async fn a_connection_serves_one_call_after_the_other() {
    core(async {
        let peer = Peer::echo().await;
        let lane = lane(&[&peer.url]);
        for method in [Method::GET, Method::POST, Method::HEAD, Method::GET] {
            said(&lane, call(method, "/", &[], "")).await;
        }
        assert_eq!(peer.connections(), 1);
    })
    .await;
}

#[tokio::test]
async fn calls_at_the_same_time_have_a_connection_each() {
    core(async {
        let peer = Peer::echo().await;
        let lane = lane(&[&peer.url]);
        for _ in 0..3 {
            let calls = (0..4).map(|_| said(&lane, get("/")));
            futures_util::future::join_all(calls).await;
        }
        assert_eq!(peer.connections(), 4);
    })
    .await;
}

#[tokio::test]
async fn the_client_needs_no_local_set() {
    let peer = std::thread::spawn(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert_ne!(stream.read(&mut [0; 1024]).unwrap(), 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").unwrap();
        });
        address
    });
    let address = peer.join().unwrap();
    assert_eq!(said(&lane(&[&format!("http://{address}")]), get("/")).await, "hi");
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_read_to_its_end() {
    core(async {
        let address = raw(async |mut stream| {
            assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nall of it").await.unwrap();
        })
        .await;
        let lane = lane(&[&format!("http://{address}")]);
        assert_eq!(said(&lane, get("/")).await, "all of it");
        assert_eq!(said(&lane, get("/")).await, "all of it");
    })
    .await;
}

/// A peer that answers one request on its first connection and hangs up at the second, which it has
/// read; on others it answers. Says how many requests have come to it.
async fn hanging_up() -> (String, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let all = Arc::clone(&seen);
    let first = std::sync::atomic::AtomicBool::new(true);
    let address = raw(async move |mut stream| {
        let first = first.swap(false, std::sync::atomic::Ordering::Relaxed);
        for round in 0.. {
            let mut some = [0; 1024];
            let count = stream.read(&mut some).await.unwrap();
            if count == 0 {
                return;
            }
            let line = String::from_utf8_lossy(&some[..count]);
            all.lock().unwrap().push(line.lines().next().unwrap().to_owned());
            if first && round == 1 {
                return;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
        }
    })
    .await;
    (format!("http://{address}"), seen)
}

#[tokio::test]
async fn what_asks_for_no_change_is_sent_afresh_when_a_kept_connection_ends_without_a_word() {
    core(async {
        let (url, seen) = hanging_up().await;
        let lane = lane(&[&url]);
        assert_eq!(said(&lane, get("/1")).await, "hi");
        assert_eq!(said(&lane, get("/2")).await, "hi");
        let seen = seen.lock().unwrap().clone();
        assert_eq!(seen, ["GET /1 HTTP/1.1", "GET /2 HTTP/1.1", "GET /2 HTTP/1.1"]);
    })
    .await;
}

#[tokio::test]
async fn what_may_have_changed_something_is_not_sent_afresh() {
    core(async {
        for (method, body) in [(Method::POST, ""), (Method::DELETE, ""), (Method::GET, "body")] {
            let (url, seen) = hanging_up().await;
            let lane = lane(&[&url]);
            assert_eq!(said(&lane, get("/1")).await, "hi");
            let fault = fault(&lane, call(method, "/2", &[], body)).await;
            assert_eq!((fault.class, fault.ran), (Class::UpstreamProtocol, Ran::Maybe));
            assert_eq!(seen.lock().unwrap().len(), 2);
        }
    })
    .await;
}

/// A peer on a thread of its own. It answers one request on each connection and says then that it
/// waits; told to go on, it closes the connection and says so on another, its `control`.
fn closing_peer() -> (String, SocketAddr, mpsc::Sender<()>, mpsc::Receiver<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let control = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let control_at = control.local_addr().unwrap();
    let (close, told) = mpsc::channel();
    let (say, closed) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut control, _) = control.accept().unwrap();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut seen = Vec::new();
            // A request of this test ends with an exclamation mark, or with its head.
            while !seen.ends_with(b"\r\n\r\n") && !seen.contains(&b'!') {
                let mut some = [0; 1024];
                let count = stream.read(&mut some).unwrap();
                seen.extend_from_slice(&some[..count]);
            }
            let marks = seen.iter().filter(|byte| **byte == b'!').count();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{marks}");
            stream.write_all(answer.as_bytes()).unwrap();
            if told.recv().is_err() {
                return;
            }
            drop(stream);
            control.write_all(b"x").unwrap();
            say.send(()).unwrap();
        }
    });
    (url, control_at, close, closed)
}

/// A body that can be sent only once.
fn once(text: &'static str) -> Body {
    struct Once(Option<Bytes>);
    impl http_body::Body for Once {
        type Data = Bytes;
        type Error = BodyError;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
            std::task::Poll::Ready(self.0.take().map(|data| Ok(http_body::Frame::data(data))))
        }
    }
    Body::boxed(Once(Some(Bytes::from_static(text.as_bytes()))))
}

#[tokio::test]
async fn a_connection_that_died_in_the_pool_is_replaced_in_silence() {
    core(async {
        let (url, control, close, closed) = closing_peer();
        let mut control = TcpStream::connect(control).await.unwrap();
        let lane = lane(&[&url]);
        assert_eq!(said(&lane, get("/")).await, "0");
        // While the core is blocked the connection dies, and the control speaks. Then the core
        // learns of both at once, and this test runs first: it takes the connection before the
        // task that drives it has seen the end.
        close.send(()).unwrap();
        closed.recv().unwrap();
        control.read_u8().await.unwrap();
        let mut stream = call(Method::POST, "/", &[], "");
        stream.event.data = once("whole!");
        assert_eq!(said(&lane, stream).await, "1");
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_breaks_off_before_its_answer_may_have_run_the_function() {
    core(async {
        let address = raw(async |mut stream| {
            assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
        })
        .await;
        let fault = fault(&lane(&[&format!("http://{address}")]), get("/")).await;
        assert_eq!((fault.class, fault.ran), (Class::UpstreamProtocol, Ran::Maybe));
        assert_eq!(fault.endpoint, Some(EndpointId(0)));
        assert!(fault.unsent.is_none());
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_the_upstreams_fault() {
    core(async {
        let address = raw(async |mut stream| {
            assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
            stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await.unwrap();
        })
        .await;
        let fault = fault(&lane(&[&format!("http://{address}")]), get("/")).await;
        assert_eq!((fault.class, fault.ran), (Class::UpstreamProtocol, Ran::Maybe));
        assert!(fault.detail.contains("not valid HTTP"), "{fault:?}");
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_broken_and_its_connection_is_not_used_again() {
    core(async {
        let address = raw(async |mut stream| {
            assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
        })
        .await;
        let lane = lane(&[&format!("http://{address}")]);
        for _ in 0..2 {
            let reply = lane.call(get("/")).await.unwrap();
            assert!(matches!(reply.data.collect(9).await, Err(BodyError::Broken(_))));
        }
    })
    .await;
}

/// A port where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_refused_connection_gives_the_call_back_as_it_was() {
    core(async {
        let lane = lane(&[&format!("{}/base", nobody().await)]);
        let mut call = call(Method::POST, "/a?b", &[("x-a", "1")], "");
        call.event.data = once("data");
        let fault = fault(&lane, call).await;
        assert_eq!((fault.class, fault.ran), (Class::ConnectFailed, Ran::No));
        assert!(!fault.detail.contains("127.0.0.1"), "inner names are for the log: {fault}");
        assert!(fault.chain().contains("127.0.0.1"), "{}", fault.chain());
        let call = fault.unsent.unwrap();
        assert_eq!((call.head.method, call.head.uri.to_string()), (Method::POST, "/a?b".into()));
        assert_eq!(call.head.headers.len(), 1);
        assert_eq!(call.event.data.collect(4).await.unwrap(), "data");
    })
    .await;
}

#[tokio::test]
async fn a_call_that_was_not_sent_goes_to_another_endpoint() {
    core(async {
        let peer = Peer::echo().await;
        let base = format!("{}/b", peer.url);
        let lane = lane(&[&format!("{}/a", nobody().await), &base]);
        for _ in 0..2 {
            let mut sent = call(Method::POST, "/", &[("host", "h")], "");
            sent.event.data = once("data");
            let fault = match lane.call(sent).await {
                Ok(reply) => {
                    assert_eq!(reply.endpoint, Some(EndpointId(1)));
                    continue;
                }
                Err(fault) => fault,
            };
            let mut again = fault.unsent.unwrap();
            again.avoid = fault.endpoint;
            let said = said(&lane, *again).await;
            assert_eq!(said, "POST /b/ [host=h transfer-encoding=chunked] data");
        }
    })
    .await;
}

#[tokio::test]
async fn a_name_without_an_address_is_no_connection() {
    core(async {
        let fault = fault(&lane(&["http://nobody.invalid"]), get("/")).await;
        assert_eq!((fault.class, fault.ran), (Class::ConnectFailed, Ran::No));
        assert!(fault.unsent.is_some() && !fault.detail.contains("invalid"), "{fault}");
    })
    .await;
}

#[tokio::test]
async fn connecting_ends_in_its_time_and_with_the_calls() {
    core(async {
        // It takes the connection and never says a word of TLS.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let lane = |millis| {
            let connect_timeout = Some(Span(Duration::from_millis(millis)));
            lane_of(Written { url: Some(url.clone()), connect_timeout, ..Written::default() })
        };
        let slow = fault(&lane(30), get("/")).await;
        assert_eq!((slow.class, slow.ran), (Class::ConnectFailed, Ran::No));
        let mut late = get("/");
        late.deadline = Instant::now() + Duration::from_millis(30);
        let late = fault(&lane(60_000), late).await;
        assert_eq!((late.class, late.ran), (Class::Timeout, Ran::No));
        assert!(late.unsent.is_some());
    })
    .await;
}

#[tokio::test]
async fn a_call_that_is_dropped_closes_its_connection() {
    core(async {
        let (say, mut heard) = tokio::sync::mpsc::channel(1);
        let peer = Peer::serve(move |_| {
            let say = say.clone();
            async move {
                say.send(()).await.unwrap();
                std::future::pending().await
            }
        })
        .await;
        let lane = Rc::new(lane(&[&peer.url]));
        let waiting = tokio::task::spawn_local({
            let lane = lane.clone();
            async move { lane.call(get("/")).await }
        });
        heard.recv().await.unwrap();
        waiting.abort();
        peer.closed(1).await;
    })
    .await;
}

#[tokio::test]
async fn a_reply_that_is_not_read_to_its_end_closes_its_connection() {
    core(async {
        let (end, ended) = oneshot::channel::<()>();
        let ended = Arc::new(Mutex::new(Some(ended)));
        let peer =
            Peer::serve(move |_| {
                let ended = ended.lock().unwrap().take();
                async move {
                    Response::new(ended.map_or(Body::empty(), |end| Body::boxed(Endless(end))))
                }
            })
            .await;
        let lane = lane(&[&peer.url]);
        drop(lane.call(get("/")).await.unwrap());
        peer.closed(1).await;
        assert!(end.is_closed());
        assert_eq!(said(&lane, get("/")).await, "");
        assert_eq!(peer.connections(), 2);
    })
    .await;
}

/// A body without an end; whoever holds the other half of the channel sees it dropped.
struct Endless(#[expect(dead_code, reason = "it is there to be dropped")] oneshot::Receiver<()>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(b"x")))))
    }
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed_after_a_while() {
    local(async {
        let peer = Peer::echo().await;
        let lane = lane(&[&peer.url]);
        said(&lane, get("/")).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(29)).await;
        said(&lane, get("/")).await;
        assert_eq!(peer.connections(), 1);
        for _ in 0..2 {
            tokio::time::advance(Duration::from_secs(31)).await;
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
        tokio::time::resume();
        soon(peer.closed(1)).await;
    })
    .await;
}

#[tokio::test]
async fn a_lane_that_is_dropped_closes_its_connections() {
    core(async {
        let peer = Peer::echo().await;
        let lane = lane(&[&peer.url]);
        // Too long to be here whole, so that its connection is still needed.
        let long = vec![b'x'; 1 << 19];
        let mut call = get("/");
        call.head.method = Method::POST;
        call.event.data = Body::from(Bytes::from(long));
        let reply = lane.call(call).await.unwrap();
        said(&lane, get("/")).await;
        drop(lane);
        peer.closed(1).await;
        // The reply that is still read is read to its end.
        assert!(super::text(reply).await.starts_with("POST /"));
        peer.closed(2).await;
    })
    .await;
}
