//! Cases 9, 14 and 15: trailers, what Connection names, and names with `_`; and which host counts.

use super::{through, through_with};
use crate::support::{Peer, Strict, raw::Fields};

fn chunked(headers: &str, trailers: &str) -> String {
    format!(
        "POST /x HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n{headers}\r\n\
         2\r\nhi\r\n0\r\n{trailers}\r\n"
    )
}

/// Trailers that would mean something among the headers.
const AT_THE_HEAD: &str = "Host: evil.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\
transfer_encoding: chunked\r\nAuthorization: Basic x\r\nCookie: a=b\r\nSet-Cookie: a=b\r\n\
Connection: close\r\nX-Forwarded-For: 6.6.6.6\r\nTE: gzip\r\nContent-Type: a/b\r\n";

#[test]
fn trailers_of_a_request_pass_but_not_those_that_belong_at_the_head() {
    let service = Strict::start();
    let gateway = through(&service.url());
    let trailers = format!("{AT_THE_HEAD}X-Sum: 7\r\n");
    let answer = gateway.send(chunked("TE: trailers\r\nTrailer: X-Sum\r\n", &trailers));
    if answer.status == 400 {
        assert!(service.heard().is_empty());
    } else {
        assert_eq!(answer.text(), "POST /x hi");
        let heard = service.heard().remove(0);
        assert_eq!(heard.trailers, [("x-sum".to_owned(), "7".to_owned())]);
        assert!(heard.all("authorization").is_empty() && heard.all("cookie").is_empty());
    }
    let heard = service.heard().len();
    let soft =
        "Authorization: Basic x\r\nCookie: a=b\r\nX-Forwarded-For: 6.6.6.6\r\nce-type: a\r\n";
    let answer =
        gateway.send(chunked("Trailer: X-Sum\r\n", &format!("{soft}X-Sum: 7\r\nif-match: *\r\n")));
    assert_eq!(answer.text(), "POST /x hi");
    assert_eq!(service.heard()[heard].trailers, [("x-sum".to_owned(), "7".to_owned())]);
    assert_eq!(service.faults(), [""; 0]);
}

#[test]
fn trailers_of_an_answer_pass_but_not_those_that_belong_at_the_head() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.send(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
             2\r\nhi\r\n0\r\n{AT_THE_HEAD}X-Sum: 7\r\n\r\n"
        ));
    });
    let gateway = through(&peer.url());
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    let head = client.head();
    // Those that frame make it an answer of no end, and it may break off instead.
    if let Some((body, trailers)) = client.body(&head) {
        assert_eq!(body, b"hi");
        assert_eq!(names(&trailers), ["x-sum"]);
    }
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\
             Set-Cookie: a=b\r\nCache-Control: no-store\r\nLocation: /x\r\nce-type: a\r\n\r\n",
        );
    });
    let answer = through(&peer.url())
        .send("GET / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    assert_eq!((answer.text(), names(&answer.trailers)), ("hi", vec!["x-sum".to_owned()]));
}

fn names(trailers: &Fields) -> Vec<String> {
    trailers.iter().map(|(name, _)| name.to_lowercase()).collect()
}

#[test]
fn trailers_without_end_are_refused() {
    let service = Strict::start();
    let gateway = through(&service.url());
    let many: String = (0..200).map(|n| format!("X-T{n}: {}\r\n", "x".repeat(200))).collect();
    let mut client = gateway.client();
    client.try_send(chunked("", &many));
    if let Some(head) = client.try_head() {
        assert!((400..500).contains(&head.status()), "{}", head.start);
    }
    assert!(service.heard().is_empty(), "{:?}", service.heard());
}

#[test]
fn connection_takes_out_what_it_names_but_never_what_frames_or_was_looked_at() {
    let service = Strict::start();
    let gateway = through_with(&service.url(), "", "    preserve_host: true\n");
    let answer = gateway.send(
        "POST /x HTTP/1.1\r\nHost: shop.test\r\nAuthorization: Basic x\r\nCookie: a=b\r\n\
         Content-Type: text/plain\r\nX-Mine: 1\r\nContent-Length: 2\r\nConnection: close, host, \
         authorization, cookie, content-length, content-type, x-mine\r\n\r\nhi",
    );
    assert_eq!(answer.text(), "POST /x hi");
    let heard = service.heard().remove(0);
    assert_eq!(heard.all("host"), ["shop.test"]);
    assert_eq!(heard.all("authorization"), ["Basic x"]);
    assert_eq!(heard.all("cookie"), ["a=b"]);
    assert_eq!(heard.all("content-type"), ["text/plain"]);
    assert!(heard.all("x-mine").is_empty() && heard.all("connection").is_empty());
}

#[test]
fn a_name_with_an_underscore_is_refused_where_it_looks_like_a_header_that_matters() {
    let service = Strict::start();
    let gateway = through(&service.url());
    for name in [
        "transfer_encoding",
        "Transfer_Encoding",
        "content_length",
        "host_",
        "x_forwarded_for",
        "X-Forwarded_For",
        "proxy_authorization",
        "x_request_id",
    ] {
        let answer = gateway.send(format!(
            "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n{name}: chunked\r\n\r\nhi"
        ));
        if name.ends_with('_') {
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        } else {
            answer.problem(400, "bad_header");
        }
    }
    let answer = gateway.send("GET /x HTTP/1.1\r\nHost: a.test\r\nx_tenant: 7\r\n\r\n");
    assert_eq!(answer.status, 200);
    assert_eq!(service.heard().last().unwrap().all("x_tenant"), ["7"]);
    assert_eq!(service.faults(), [""; 0]);
}

#[test]
fn what_a_route_sets_cannot_be_said_by_the_caller_in_another_spelling() {
    let service = Strict::start();
    let gateway = through_with(
        &service.url(),
        "",
        "    headers: { request: { set: { x-user: nobody }, remove: [x-internal] } }\n",
    );
    let answer = gateway.send(
        "GET /x HTTP/1.1\r\nHost: a.test\r\nx_user: root\r\nX-User: root\r\nx_internal: 1\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
    let heard = service.heard().remove(0);
    assert_eq!(heard.all("x-user"), ["nobody"]);
    assert!(heard.all("x_user").is_empty() && heard.all("x_internal").is_empty());
}

#[test]
fn the_authority_of_the_target_is_the_host_whatever_host_says() {
    let service = Strict::start();
    let gateway = through_with(&service.url(), "", "    preserve_host: true\n");
    let answer = gateway.send("GET http://one.test/x HTTP/1.1\r\nHost: two.test\r\n\r\n");
    if answer.status == 200 {
        let heard = service.heard().remove(0);
        assert_eq!((heard.target.as_str(), heard.all("host")), ("/x", vec!["one.test"]));
        assert_eq!(heard.all("x-forwarded-host"), ["one.test"]);
    } else {
        assert_eq!(answer.status, 400);
    }
}

#[test]
fn what_is_no_host_is_refused() {
    let service = Strict::start();
    let gateway = through(&service.url());
    for host in ["a b", "a/b", "user@a.test", "a.test, b.test", "a.test?x", "a.test#x", "a\\b"] {
        let answer = gateway.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.status, 400, "{host}: {}", answer.text());
    }
    for target in ["http://user@a.test/x", "ftp://a.test/x"] {
        let answer = gateway.send(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        assert_eq!(answer.status, 400, "{target}: {}", answer.text());
    }
    assert!(service.heard().is_empty());
}
