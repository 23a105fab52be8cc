//! Cases 20 and 21: who comes slowly, and who comes in numbers, is no burden to anybody else.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Builder,
    time::{sleep, timeout},
};

use super::through;
use crate::support::{Gateway, Peer};

/// By when a slow client is cut off: what the gateway allows, and what a busy machine adds.
const CUT_BY: Duration = Duration::from_secs(20);

/// Sends a start and then a byte now and then, until it is cut off. What it was told last.
async fn creep(
    address: SocketAddr,
    start: &'static str,
    byte: &'static [u8],
) -> (String, Duration) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let began = Instant::now();
    socket.write_all(start.as_bytes()).await.unwrap();
    let (mut read, mut write) = socket.split();
    let mut told = Vec::new();
    let mut buffer = [0; 1024];
    let telling = async {
        loop {
            match read.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => told.extend_from_slice(&buffer[..count]),
            }
        }
    };
    let creeping = async {
        loop {
            sleep(Duration::from_millis(700)).await;
            if write.write_all(byte).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = telling => {}
        () = creeping => {}
        () = sleep(CUT_BY) => panic!("{start:?} was not cut off: {told:?}"),
    }
    (String::from_utf8_lossy(&told).into_owned(), began.elapsed())
}

#[test]
fn a_thousand_slow_clients_are_cut_off_and_a_good_one_gets_its_answers_meanwhile() {
    const EACH: usize = 500;
    let peer = Peer::answering("ok");
    let gateway = through(&peer.url());
    let address = gateway.address();
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let slow = (0..EACH * 2).map(|n| {
            let (start, byte): (_, &[u8]) = if n % 2 == 0 {
                ("GET / HTTP/1.1\r\nHost: a.test\r\nX-Slow: ", b"x")
            } else {
                ("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\n", b"x")
            };
            tokio::spawn(creep(address, start, byte))
        });
        let slow: Vec<_> = slow.collect();
        let mut longest = Duration::ZERO;
        let began = Instant::now();
        let mut answers = 0;
        while began.elapsed() < Duration::from_secs(6) {
            let asked = Instant::now();
            let good = async {
                let mut socket = TcpStream::connect(address).await.unwrap();
                let request = "GET /good HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
                socket.write_all(request.as_bytes()).await.unwrap();
                let mut answer = String::new();
                socket.read_to_string(&mut answer).await.unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            };
            timeout(Duration::from_secs(5), good).await.expect("the good client waits too long");
            longest = longest.max(asked.elapsed());
            answers += 1;
            sleep(Duration::from_millis(20)).await;
        }
        println!("{answers} answers beside {} slow clients, the slowest {longest:?}", EACH * 2);
        let mut told = 0;
        for slow in slow {
            let (said, _) = slow.await.unwrap();
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
            told += usize::from(!said.is_empty());
        }
        assert!(told >= EACH, "only {told} were told why");
        assert!(answers > 20, "{answers} answers");
    });
    assert!(peer.seen().iter().all(|seen| seen.target() == "/good"), "half a request was sent on");
}

#[test]
fn a_body_that_creeps_is_408_where_it_is_gathered_and_where_it_passes() {
    let peer = Peer::echo();
    let gateway = Gateway::start(&format!(
        "upstreams: {{ web: {{ kind: http, url: {} }} }}
routes:
  - {{ name: events, match: {{ event: {{}} }}, to: {{ to: web, format: binary }} }}
  - {{ name: all, match: {{ prefix: / }}, to: web }}
",
        peer.url()
    ));
    let address = gateway.address();
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let event = "POST /events HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9999\r\n\
                     Content-Type: application/cloudevents+json\r\n\r\n{";
        let plain = "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (event, plain) =
            tokio::join!(creep(address, event, b" "), creep(address, plain, b"1\r\nx\r\n"));
        for (said, after) in [event, plain] {
            assert!(said.starts_with("HTTP/1.1 408"), "{said}");
            assert!(said.contains("\"code\":\"slow_body\""), "{said}");
            assert!(after > Duration::from_secs(7), "{after:?}");
        }
    });
}

#[test]
fn connections_beyond_the_limit_are_closed_as_they_come() {
    let peer = Peer::answering("ok");
    // (400 - 256) / 2 connections of callers.
    let gateway = Gateway::start_under(
        400,
        &format!(
            "upstreams: {{ web: {{ kind: http, url: {} }} }}
routes: [{{ name: all, match: {{ prefix: / }}, to: web }}]
",
            peer.url()
        ),
    );
    let mut good = gateway.client();
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    assert_eq!(good.round_trip(request).status, 200);
    let mut served = Vec::new();
    let mut closed = 0;
    for _ in 0..100 {
        let mut client = gateway.client();
        let head = if client.try_send(request) { client.try_head() } else { None };
        match head {
            Some(head) => {
                assert_eq!(head.status(), 200);
                client.answer_below(head);
                served.push(client);
            }
            None => closed += 1,
        }
    }
    assert_eq!((served.len(), closed), (71, 29));
    assert_eq!(good.round_trip(request).status, 200, "who was there is served on");
    let metrics = gateway.ask_admin("/metrics");
    assert!(metrics.text().contains("gusset_connections_shed_total 29"), "{}", metrics.text());
    drop(served);
    crate::support::eventually("there is room again", || {
        let mut client = gateway.client();
        (client.try_send(request) && client.try_head().is_some()).then_some(())
    });
}
