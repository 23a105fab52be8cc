use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use schemas::{Class, FileRef, Ran, Verdict};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_rustls::TlsAcceptor;

use super::{
    peer::{Peer, answer, by_hand, fed, grpc, status, trailers_only, whole},
    *,
};
use crate::tls::Tls;

#[tokio::test]
async fn calls_share_a_connection() {
    core(async {
        let peer =
            Peer::serve(100, async |request| answer(whole(request).await, status("0"))).await;
        let lane = lane(&[&peer.url]);
        let calls = (0..50).map(|_| said(&lane, call("/a.B/C", &[b"hi"])));
        for (reply, bytes, trailers) in futures_util::future::join_all(calls).await {
            assert_eq!((reply.verdict, &bytes[5..]), (Verdict::Ok, &b"hi"[..]));
            assert_eq!(trailers["grpc-status"], "0");
        }
        assert_eq!(peer.connections(), 1);
    })
    .await;
}

#[tokio::test]
async fn where_streams_run_out_there_is_another_connection_and_at_last_a_refusal() {
    core(async {
        let gate = Arc::new(Semaphore::new(0));
        let opened = Arc::clone(&gate);
        let peer = Peer::serve(2, move |request| {
            let gate = Arc::clone(&gate);
            async move {
                drop(gate.acquire().await.unwrap());
                answer(whole(request).await, status("0"))
            }
        })
        .await;
        let lane = lane(&[&peer.url]);
        let mut calls: Vec<_> =
            (0..33).map(|_| Box::pin(lane.call(call("/a.B/C", &[b"hi"])))).collect();
        // Only the one that finds no room is answered.
        let (first, at, _) = soon(futures_util::future::select_all(&mut calls)).await;
        let fault = first.unwrap_err();
        assert_eq!((fault.class, fault.ran, at), (Class::Overloaded, Ran::No, 32));
        drop(calls.pop());
        opened.add_permits(1);
        for reply in futures_util::future::join_all(calls).await {
            read(reply.unwrap().data).await;
        }
        assert_eq!(peer.connections(), 16);
    })
    .await;
}

#[tokio::test]
async fn nobody_listening_is_a_call_that_was_not_sent() {
    let lane = lane(&["http://127.0.0.1:1"]);
    let fault = fault(&lane, call("/a.B/C", &[b"hi"])).await;
    assert_eq!((fault.class, fault.ran), (Class::ConnectFailed, Ran::No));
    let unsent = fault.unsent.unwrap();
    assert_eq!(unsent.event.data.whole().unwrap(), framed(b"hi"));
    assert!(unsent.head.headers.contains_key("content-type"));
}

#[tokio::test]
async fn a_server_of_another_protocol_is_found_out_before_anything_is_sent() {
    core(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::task::spawn_local(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let bad = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut stream, bad).await.unwrap();
            drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
        });
        let lane = lane(&[&url]);
        let fault = fault(&lane, call("/a.B/C", &[b"hi"])).await;
        assert_eq!((fault.class, fault.ran), (Class::ConnectFailed, Ran::No));
        assert!(fault.unsent.is_some());
        assert!(fault.detail.contains("HTTP/2"), "{fault:?}");
    })
    .await;
}

/// GOAWAY: stream 0, last stream, code.
const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// RST_STREAM of stream 1 with REFUSED_STREAM, and with CANCEL.
const REFUSED: [u8; 13] = [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7];
const CANCELLED: [u8; 13] = [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8];

/// A server that answers the first connection's call with this frame, and serves the next ones.
async fn once_by_hand(frame: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&count);
    let next = Peer::serve(9, async |request| answer(whole(request).await, status("0"))).await;
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if counted.fetch_add(1, SeqCst) == 0 {
                tokio::task::spawn_local(by_hand(stream, frame));
                continue;
            }
            let place = next.url.trim_start_matches("http://").to_owned();
            tokio::task::spawn_local(async move {
                let mut there = tokio::net::TcpStream::connect(place).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut stream, &mut there).await);
            });
        }
    });
    (url, count)
}

#[tokio::test]
async fn a_stream_that_a_goaway_refuses_surely_did_not_run_and_the_next_goes_elsewhere() {
    core(async {
        let (url, connections) = once_by_hand(&GOAWAY).await;
        let lane = lane(&[&url]);
        let fault = fault(&lane, call("/a.B/C", &[b"hi"])).await;
        assert_eq!((fault.class, fault.ran), (Class::ConnectFailed, Ran::No));
        let (reply, bytes, _) = said(&lane, call("/a.B/C", &[b"hi"])).await;
        assert_eq!((reply.verdict, &bytes[5..]), (Verdict::Ok, &b"hi"[..]));
        assert_eq!(connections.load(SeqCst), 2);
    })
    .await;
}

#[tokio::test]
async fn a_reset_says_whether_the_method_may_have_run() {
    core(async {
        for (frame, class, ran) in [
            (&REFUSED[..], Class::ConnectFailed, Ran::No),
            (&CANCELLED[..], Class::UpstreamProtocol, Ran::Maybe),
        ] {
            let (url, _) = once_by_hand(frame).await;
            let fault = fault(&lane(&[&url]), call("/a.B/C", &[b"hi"])).await;
            assert_eq!((fault.class, fault.ran), (class, ran));
        }
    })
    .await;
}

