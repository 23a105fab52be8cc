//! Cases 1 to 15 and 19: requests whose end, host or meaning depends on who reads them. Each is sent
//! with a second request right behind it. Either it is refused and the connection closed, so that
//! the second is never looked at, or a service that takes nothing for granted gets exactly one
//! request of it, and then the second as it was sent.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Mutex,
    thread,
    time::Duration,
};

use super::through;
use crate::support::{Strict, strict::Heard};

/// What may become of a request.
#[derive(Clone, Copy, Debug)]
enum Want {
    /// Refused with a 4xx or 501.
    Refused,
    /// Refused with this status. Where it ends is beyond doubt, so that the connection may live on.
    Said(u16),
    /// Sent on with this body.
    Passes(&'static str),
    /// Either, if it is sent on with this body.
    Either(&'static str),
}
use Want::{Either, Passes, Refused, Said};

struct Case {
    name: String,
    raw: Vec<u8>,
    want: Want,
}

/// The target of the request that is tried, and in the raw text below its place.
const TARGET: &str = "$T";

#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    fn raw(&mut self, name: impl Into<String>, raw: impl AsRef<[u8]>, want: Want) {
        self.0.push(Case { name: name.into(), raw: raw.as_ref().to_vec(), want });
    }

    /// A POST with these header lines, each ended already, and what comes behind the head.
    fn post(&mut self, lines: impl AsRef<[u8]>, behind: impl AsRef<[u8]>, want: Want) {
        let (lines, behind) = (lines.as_ref(), behind.as_ref());
        let head = format!("POST {TARGET} HTTP/1.1\r\nHost: a.test\r\n");
        let raw = [head.as_bytes(), lines, b"\r\n", behind].concat();
        let name = format!("{:?} + {:?}", text(lines), text(behind));
        self.raw(name, raw, want);
    }

    /// A POST in chunks.
    fn chunked(&mut self, behind: impl AsRef<[u8]>, want: Want) {
        self.post("Transfer-Encoding: chunked\r\n", behind, want);
    }

