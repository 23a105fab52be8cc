//! What a service answers that could be read in two ways is never passed on: the caller gets 502, or
//! an answer that ends before its end if the head has gone already. And no byte of one answer is
//! ever taken for another.

use std::sync::Arc;

use super::through;
use crate::support::{Client, Peer};

/// What may become of an answer.
#[derive(Clone, Copy, Debug)]
enum Want {
    /// 502 `upstream_protocol`.
    Refused,
    /// Passed on, with this body.
    Passes(&'static str),
    /// The head has gone when it turns out that the body is none: the caller must see it break off.
    Breaks,
}
use Want::{Breaks, Passes, Refused};

const SPLIT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Poison: 1\r\n\r\npoison";

fn cases() -> Vec<(String, Want)> {
    let mut all: Vec<(String, Want)> = Vec::new();
    let mut head = |lines: &str, behind: &str, want: Want| {
        all.push((format!("HTTP/1.1 200 OK\r\n{lines}\r\n{behind}"), want));
    };
    // Framed twice, or by what is no frame.
    for lines in [
        "Content-Length: 2\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 2\r\n",
        "Content-Length: 2, 5\r\n",
        "Content-Length: +2\r\n",
        "Content-Length: -2\r\n",
        "Content-Length: 0x2\r\n",
        "Content-Length: two\r\n",
        "Content-Length: \r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length: 2\r\nX: a\rb\r\n",
        "Content-Length: 2\r\nX: a\nSet-Cookie: b=c\r\n",
        "Content-Length: 2\r\nX: a\0b\r\n",
        "Content-Length: 2\r\nX: a\r\n b\r\n",
        "Content-Length: 2\r\nX : a\r\n",
        "Content-Length: 2\r\nno colon\r\n",
        "Content-Length: 2\r\n: no name\r\n",
        "Content-Length: 2\r\nX Y: a\r\n",
    ] {
        head(lines, "2\r\nhi\r\n0\r\n\r\n", Refused);
    }
    head("Content-Length: 2\r\n", "hi", Passes("hi"));
    head("Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n", Passes("hi"));
    head("", "until it closes", Passes("until it closes"));
    head("Content-Length: 2\r\n", &format!("hi{SPLIT}"), Passes("hi"));
    head("Transfer-Encoding: chunked\r\n", &format!("2\r\nhi\r\n0\r\n\r\n{SPLIT}"), Passes("hi"));
    // Shorter than it says, and chunks that are none.
    head("Content-Length: 20\r\n", "hi", Breaks);
    for chunks in [
        "2\r\nhi\r\n",
        "2\r\nhi\r\n0\r\n",
        "2\r\nhi",
        "5\r\nhi",
        "2\r\nhi\r\n+0\r\n\r\n",
        "2\r\nhi\r\n0x0\r\n\r\n",
        "2\r\nhi\r\nFFFFFFFFFFFFFFFFF\r\n",
        "2\r\nhiXX0\r\n\r\n",
        "2\r\nhi\n0\r\n\r\n",
        "2\r\nhi\r\n0\n\n",
        "2\r\nhi\r\ng\r\n",
    ] {
        head("Transfer-Encoding: chunked\r\n", chunks, Breaks);
    }
    // A status line that is none.
    for line in [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 abc OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1200 OK",
        "HTTP/2 200 OK",
        "HTTP/1.2 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200\tOK",
        " HTTP/1.1 200 OK",
        "HTTP/1.1 200 O\rK",
        "HTTP/1.1 200 O\0K",
        "",
    ] {
        all.push((format!("{line}\r\nContent-Length: 2\r\n\r\nhi"), Refused));
    }
    all.push(("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi".into(), Passes("hi")));
    all.push(("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi".into(), Passes("hi")));
    all.push(("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi".into(), Passes("hi")));
    all.push((
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n".into(),
        Refused,
    ));
    // Half line breaks, and half a head.
    all.push(("HTTP/1.1 200 OK\nContent-Length: 2\n\nhi".into(), Refused));
    all.push(("HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nhi".into(), Refused));
    all.push(("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n".into(), Refused));
    all.push(("HTTP/1.1 200".into(), Refused));
    // What has no body, and has one.
    all.push((format!("HTTP/1.1 204 No\r\n\r\n{SPLIT}"), Passes("")));
    all.push((format!("HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n{SPLIT}"), Passes("")));
    all.push(("HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nhi".into(), Passes("")));
    // Interim answers.
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    all.push((format!("HTTP/1.1 100 Continue\r\n\r\n{ok}"), Passes("hi")));
    all.push((format!("HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n{ok}"), Passes("hi")));
    all.push((format!("{}{ok}", "HTTP/1.1 102 P\r\n\r\n".repeat(3)), Passes("hi")));
    all.push((format!("{}{ok}", "HTTP/1.1 102 P\r\n\r\n".repeat(100_000)), Refused));
    all.push((
        format!("HTTP/1.1 101 Switch\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n{SPLIT}"),
        Refused,
    ));
    all.push((format!("HTTP/1.1 101 Switch\r\n\r\n{SPLIT}"), Refused));
    // Too much of it.
    all.push((format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(1 << 20)), Refused));
    all.push((format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(5000)), Refused));
    all
}

