use std::sync::Arc;

use http_body::Frame;
use schemas::{Class, Ran, Verdict, units::Size};
use tokio::sync::Mutex;

use super::{
    peer::{Peer, answer, fed, grpc, status, trailers_only, whole},
    *,
};

fn failed(class: Class, ran: Ran) -> Verdict {
    Verdict::Failed { class, ran, retry_after_ms: None }
}

#[tokio::test]
async fn a_call_arrives_and_its_answer_comes_back_untouched() {
    core(async {
        let peer = Peer::serve(9, async |request| {
            let headers = request.headers().clone();
            let said = format!(
                "{} {} {} {:?} {:?}",
                request.method(),
                request.uri().path(),
                headers["te"].to_str().unwrap(),
                headers.get("x-kept"),
                headers.get("host"),
            );
            let mut response = answer(framed(said.as_bytes()), status("0"));
            response.headers_mut().insert("x-answer", HeaderValue::from_static("1"));
            response
        })
        .await;
        let lane = lane(&[&peer.url]);
        let mut sent = call("/pkg.Service/Method", &[b"hi"]);
        sent.head.headers.insert("x-kept", HeaderValue::from_static("k"));
        sent.head.headers.insert(header::HOST, HeaderValue::from_static("caller"));
        let (reply, bytes, trailers) = said(&lane, sent).await;
        let text = String::from_utf8(bytes[5..].to_vec()).unwrap();
        assert_eq!(text, r#"POST /pkg.Service/Method trailers Some("k") None"#);
        assert_eq!(reply.head.headers["x-answer"], "1");
        assert_eq!(trailers, status("0"));
        assert!(reply.later.is_none());

        // An address that names a method calls that method, whatever the path is.
        let mut sent = call("/v1/anything", &[]);
        sent.function = "pkg.Other/Method".into();
        let (_, bytes, _) = said(&lane, sent).await;
        assert!(String::from_utf8_lossy(&bytes).contains(" /pkg.Other/Method "));
    })
    .await;
}

#[tokio::test]
async fn a_status_decides_the_verdict_in_the_head_and_at_the_end() {
    core(async {
        let peer = Peer::serve(9, async |request: http::Request<_>| match request.uri().path() {
            "/a/Head" => trailers_only("14"),
            "/a/End" => answer(framed(b"one"), status("14")),
            "/a/Denied" => trailers_only("7"),
            "/a/Missing" => answer(framed(b"one"), HeaderMap::new()),
            _ => {
                let mut response = http::Response::new(Body::from(Bytes::from("down")));
                *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                response
            }
        })
        .await;
        let lane = lane(&[&peer.url]);
        for (method, verdict) in [
            ("/a/Head", failed(Class::Unavailable, Ran::No)),
            ("/a/End", failed(Class::Unavailable, Ran::Maybe)),
            ("/a/Denied", Verdict::Ok),
            ("/a/Missing", failed(Class::UpstreamProtocol, Ran::Maybe)),
            ("/a/Proxy", failed(Class::Unavailable, Ran::Maybe)),
        ] {
            let (reply, ..) = said(&lane, call(method, &[])).await;
            let verdict_at_the_end = reply.later.and_then(|later| later.verdict());
            assert_eq!(verdict_at_the_end.unwrap_or(reply.verdict), verdict, "{method}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_flows_message_by_message_and_its_verdict_comes_with_its_end() {
    core(async {
        let feeds = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&feeds);
        let peer = Peer::serve(9, move |_| {
            let feeds = Arc::clone(&kept);
            async move {
                let (feed, body) = fed();
                feeds.lock().await.push(feed);
                grpc(body)
            }
        })
        .await;
        let lane = lane(&[&peer.url]);
        let reply = soon(lane.call(call("/a.B/C", &[b"hi"]))).await.unwrap();
        let feed = feeds.lock().await.pop().unwrap();
        let later = reply.later.clone().unwrap();
        let told = Arc::new(std::sync::Mutex::new(None));
        let listener = Arc::clone(&told);
        later.then(move |verdict| *listener.lock().unwrap() = Some(verdict));
        let mut body = reply.data;
        for text in [&b"one"[..], b"two"] {
            feed.send(Frame::data(framed(text))).await.unwrap();
            let frame = soon(next(&mut body)).await.unwrap();
            assert_eq!(frame.into_data().unwrap(), framed(text));
            assert_eq!(later.verdict(), None);
        }
        feed.send(Frame::trailers(status("13"))).await.unwrap();
        let frame = soon(next(&mut body)).await.unwrap();
        assert_eq!(frame.into_trailers().unwrap(), status("13"));
        let verdict = failed(Class::FunctionFailed, Ran::Maybe);
        assert_eq!(*told.lock().unwrap(), Some(verdict));
        assert!(body.is_end_stream());
    })
    .await;
}

#[tokio::test]
async fn both_sides_may_talk_at_once() {
    core(async {
        let peer = Peer::serve(9, async |request| grpc(Body::incoming(request.into_body()))).await;
        let lane = lane(&[&peer.url]);
        let (feed, body) = fed();
        let reply = soon(lane.call(with_body("/a.B/C", body))).await.unwrap();
        let mut body = reply.data;
        for text in [&b"one"[..], b"two", b"three"] {
            feed.send(Frame::data(framed(text))).await.unwrap();
            let frame = soon(next(&mut body)).await.unwrap();
            assert_eq!(frame.into_data().unwrap(), framed(text));
        }
        drop(feed);
        let (_, trailers) = read(body).await;
        assert_eq!(trailers["grpc-status"], "2");
    })
    .await;
}

#[tokio::test]
async fn a_message_over_the_limit_passes_in_neither_direction() {
    core(async {
        let peer = Peer::serve(9, async |request| {
            drop(whole(request).await);
            answer(framed(&[b'a'; 101]), status("0"))
        })
        .await;
        let max_message = Some(Size(100));
        let url = Some(peer.url.clone());
        let lane = lane_of(Written { url, max_message, ..Written::default() });
        let refused = fault(&lane, call("/a.B/C", &[&[b'a'; 101]])).await;
        assert_eq!((refused.class, refused.ran), (Class::TooLarge, Ran::No));
        assert!(refused.detail.contains("101 bytes is larger than 100"), "{refused:?}");
        assert_eq!(peer.connections(), 0);

        let (feed, body) = fed();
        feed.send(Frame::data(framed(&[b'a'; 101]))).await.unwrap();
        let refused = fault(&lane, with_body("/a.B/C", body)).await;
        assert_eq!((refused.class, refused.name()), (Class::TooLarge, "message_too_large"));

        let (reply, bytes, trailers) = said(&lane, call("/a.B/C", &[b"hi"])).await;
        assert_eq!((bytes.len(), &trailers["grpc-status"]), (0, &HeaderValue::from_static("8")));
        assert!(trailers["grpc-message"].to_str().unwrap().contains("max_message"));
        assert_eq!(reply.verdict, failed(Class::UpstreamProtocol, Ran::Maybe));
    })
    .await;
}

#[tokio::test]
async fn a_slow_reader_stalls_the_server_and_nobody_else() {
    stall(10_000).await;
}

#[tokio::test]
async fn a_slow_reader_of_small_messages_costs_nobody_the_connection() {
    stall(10).await;
}

/// Has four readers read nothing of messages that are so long, each in a frame of its own.
async fn stall(length: usize) {
    core(async {
        let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let peer = Peer::serve(9, move |request: http::Request<_>| {
            let counted = Arc::clone(&counted);
            async move {
                if request.uri().path() == "/a/Short" {
                    return trailers_only("0");
                }
                let (feed, body) = fed();
                tokio::spawn(async move {
                    let message = framed(&vec![b'a'; length]);
                    while feed.send(Frame::data(message.clone())).await.is_ok() {
                        counted.fetch_add(message.len(), std::sync::atomic::Ordering::SeqCst);
                    }
                });
                grpc(body)
            }
        })
        .await;
        let lane = lane(&[&peer.url]);
        let slow: Vec<_> =
            futures_util::future::join_all((0..4).map(|_| lane.call(call("/a/Long", &[])))).await;
        let settled = |before: usize| {
            let sent = Arc::clone(&sent);
            async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                sent.load(std::sync::atomic::Ordering::SeqCst) == before
            }
        };
        while !settled(sent.load(std::sync::atomic::Ordering::SeqCst)).await {}
        // Each stream's window here and there, what hyper holds, and what was looked at.
        let bytes = sent.load(std::sync::atomic::Ordering::SeqCst);
        assert!(bytes < 4 * (1 << 20), "{bytes} bytes were taken of four readers that read none");
        assert_eq!(said(&lane, call("/a/Short", &[])).await.0.verdict, Verdict::Ok);
        assert_eq!(peer.connections(), 1);
        for reply in slow {
            let mut body = reply.unwrap().data;
            assert!(next(&mut body).await.unwrap().is_data());
        }
    })
    .await;
}

#[tokio::test]
async fn grpc_web_gets_its_trailers_in_the_body() {
    core(async {
        let peer = Peer::serve(9, async |request: http::Request<_>| {
            assert_eq!(request.headers()["content-type"], "application/grpc+proto");
            answer(whole(request).await, status("0"))
        })
        .await;
        let lane = lane(&[&peer.url]);
        let trailers = &b"\x80\0\0\0\x10grpc-status: 0\r\n"[..];
        for (media, text) in
            [("application/grpc-web+proto", false), ("application/grpc-web-text+proto", true)]
        {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            let message = framed(b"hi");
            let body = if text { STANDARD.encode(&message).into() } else { message.clone() };
            let mut sent = with_body("/a.B/C", Body::from(body));
            sent.head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
            let (reply, bytes, none) = said(&lane, sent).await;
            // As the server said it, without `+proto`.
            let said = reply.head.headers[header::CONTENT_TYPE].to_str().unwrap();
            assert_eq!(format!("{said}+proto"), media);
            assert!(none.is_empty());
            let expected = if text {
                format!("{}{}", STANDARD.encode(&message), STANDARD.encode(trailers)).into_bytes()
            } else {
                [&message[..], trailers].concat()
            };
            assert_eq!(bytes, expected);
        }
    })
    .await;
}