    /// A GET with these header lines.
    fn get(&mut self, lines: impl AsRef<[u8]>, want: Want) {
        let head = format!("GET {TARGET} HTTP/1.1\r\nHost: a.test\r\n");
        let raw = [head.as_bytes(), lines.as_ref(), b"\r\n"].concat();
        self.raw(format!("{:?}", text(lines.as_ref())), raw, want);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(100).collect()
}

/// A body in chunks, and none behind it.
const HELLO: &str = "5\r\nhello\r\n0\r\n\r\n";
/// What would be a request of its own to whoever ends the one before it too soon.
const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn lengths(all: &mut Cases) {
    // 1: both framings.
    for coding in ["chunked", "Chunked", "CHUNKED", "chunked ", "chunked, chunked", "identity"] {
        for length in ["0", "5", "44", "15"] {
            let (te, cl) = (
                format!("Transfer-Encoding: {coding}\r\n"),
                format!("Content-Length: {length}\r\n"),
            );
            all.post(format!("{cl}{te}"), HELLO, Refused);
            all.post(format!("{te}{cl}"), format!("0\r\n\r\n{HIDDEN}"), Refused);
        }
    }
    // 2: two lengths.
    for (one, two) in [("5", "6"), ("5", "0"), ("0", "5"), ("5", "5 "), ("5", "+5"), ("05", "5")] {
        let want = if one == "5" && two == "5 " || one == "05" { Either("hello") } else { Refused };
        all.post(format!("Content-Length: {one}\r\nContent-Length: {two}\r\n"), "hello", want);
        all.post(format!("Content-Length: {one}\r\ncontent-length: {two}\r\n"), "hello", want);
    }
    for list in ["5, 5", "5,5", "5, 6", "5,", ",5", "5 5", "5;5", "5, ", "0, 5"] {
        all.post(format!("Content-Length: {list}\r\n"), "hello", Refused);
    }
    // 3: what is no length.
    for length in [
        "+5",
        "-5",
        "-0",
        "0x5",
        "5.0",
        "5e0",
        "0b101",
        "5_",
        "_5",
        "",
        " ",
        "five",
        "\"5\"",
        "5\x0b",
        "\x0c5",
        "5\0",
        "\u{ff15}",
        "\u{a0}5",
        "NaN",
        "99999999999999999999",
        "18446744073709551621",
        "000000000000000000000000000000000000000000000000000000000005a",
    ] {
        all.post(format!("Content-Length: {length}\r\n"), "hello", Refused);
    }
    for length in ["5 ", "\t5", " 5\t", "005"] {
        all.post(format!("Content-Length: {length}\r\n"), "hello", Either("hello"));
    }
    all.post("Content-Length: 5\r\n", "hello", Passes("hello"));
    all.post(
        "Content-Length: 41\r\n",
        format!("{HIDDEN} "),
        Passes("GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n "),
    );
    all.post("", "", Passes(""));
}

fn codings(all: &mut Cases) {
    // 4: what is no `chunked`.
    for coding in [
        "xchunked",
        "chunkedx",
        "chunk",
        "identity",
        "identity, chunked",
        "chunked, identity",
        "chunked, chunked",
        "gzip, chunked",
        "gzip",
        "deflate",
        "trailers",
        "chunked;q=1",
        "chunked;",
        "\"chunked\"",
        "'chunked'",
        "chunked,",
        ",chunked",
        "chunked\x0b",
        "\x0bchunked",
        "\x0cchunked",
        "chunked\0",
        "chunked\u{a0}",
        "chunKed\u{212a}",
        "ch unked",
        "x, chunked",
        "",
        " ",
        ",",
        "cow",
        "chunked  chunked",
    ] {
        all.post(format!("Transfer-Encoding: {coding}\r\n"), HELLO, Refused);
    }
    for (one, two) in [
        ("chunked", "chunked"),
        ("chunked", "identity"),
        ("identity", "chunked"),
        ("gzip", "chunked"),
        ("chunked", "x"),
        ("x", "chunked"),
        ("", "chunked"),
        ("chunked", ""),
    ] {
        let lines = format!("Transfer-Encoding: {one}\r\nTransfer-encoding: {two}\r\n");
        all.post(lines, HELLO, Refused);
    }
    for lines in [
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding: x\r\n chunked\r\n",
        "Transfer-Encoding: chunked\r\n\tx\r\n",
        "Transfer-Encoding:\n chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "\tTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding\x0b: chunked\r\n",
        "Transfer-Encoding\0: chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "X: y\nTransfer-Encoding: chunked\nY: z\r\n",
        "Transfer Encoding: chunked\r\n",
        ":Transfer-Encoding: chunked\r\n",
    ] {
        all.post(format!("Content-Length: 5\r\n{lines}"), HELLO, Refused);
    }
    for coding in ["chunked", "Chunked", " chunked", "chunked \t", "\tchunked"] {
        all.post(format!("Transfer-Encoding: {coding}\r\n"), HELLO, Passes("hello"));
    }
    // 15: what a reader takes for the same name.
    for lines in [
        "Content-Length: 5\r\nTransfer_Encoding: chunked\r\n",
        "Content-Length: 5\r\ntransfer_encoding: chunked\r\n",
        "Content_Length: 9\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nX_Forwarded_For: 6.6.6.6\r\n",
    ] {
        all.post(lines, "hello", Said(400));
    }
    // 5: a version that has no chunks.
    for version in ["HTTP/1.0", "HTTP/1.0 ", "HTTP/0.9"] {
        for length in ["", "Content-Length: 5\r\n"] {
            let raw = format!(
                "POST {TARGET} {version}\r\nHost: a.test\r\nConnection: keep-alive\r\n{length}\
                 Transfer-Encoding: chunked\r\n\r\n{HELLO}"
            );
            all.raw(format!("{version} in chunks {length:?}"), raw, Refused);
        }
    }
}

fn lines(all: &mut Cases) {
    // 6: blanks where none may be, and folded lines.
    for line in [
        "X : y",
        "X\t: y",
        " X: y",
        "\tX: y",
        "X: y\r\n z",
        "X: y\r\n\tz",
        "X:\r\n y",
        "no colon",
        ": no name",
        "X Y: z",
        "X(: y",
        "X@: y",
        "X[]: y",
        "X\"Y\": z",
        "X/Y: z",
        "X\u{e9}: y",
        "X\x7f: y",
        "X\0Y: z",
        "X\x01: y",
    ] {
        all.get(format!("{line}\r\n"), Refused);
    }
    // 7: half a line break.
    for line in
        ["X: y\n", "X: y\r\nZ: a\n", "X: y\rZ: a\r\n", "X: y\r\r\n", "X: \r y\r\n", "\r", "\n"]
    {
        all.get(line, Refused);
    }
    for raw in [
        "GET $T HTTP/1.1\nHost: a.test\r\n\r\n",
        "GET $T HTTP/1.1\r\nHost: a.test\n\n",
        "GET $T HTTP/1.1\nHost: a.test\n\n",
        "GET $T HTTP/1.1\r\nHost: a.test\r\n\n",
        "GET $T HTTP/1.1\r\nHost: a.test\n\r\n",
        "GET $T HTTP/1.1\rHost: a.test\r\n\r\n",
        "GET $T HTTP/1.1\r\r\nHost: a.test\r\n\r\n",
        "GET $T\r HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET\r$T HTTP/1.1\r\nHost: a.test\r\n\r\n",
        // The request line.
        "GET  $T HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET $T  HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET\t$T\tHTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET $T\tHTTP/1.1\r\nHost: a.test\r\n\r\n",
        " GET $T HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET $T HTTP/1.1 \r\nHost: a.test\r\n\r\n",
        "GET $T x HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET $T\r\nHost: a.test\r\n\r\n",
        "GET $T \r\nHost: a.test\r\n\r\n",
        "$T HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET $T HTTP/1.2\r\nHost: a.test\r\n\r\n",
        "GET $T HTTP/2.0\r\nHost: a.test\r\n\r\n",
        "GET $T HTTP/1.10\r\nHost: a.test\r\n\r\n",
        "GET $T HTTP/01.1\r\nHost: a.test\r\n\r\n",
        "GET $T HTTP/1.\r\nHost: a.test\r\n\r\n",
        "GET $T HTTP/1\r\nHost: a.test\r\n\r\n",
        "GET $T http/1.1\r\nHost: a.test\r\n\r\n",
        "GET $T HTTP/1,1\r\nHost: a.test\r\n\r\n",
        "GET $T HTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET $T HTTP/1.1x\r\nHost: a.test\r\n\r\n",
        "GET $T HTTP/+1.1\r\nHost: a.test\r\n\r\n",
        "G@T $T HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GE(T) $T HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET: $T HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "G\0ET $T HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET $T\0 HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET $T\x01 HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET $T\x7f HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET $T%0d%0aX: y HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET ../$T HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET http://$T HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "\n\nGET $T HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ] {
        all.raw(format!("{raw:?}"), raw, Refused);
    }
    all.raw("an empty line in front", "\r\nGET $T HTTP/1.1\r\nHost: a.test\r\n\r\n", Either(""));
    // 11: what is no text.
    for byte in [0, 1, 7, 8, 11, 12, 27, 31, 127] {
        let line = [b"X: a", &[byte][..], b"b\r\n"].concat();
        all.get(line, Refused);
    }
    all.get("X: a\tb \u{e9}\r\n", Either(""));
}

fn chunks(all: &mut Cases) {
    // 7 and 8: what is no size, and what does not end as it should.
    for size in [
        "+5",
        "-5",
        "0x5",
        "5_0",
        "_5",
        " 5",
        "\t5",
        "",
        "g",
        "5h",
        "5.",
        "5,5",
        "\"5\"",
        "5 5",
        "5\x0b",
        "5\0",
        "FFFFFFFFFFFFFFFFF",
        "10000000000000005",
        "FFFFFFFFFFFFFFFF",
        "7FFFFFFFFFFFFFFF",
        "\u{ff15}",
    ] {
        all.chunked(format!("{size}\r\nhello\r\n0\r\n\r\n"), Refused);
    }
    for behind in [
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello\r\n0\n\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;\n\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;a=\0\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
        "5\r\nhel",
        "4\r\nhello\r\n0\r\n\r\n",
        "6\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        // 9: what is no trailer.
        "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: y\n\r\n",
        "5\r\nhello\r\n0\r\nX: \0\r\n\r\n",
        "5\r\nhello\r\n0\r\n: y\r\n\r\n",
    ] {
        // One of them only ends where the next request would begin.
        if behind != "5\r\nhel" {
            all.chunked(behind, Refused);
        }
    }
    for behind in [
        "5;a=b\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b;c\"\r\nhello\r\n0;x\r\n\r\n",
        "5 ;a=b\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "000000005\r\nhello\r\n0\r\n\r\n",
        "00000000000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n000\r\n\r\n",
        "5\r\nhello\r\n0\r\nHost: evil\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "5\r\nhello\r\n0\r\nAuthorization: Basic x\r\n\r\n",
    ] {
        all.chunked(behind, Either("hello"));
    }
    let long = "x".repeat(100_000);
    all.chunked(format!("5;{long}\r\nhello\r\n0\r\n\r\n"), Either("hello"));
    all.chunked(HELLO, Passes("hello"));
    all.chunked("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", Passes("hello"));
    all.chunked(
        "1e\r\nGET /smuggled HTTP/1.1\r\nHost: \r\n0\r\n\r\n",
        Passes("GET /smuggled HTTP/1.1\r\nHost: "),
    );
    all.chunked("0\r\n\r\n", Passes(""));
}

fn hosts(all: &mut Cases) {
    // 10: nobody, or two, to talk to.
    for (raw, want) in [
        ("GET $T HTTP/1.1\r\n\r\n", Said(400)),
        ("GET $T HTTP/1.1\r\nX: y\r\n\r\n", Said(400)),
        ("GET $T HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n", Said(400)),
        ("GET $T HTTP/1.1\r\nHost: a.test\r\nhost: a.test\r\n\r\n", Said(400)),
        ("GET $T HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n", Said(400)),
        ("GET $T HTTP/1.1\r\nHost: a.test b.test\r\n\r\n", Said(400)),
        ("GET $T HTTP/1.1\r\nHost: a.test\tb.test\r\n\r\n", Said(400)),
        ("GET $T HTTP/1.1\r\nHost: u@a.test\r\n\r\n", Said(400)),
        ("GET $T HTTP/1.1\r\nHost: a.test/b\r\n\r\n", Said(400)),
        ("GET $T HTTP/1.1\r\nHost: a.test?b\r\n\r\n", Said(400)),
        ("GET $T HTTP/1.1\r\nHost: a.test#b\r\n\r\n", Said(400)),
        ("GET $T HTTP/1.1\r\nHost: \0\r\n\r\n", Said(400)),
        ("GET $T HTTP/1.1\r\nHost : a.test\r\n\r\n", Said(400)),
        ("GET http://a.test$T HTTP/1.1\r\n\r\n", Either("")),
        ("GET http://a.test$T HTTP/1.1\r\nHost: b.test\r\n\r\n", Either("")),
        ("GET http://a.test$T HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n", Said(400)),
        ("GET http://u@a.test$T HTTP/1.1\r\nHost: a.test\r\n\r\n", Said(400)),
        ("GET $T HTTP/1.1\r\nHost:\r\n\r\n", Either("")),
        ("GET $T HTTP/1.1\r\nHost: a.test:8080\r\n\r\n", Passes("")),
        ("GET $T HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", Passes("")),
        ("GET a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", Said(400)),
        ("GET * HTTP/1.1\r\nHost: a.test\r\n\r\n", Said(400)),
        ("GET ftp://a.test$T HTTP/1.1\r\nHost: a.test\r\n\r\n", Said(400)),
        ("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n", Said(400)),
        ("CONNECT $T HTTP/1.1\r\nHost: a.test\r\n\r\n", Said(400)),
    ] {
        all.raw(format!("{raw:?}"), raw, want);
    }
}

fn others(all: &mut Cases) {
    // 12: a change of protocol that the service does not agree to.
    all.get("Connection: Upgrade\r\nUpgrade: websocket\r\n", Passes(""));
    all.get(
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        Passes(""),
    );
    all.post(
        "Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n",
        "hello",
        Either("hello"),
    );
    // 14: what Connection may not take out.
    for name in ["host", "content-length", "transfer-encoding", "authorization", "close, host"] {
        let lines = format!("Connection: {name}\r\nContent-Length: 5\r\n");
        // Who says `close` hears no more.
        if !name.starts_with("close") {
            all.post(lines, "hello", Either("hello"));
        }
    }
    all.post(
        "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
        HELLO,
        Either("hello"),
    );
    // Bodies where none is expected.
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PURGE", "get"] {
        for (lines, behind) in [
            ("Content-Length: 41\r\n", format!("{HIDDEN} ")),
            ("Transfer-Encoding: chunked\r\n", format!("29\r\n{HIDDEN} \r\n0\r\n\r\n")),
        ] {
            let raw = format!("{method} {TARGET} HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n{behind}");
            let body = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n ";
            all.raw(format!("{method} with a body, {lines:?}"), raw, Either(body));
        }
    }
    all.post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello", Passes("hello"));
    all.post("Expect: 200-maybe\r\nContent-Length: 5\r\n", "hello", Either("hello"));
    // 19: too much of it.
    all.get(format!("X: {}\r\n", "y".repeat(100 << 10)), Said(431));
    all.get("X: y\r\n".repeat(1000), Said(431));
    all.raw(
        "a long target",
        format!("GET {TARGET}?{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(64 << 10)),
        Said(414),
    );
    all.raw(
        "a long method",
        format!("{} $T HTTP/1.1\r\nHost: a.test\r\n\r\n", "G".repeat(9000)),
        Refused,
    );
}

/// All that came back until the gateway closed.
fn converse(address: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(12))).unwrap();
    // A gateway that has said no may have closed before all was said.
    drop(socket.write_all(bytes));
    let mut all = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return Ok(all),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Err(format!("the connection was left open after {:?}", text(&all)));
            }
            Err(_) => return Ok(all),
        }
    }
}

