//! What callers who speak gRPC are told where the gateway itself refuses, row by row as docs/grpc.md
//! has it. They are callers of gRPC-Web here, whose requests need no HTTP/2.

use std::net::{SocketAddr, TcpListener};

use h2::{Reason, server::handshake};
use tokio::runtime::{Builder, Runtime};

use super::in_front_of;
use crate::support::{Gateway, tonic::Tonic};

const ROUTES: &str = "
  - { name: rated, match: { path: /rated }, policy: { rate_limit: [{ rate: 1/h }] }, to: ledger/ledger.v1.Ledger/Seen }
  - { name: short, match: { path: /short }, policy: { limits: { body: 4B } }, to: ledger/ledger.v1.Ledger/Seen }
  - { name: full, match: { path: /full }, to: full/ledger.v1.Ledger/Chat }
  - { name: breaking, match: { path: /breaking }, to: breaking/a.B/C }
  - { name: late, match: { path: /late }, policy: { timeout: 200ms, retry: { attempts: 1 } }, to: silent/a.B/C }
  - { name: down, match: { path: /nobody }, to: down/a.B/C }
";

/// The code and the message in the head of the answer to an empty message.
fn status(gateway: &Gateway, path: &str) -> (String, String) {
    sent(gateway, path, &[0; 5])
}

fn sent(gateway: &Gateway, path: &str, body: &[u8]) -> (String, String) {
    let web = ["Content-Type: application/grpc-web+proto"];
    let answer = gateway.post(path, &web, body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    let said = |name: &str| answer.header(name).unwrap_or_default().to_owned();
    (said("grpc-status"), said("grpc-message"))
}

/// A server that takes every call and breaks it off. It ends with its runtime.
fn breaking() -> (SocketAddr, Runtime) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut connection = handshake(socket).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    respond.send_reset(Reason::INTERNAL_ERROR);
                }
            });
        }
    });
    (address, runtime)
}

#[test]
fn each_refusal_of_the_gateways_own_is_a_status() {
    let server = Tonic::start();
    let (breaking, _runtime) = breaking();
    // Accepts and says nothing: nobody ever asks it for a connection.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let ledger = format!(
        "{} }}\n  full: {{ kind: grpc, {}, concurrency: {{ max: 1, queue: 0 }} }}\n  \
         breaking: {{ kind: grpc, url: \"http://{breaking}\", \
         breaker: {{ failures: 50%, min_calls: 2, open: 1h }} }}\n  \
         silent: {{ kind: grpc, url: \"http://{}\"",
        server.written(),
        server.written(),
        silent.local_addr().unwrap(),
    );
    let gateway = in_front_of(&ledger, ROUTES);
    let expect = |path: &str, code: &str, message: &str| {
        let said = status(&gateway, path);
        assert_eq!(said.0, code, "{path}: {}", said.1);
        assert!(said.1.contains(message), "{path}: {}", said.1);
    };
    expect("/elsewhere", "12", "no route");
    let (code, message) = sent(&gateway, "/full", &[7, 0, 0, 0, 0]);
    assert_eq!(code, "3", "{message}");
    expect("/rated", "", "");
    expect("/rated", "8", "");
    expect("/short", "8", "");
    expect("/nobody", "14", "no connection");
    expect("/late", "4", "");
    expect("/breaking", "13", "");
    expect("/breaking", "13", "");
    expect("/breaking", "14", "left alone");

    // As long as a call is under way there is room for no other.
    let mut first = gateway.client();
    first.send(
        "POST /full HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: application/grpc-web\r\n\r\n5\r\n\0\0\0\0\0\r\n",
    );
    assert_eq!(first.head().status(), 200);
    expect("/full", "14", "");
}
