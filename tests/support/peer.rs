//! An HTTP service that does what a test tells it, one thread for each connection, and remembers
//! every request byte for byte.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    eventually,
    raw::{Client, Fields, Head},
};

/// The service. It ends with its value.
pub(crate) struct Peer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    /// Connections that the other side broke while an answer was due.
    cancelled: AtomicUsize,
    ended: AtomicBool,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Request line and headers.
    pub(crate) head: Head,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
    /// What came after a chunked body.
    pub(crate) trailers: Fields,
}

/// One request, about to be answered.
pub(crate) struct Exchange<'a> {
    /// Request line and headers.
    pub(crate) head: Head,
    /// The connection, for everything that is not plain.
    pub(crate) wire: &'a mut Client,
    shared: &'a Shared,
    closing: bool,
}

impl Peer {
    /// Answers every request with `200` and this text.
    pub(crate) fn answering(text: &'static str) -> Self {
        Self::start(move |exchange| {
            exchange.read();
            exchange.answer(200, &["Content-Type: text/plain"], text);
        })
    }

    /// Answers every request with its own body.
    pub(crate) fn echo() -> Self {
        Self::start(|exchange| {
            let seen = exchange.read();
            exchange.answer(200, &[], seen.body);
        })
    }

    /// Answers as the function says.
    pub(crate) fn start(answer: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Self {
        Self::start_over(answer, |socket| Some(Client::over(socket)))
    }

    /// Answers as the function says on connections that are made ready first, as for TLS.
    pub(crate) fn start_over(
        answer: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static,
        ready: impl Fn(TcpStream) -> Option<Client> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (on_accept, doing) = (Arc::clone(&shared), Arc::new((answer, ready)));
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if on_accept.ended.load(Ordering::Relaxed) {
                    break;
                }
                on_accept.connections.fetch_add(1, Ordering::Relaxed);
                let (shared, doing) = (Arc::clone(&on_accept), Arc::clone(&doing));
                thread::spawn(move || {
                    if let Some(wire) = doing.1(socket) {
                        serve(wire, &shared, &doing.0);
                    }
                });
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a path.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was read so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The different texts that were sent.
    pub(crate) fn bodies(&self) -> BTreeSet<String> {
        let seen = self.seen();
        seen.iter().map(|seen| String::from_utf8(seen.body.clone()).unwrap()).collect()
    }

    /// The one request that was made.
    #[track_caller]
    pub(crate) fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "exactly one request was expected: {seen:?}");
        seen.remove(0)
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until so many calls were broken off by the other side.
    pub(crate) fn await_cancelled(&self, count: usize) {
        eventually("the upstream sees the cancel", || {
            (self.shared.cancelled.load(Ordering::Relaxed) >= count).then_some(())
        });
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts, so that it sees the end.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(mut wire: Client, shared: &Shared, answer: &dyn Fn(&mut Exchange<'_>)) {
    while let Some(head) = wire.try_head() {
        let mut exchange = Exchange { head, wire: &mut wire, shared, closing: false };
        answer(&mut exchange);
        if exchange.closing {
            return;
        }
    }
}

impl Exchange<'_> {
    /// Reads the body, remembers the request and gives it back.
    pub(crate) fn read(&mut self) -> Seen {
        let Some((body, trailers)) = self.wire.body(&self.head) else {
            self.gone();
            return Seen { head: self.head.clone(), body: Vec::new(), trailers: Vec::new() };
        };
        let seen = Seen { head: self.head.clone(), body, trailers };
        self.remember(seen.clone());
        seen
    }

    /// Remembers a request of which the body was not read.
    pub(crate) fn remember_head(&self) {
        let head = self.head.clone();
        self.remember(Seen { head, body: Vec::new(), trailers: Vec::new() });
    }

    fn remember(&self, seen: Seen) {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }

    /// Answers with a length. `headers` are whole lines without line breaks.
    pub(crate) fn answer(&mut self, status: u16, headers: &[&str], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status} Whatever\r\n");
        for line in headers {
            head.push_str(line);
            head.push_str("\r\n");
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let body = if self.head.start.starts_with("HEAD ") { &[] } else { body };
        self.send([head.as_bytes(), body].concat());
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if !self.wire.try_send(bytes) {
            self.gone();
        }
    }

    /// Waits until the other side leaves, which counts as a cancelled call.
    pub(crate) fn await_leaving(&mut self) {
        self.wire.rest();
        self.gone();
    }

    /// Ends the connection after this exchange.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    fn gone(&mut self) {
        self.shared.cancelled.fetch_add(1, Ordering::Relaxed);
        self.closing = true;
    }
}

impl Seen {
    /// The method.
    pub(crate) fn method(&self) -> &str {
        self.head.start.split(' ').next().unwrap()
    }

    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        self.head.start.split(' ').nth(1).unwrap()
    }

    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }
}