/// What is wrong with what a caller got.
fn judge(client: &mut Client, want: Want) -> Result<(), String> {
    let Some(head) = client.try_head() else {
        return Err("the caller got nothing".to_owned());
    };
    if !head.all("x-poison").is_empty() {
        return Err("another answer got through".to_owned());
    }
    let status = head.status();
    let silent = matches!(status, 204 | 304);
    let lengths = (head.all("content-length").len(), head.all("transfer-encoding").len());
    if !silent && !matches!(lengths, (1, 0) | (0, 1)) {
        return Err(format!("framed {lengths:?} times: {head:?}"));
    }
    let body = if silent { Some(Vec::new()) } else { client.body(&head).map(|(body, _)| body) };
    let said = body.as_deref().map(String::from_utf8_lossy);
    match (want, status, said.as_deref()) {
        (Refused, 502, Some(said)) if said.contains("upstream_protocol") => Ok(()),
        (Breaks, 502, Some(said)) if said.contains("upstream_protocol") => Ok(()),
        (Breaks, 200, None) => Ok(()),
        (Passes(body), 200 | 204 | 304, Some(said)) if said == body => Ok(()),
        (_, status, said) => Err(format!("{status} with {said:?}")),
    }
}

#[test]
fn no_answer_is_read_in_two_ways_and_none_is_taken_for_another() {
    let cases = Arc::new(cases());
    let theirs = Arc::clone(&cases);
    let peer = Peer::start(move |exchange| {
        let seen = exchange.read();
        match seen.target().strip_prefix("/case/").and_then(|number| number.parse::<usize>().ok()) {
            Some(number) => {
                let (raw, _): &(String, Want) = &theirs[number];
                exchange.send(raw);
                exchange.close();
            }
            None => exchange.answer(200, &[], "fine"),
        }
    });
    let gateway = through(&peer.url());
    let mut wrong = Vec::new();
    for (number, (raw, want)) in cases.iter().enumerate() {
        let mut client = gateway.client();
        client.send(format!("GET /case/{number} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        let shown: String = raw.chars().take(120).collect();
        if let Err(why) = judge(&mut client, *want) {
            wrong.push(format!("{shown:?}: {why}, {want:?} was expected"));
        }
        let mut after = gateway.get("/after");
        // It may meet the connection that the service closes behind its answer.
        if after.text().contains("broke off before it answered") {
            after = gateway.get("/after");
        }
        if (after.status, after.text()) != (200, "fine") {
            wrong.push(format!("{shown:?}: the next answer was {} {}", after.status, after.text()));
        }
    }
    println!("{} answers, {} of them wrong", cases.len(), wrong.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn an_answer_that_comes_before_the_request_is_for_nobody() {
    // A service that answers once too often, on a connection that is kept.
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine{SPLIT}"));
    });
    let gateway = through(&peer.url());
    for _ in 0..20 {
        let answer = gateway.get("/");
        assert_eq!((answer.status, answer.text()), (200, "mine"));
    }
}
