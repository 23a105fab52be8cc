//! An HTTP/1.1 client that sends exactly the bytes it is given and shows what came back.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

use serde_json::Value;

use super::PATIENCE;

/// A connection's bytes, plain or through TLS.
trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// One connection.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    /// The socket below, to close one half of it.
    socket: Option<TcpStream>,
    /// Bytes that came and are not read yet.
    held: Vec<u8>,
}

/// Names and values in their order.
pub(crate) type Fields = Vec<(String, String)>;

/// A status line with its headers.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The first line.
    pub(crate) start: String,
    /// The headers as they came, in their order.
    pub(crate) headers: Fields,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// Status line and headers.
    pub(crate) head: Head,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
    /// What came after a chunked body.
    pub(crate) trailers: Fields,
}

impl Client {
    /// Connects; every read has an end.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        Self::over(socket)
    }

    /// Reads and writes on a socket that is there already.
    pub(crate) fn over(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let below = socket.try_clone().unwrap();
        Self { stream: Box::new(socket), socket: Some(below), held: Vec::new() }
    }

    /// Reads and writes through what lies over a socket, such as TLS.
    pub(crate) fn over_stream(stream: impl Read + Write + Send + 'static) -> Self {
        Self { stream: Box::new(stream), socket: None, held: Vec::new() }
    }

    /// Sends bytes. Fails if the other side has closed.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends bytes; says whether the other side still takes them.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends one request and reads its answer.
    pub(crate) fn round_trip(&mut self, request: impl AsRef<[u8]>) -> Answer {
        let is_head = request.as_ref().starts_with(b"HEAD ");
        self.send(request);
        if is_head { self.answer_to_head() } else { self.answer() }
    }

    /// Closes our half: no more bytes come from here.
    pub(crate) fn finish(&self) {
        let socket = self.socket.as_ref().expect("a plain connection");
        socket.shutdown(Shutdown::Write).unwrap();
    }

    /// The next answer that is not interim (1xx).
    pub(crate) fn answer(&mut self) -> Answer {
        loop {
            let head = self.head();
            if head.status() >= 200 || head.status() == 101 {
                return self.answer_below(head);
            }
        }
    }

    /// The rest of an answer whose head is read.
    pub(crate) fn answer_below(&mut self, head: Head) -> Answer {
        let status = head.status();
        if matches!(status, 101 | 204 | 304) {
            return Answer { status, head, body: Vec::new(), trailers: Vec::new() };
        }
        let (body, trailers) = self.body(&head).unwrap();
        Answer { status, head, body, trailers }
    }

    /// The answer to a HEAD: headers that speak of a body, and none.
    pub(crate) fn answer_to_head(&mut self) -> Answer {
        let head = self.head();
        Answer { status: head.status(), head, body: Vec::new(), trailers: Vec::new() }
    }

    /// The next head, interim or not.
    pub(crate) fn head(&mut self) -> Head {
        self.try_head().unwrap_or_else(|| panic!("the other side closed before a head came"))
    }

    /// The next head, or nothing if the other side closes first.
    pub(crate) fn try_head(&mut self) -> Option<Head> {
        let end = loop {
            if let Some(at) = find(&self.held, b"\r\n\r\n") {
                break at;
            }
            if !self.more() {
                assert!(self.held.is_empty(), "half a head: {:?}", text(&self.held));
                return None;
            }
        };
        let raw: Vec<u8> = self.held.drain(..end + 4).collect();
        let mut lines = text(&raw[..end]).split("\r\n").map(str::to_owned).collect::<Vec<_>>();
        let start = lines.remove(0);
        let headers = lines.iter().map(|line| field(line)).collect();
        Some(Head { start, headers })
    }

    /// The next head, or nothing if the other side closes before all of it came.
    pub(crate) fn whole_head(&mut self) -> Option<Head> {
        while find(&self.held, b"\r\n\r\n").is_none() {
            if !self.more() {
                return None;
            }
        }
        self.try_head()
    }

    /// The body that belongs to a head, with its trailers. `None` if it breaks off.
    pub(crate) fn body(&mut self, head: &Head) -> Option<(Vec<u8>, Fields)> {
        if head.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
            let mut body = Vec::new();
            while let Some(chunk) = self.chunk()? {
                body.extend(chunk);
            }
            return Some((body, self.trailers()?));
        }
        if let Some(length) = head.header("content-length") {
            return Some((self.exactly(length.parse().unwrap())?, Vec::new()));
        }
        if head.start.starts_with("HTTP/") {
            return Some((self.rest(), Vec::new()));
        }
        Some((Vec::new(), Vec::new()))
    }

    /// The next chunk of a chunked body; `Some(None)` is its end, `None` a connection that broke.
    pub(crate) fn chunk(&mut self) -> Option<Option<Vec<u8>>> {
        let line = self.line()?;
        let size = usize::from_str_radix(line.split(';').next().unwrap().trim(), 16).unwrap();
        if size == 0 {
            return Some(None);
        }
        let chunk = self.exactly(size)?;
        assert_eq!(self.line()?, "", "a chunk ends with a line break");
        Some(Some(chunk))
    }

    fn trailers(&mut self) -> Option<Fields> {
        let mut trailers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Some(trailers);
            }
            trailers.push(field(&line));
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = find(&self.held, b"\r\n") {
                let line: Vec<u8> = self.held.drain(..at + 2).collect();
                return Some(text(&line[..at]).to_owned());
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// So many bytes, or nothing if the connection ends before.
    pub(crate) fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.held.len() < length {
            if !self.more() {
                return None;
            }
        }
        Some(self.held.drain(..length).collect())
    }

    /// Everything until the other side closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.held)
    }

    /// Whether the other side has closed and nothing is left to read.
    pub(crate) fn closed(&mut self) -> bool {
        self.held.is_empty() && !self.more()
    }

    /// Reads what there is; false at the end. A reset counts as an end.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.held.extend_from_slice(&buffer[..count]);
                true
            }
            Err(fault) if matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came within {PATIENCE:?}; held: {:?}", text(&self.held))
            }
            Err(_) => false,
        }
    }
}

impl Head {
    /// The status of an answer's head.
    pub(crate) fn status(&self) -> u16 {
        self.start.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The first header of this name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    /// All headers of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let same = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }
}

impl Answer {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        text(&self.body)
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|fault| panic!("{fault} in {:?}", self.text()))
    }

    /// The problem document, after a look at its status and code.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["code"], code, "{problem}");
        problem
    }
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
    (name.to_owned(), value.trim().to_owned())
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("(not UTF-8)")
}

fn find(held: &[u8], wanted: &[u8]) -> Option<usize> {
    held.windows(wanted.len()).position(|window| window == wanted)
}