/// The statuses of the final answers, each of which has a length.
fn statuses(mut said: &[u8], head_first: bool) -> Result<Vec<u16>, String> {
    let mut all = Vec::new();
    while !said.is_empty() {
        let end = said.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.ok_or_else(|| format!("half an answer: {:?}", text(said)))?;
        let head = String::from_utf8_lossy(&said[..end]).to_lowercase();
        let status: u16 = head
            .get(9..12)
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| format!("no status: {head:?}"))?;
        said = &said[end + 4..];
        if status < 200 {
            continue;
        }
        all.push(status);
        let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(Ok(0), str::parse::<usize>).map_err(|e| e.to_string())?;
        let length = if head_first && all.len() == 1 { 0 } else { length };
        said = said.get(length..).ok_or("a body is shorter than it says")?;
    }
    Ok(all)
}

/// What is wrong with what became of a case.
fn judge(case: &Case, number: usize, address: SocketAddr, service: &Strict) -> Result<(), String> {
    let (target, probe) = (format!("/case/{number}"), format!("/probe/{number}"));
    let raw = String::from_utf8_lossy(&case.raw);
    // What is no UTF-8 has no place for a target in it.
    let raw = match std::str::from_utf8(&case.raw) {
        Ok(_) => raw.replace(TARGET, &target).into_bytes(),
        Err(_) => replace(&case.raw, TARGET.as_bytes(), target.as_bytes()),
    };
    let behind = format!("GET {probe} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    let said = converse(address, &[&raw, behind.as_bytes()].concat())?;
    let statuses = statuses(&said, raw.starts_with(b"HEAD "))?;
    let heard: Vec<Heard> = service
        .heard()
        .into_iter()
        .filter(|heard| {
            [&target, &probe]
                .iter()
                .any(|one| heard.target == **one || heard.target.starts_with(&format!("{one}?")))
        })
        .collect();
    let of = |which: &str| heard.iter().filter(|one| one.target.starts_with(which)).count();
    let (cases, probes) = (of(&target), of(&probe));

    let refused = || match &statuses[..] {
        [] => Ok(()), // Closed without a word: rude, and safe.
        [400..=499 | 501 | 505] => Ok(()),
        other => Err(format!("answered {other:?}")),
    };
    let passed = |body: &str| {
        let first = heard.iter().find(|one| one.target.starts_with(&target));
        match (first, &statuses[..]) {
            (Some(first), [200, 200]) if first.body == body.as_bytes() => Ok(()),
            (Some(first), _) => Err(format!("{:?} with body {:?}", statuses, text(&first.body))),
            (None, _) => Err(format!("was not sent on: {statuses:?}")),
        }
    };
    match (case.want, cases, probes) {
        (Refused, 0, 0) => refused(),
        (Said(status), 0, 0) if statuses == [status] => Ok(()),
        (Said(status), 0, 1) if statuses == [status, 200] => Ok(()),
        (Refused | Said(_), ..) => Err(format!("was sent on: {heard:?}, {statuses:?}")),
        (Passes(body), 1, 1) | (Either(body), 1, 1) => passed(body),
        (Either(_), 0, 0) => refused(),
        _ => Err(format!(
            "{cases} and {probes} requests were sent on, {statuses:?}: {}",
            text(&said)
        )),
    }
}

fn replace(all: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    match all.windows(what.len()).position(|window| window == what) {
        Some(at) => [&all[..at], by, &all[at + what.len()..]].concat(),
        None => all.to_vec(),
    }
}

#[test]
fn no_request_is_read_in_two_ways_and_none_is_lost_or_made_up() {
    let service = Strict::start();
    let gateway = through(&service.url());
    let mut cases = Cases::default();
    for add in [lengths, codings, lines, chunks, hosts, others] {
        add(&mut cases);
    }
    let cases = cases.0;
    assert!(cases.len() > 250, "{} cases", cases.len());
    let wrong = Mutex::new(Vec::new());
    let address = gateway.address();
    thread::scope(|scope| {
        for worker in 0..8 {
            let (cases, wrong, service) = (&cases, &wrong, &service);
            scope.spawn(move || {
                for (number, case) in cases.iter().enumerate().skip(worker).step_by(8) {
                    if let Err(why) = judge(case, number, address, service) {
                        wrong.lock().unwrap().push(format!("{}: {why}", case.name));
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    let unknown: Vec<_> = service
        .heard()
        .into_iter()
        .filter(|heard| !heard.target.starts_with("/case/") && !heard.target.starts_with("/probe/"))
        .collect();
    println!("{} requests, {} of them wrong", cases.len(), wrong.len());
    assert_eq!(unknown.len(), 0, "made up: {unknown:#?}\n{}", wrong.join("\n"));
    assert_eq!(service.faults(), [""; 0], "can be read in two ways\n{}", wrong.join("\n"));
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn a_request_that_is_refused_early_leaves_no_byte_of_its_body_behind() {
    let service = Strict::start();
    // 13: nobody has looked at the body when these are answered.
    let gateway = crate::support::Gateway::start(&format!(
        "upstreams: {{ web: {{ kind: http, url: {} }} }}
routes:
  - {{ name: only, match: {{ path: /only, methods: [POST] }}, to: web, policy: {{ limits: {{ body: 10B, headers: 1KiB }} }} }}
  - {{ name: smuggled, match: {{ path: /smuggled }}, to: web }}
  - {{ name: here, match: {{ path: /here }}, respond: {{ body: hi }} }}
",
        service.url()
    ));
    let long = format!("X: {}\r\n", "y".repeat(2000));
    for (target, lines, status) in [
        ("/nowhere", "", 404),
        ("/smuggled/x", "", 404),
        ("/only", "", 413),
        ("/only%2f", "", 400),
        ("/only", "x_forwarded_for: 1\r\n", 400),
        ("/only", long.as_str(), 431),
        ("/only", "Content-Type: application/cloudevents+json\r\nce-id: 1\r\n", 413),
        ("/here", "", 200),
    ] {
        for chunks in [false, true] {
            let body = HIDDEN.repeat(3);
            let framed = if chunks {
                format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
            } else {
                format!("Content-Length: {}\r\n\r\n{body}", body.len())
            };
            let raw = format!(
                "POST {target} HTTP/1.1\r\nHost: a.test\r\n{lines}{framed}\
                 GET /here HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
            );
            let said = converse(gateway.address(), raw.as_bytes()).unwrap();
            let statuses = statuses(&said, false).unwrap();
            assert!(
                statuses == [status] || statuses == [status, 200],
                "{target} {chunks}: {statuses:?} and not {status}"
            );
        }
    }
    assert!(service.heard().iter().all(|heard| heard.target == "/only"), "{:?}", service.heard());
}