#[tokio::test]
async fn a_try_that_failed_is_made_elsewhere() {
    core(async {
        let bad = Peer::serve(9, async |_| trailers_only("14")).await;
        let good = Peer::serve(9, async |_| trailers_only("0")).await;
        let lane = lane(&[&bad.url, &good.url]);
        let (reply, ..) = said(&lane, call("/a.B/C", &[])).await;
        let failed =
            Verdict::Failed { class: Class::Unavailable, ran: Ran::No, retry_after_ms: None };
        assert_eq!(reply.verdict, failed);
        for _ in 0..4 {
            let mut again = call("/a.B/C", &[]);
            again.avoid = reply.endpoint;
            assert_eq!(said(&lane, again).await.0.verdict, Verdict::Ok);
        }
    })
    .await;
}

#[tokio::test]
async fn who_leaves_is_seen_by_the_server() {
    core(async {
        let gone = Arc::new(Semaphore::new(0));
        let told = Arc::clone(&gone);
        let peer = Peer::serve(9, move |_| {
            let gone = Arc::clone(&gone);
            async move {
                let (feed, body) = fed();
                tokio::spawn(async move {
                    feed.closed().await;
                    gone.add_permits(1);
                });
                grpc(body)
            }
        })
        .await;
        let lane = lane(&[&peer.url]);
        let reply = soon(lane.call(call("/a.B/C", &[b"hi"]))).await.unwrap();
        assert_eq!(told.available_permits(), 0);
        drop(reply);
        drop(soon(told.acquire()).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    core(async {
        let peer = Peer::serve(9, async |_| trailers_only("0")).await;
        let lane = lane(&[&peer.url]);
        said(&lane, call("/a.B/C", &[])).await;
        let pass = async |seconds| {
            // The clock moves by itself only while nothing comes over a socket.
            tokio::time::pause();
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            tokio::time::resume();
        };
        pass(25).await;
        said(&lane, call("/a.B/C", &[])).await;
        assert_eq!(peer.connections(), 1);
        pass(65).await;
        said(&lane, call("/a.B/C", &[])).await;
        assert_eq!(peer.connections(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_connection_whose_server_answers_no_ping_is_given_up() {
    core(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (taken, told) = tokio::sync::oneshot::channel();
        tokio::task::spawn_local(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut server = h2::server::handshake(stream).await.unwrap();
            let call = server.accept().await;
            taken.send(()).unwrap();
            // Open, and deaf: what is not polled answers nothing.
            std::future::pending::<()>().await;
            drop((call, server));
        });
        let lane = lane(&[&url]);
        let calling = async {
            let began = tokio::time::Instant::now();
            let fault = lane.call(call("/a.B/C", &[b"hi"])).await.unwrap_err();
            // A look, and the patience for the ping that it sends.
            let waited = began.elapsed().as_secs();
            assert!((50..55).contains(&waited), "{waited}");
            fault
        };
        let passing = async {
            told.await.unwrap();
            tokio::time::pause();
        };
        let both = async { tokio::join!(calling, passing) };
        let (fault, ()) = tokio::time::timeout(Duration::from_secs(100), both).await.unwrap();
        assert_eq!((fault.class, fault.ran), (Class::UpstreamProtocol, Ran::Maybe));
    })
    .await;
}

#[tokio::test]
async fn tls_is_verified_and_has_to_agree_to_http2() {
    core(async {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, cert.pem()).unwrap();
        for (alpn, detail) in [(&b"h2"[..], None), (b"http/1.1", Some("HTTP/2"))] {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let mut config = rustls::ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![cert.der().clone()], key)
                .unwrap();
            // A server that insists on nothing, as one of HTTP/1.1 may be.
            config.alpn_protocols = if detail.is_none() { vec![alpn.to_vec()] } else { Vec::new() };
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let wrap = async move |stream| acceptor.accept(stream).await.unwrap();
            let peer = Peer::serve_over(9, wrap, async |_| trailers_only("0")).await;
            let url = peer.url.replace("http://127.0.0.1", "https://localhost");
            let tls = Tls { ca: Some(FileRef { file: ca.clone() }), ..Tls::default() };
            let written = Written { url: Some(url), tls: Some(tls), ..Written::default() };
            let target =
                Target::build(&"ledger".parse().unwrap(), written, &Catalogs::default()).unwrap();
            let tools = Tools { secrets: Arc::new(Files), outbox: Default::default() };
            let lane = Lane::new(Arc::new(target), &tools);
            match (soon(lane.call(call("/a.B/C", &[]))).await, detail) {
                (Ok(reply), None) => assert_eq!(reply.verdict, Verdict::Ok),
                (Err(fault), Some(detail)) => assert!(fault.detail.contains(detail), "{fault:?}"),
                (result, _) => panic!("{result:?}"),
            }
        }
    })
    .await;
}

/// Reads files, and nothing else.
struct Files;

impl schemas::Reveal for Files {
    fn reveal(&self, _: &schemas::Secret) -> Result<schemas::Revealed, schemas::secret::NoSecret> {
        Err(schemas::secret::NoSecret("there is none".to_owned()))
    }

    fn read(&self, file: &FileRef) -> Result<Vec<u8>, schemas::secret::NoSecret> {
        Ok(std::fs::read(&file.file).unwrap())
    }
}
