//! An HTTP/1.1 service that takes nothing for granted: it reads what it receives byte by byte,
//! remembers every request, and notes a fault where a byte could be read in two ways. What a gateway
//! sends must leave no choice to whoever reads it next.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use super::raw::Fields;

/// The service. It ends with its value.
pub(crate) struct Strict {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    heard: Mutex<Vec<Heard>>,
    faults: Mutex<Vec<String>>,
    ended: AtomicBool,
}

/// A request that could be read in one way only.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// The method.
    pub(crate) method: String,
    /// The request's target.
    pub(crate) target: String,
    /// Names in lower case, and values.
    pub(crate) headers: Fields,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
    /// What came behind a chunked body.
    pub(crate) trailers: Fields,
}

impl Heard {
    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let same = self.headers.iter().filter(|(known, _)| known == name);
        same.map(|(_, value)| value.as_str()).collect()
    }
}

impl Strict {
    /// Answers every request with `200` and `METHOD TARGET BODY`.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let ours = Arc::clone(&shared);
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if ours.ended.load(Relaxed) {
                    break;
                }
                let shared = Arc::clone(&ours);
                thread::spawn(move || serve(socket, &shared));
            }
        });
        Self { address, shared }
    }

    /// Its URL, without a path.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request that has come whole.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        lock(&self.shared.heard).clone()
    }

    /// What could be read in two ways.
    pub(crate) fn faults(&self) -> Vec<String> {
        lock(&self.shared.faults).clone()
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        self.shared.ended.store(true, Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(socket: TcpStream, shared: &Shared) {
    socket.set_nodelay(true).unwrap();
    let mut wire = Wire { socket, held: Vec::new(), at: 0 };
    loop {
        match request(&mut wire) {
            Ok(Some(heard)) => {
                let said =
                    [heard.method.as_bytes(), b" ", heard.target.as_bytes(), b" ", &heard.body]
                        .concat();
                let length = said.len();
                let said = if heard.method == "HEAD" { Vec::new() } else { said };
                lock(&shared.heard).push(heard);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                if wire.socket.write_all(&[head.as_bytes(), &said].concat()).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(Cut::Left) => return,
            Err(Cut::Fault(what)) => {
                let context = String::from_utf8_lossy(&wire.held).into_owned();
                lock(&shared.faults).push(format!("{what} at byte {} of {context:?}", wire.at));
                return;
            }
        }
    }
}

/// Why a request did not come whole.
enum Cut {
    /// The sender broke it off, as it may.
    Left,
    /// It can be read in two ways.
    Fault(String),
}

fn fault<T>(what: impl Into<String>) -> Result<T, Cut> {
    Err(Cut::Fault(what.into()))
}

struct Wire {
    socket: TcpStream,
    held: Vec<u8>,
    at: usize,
}

impl Wire {
    fn byte(&mut self) -> Result<u8, Cut> {
        if self.at == self.held.len() {
            let mut more = [0; 16 << 10];
            let count = self.socket.read(&mut more).unwrap_or(0);
            if count == 0 {
                return Err(Cut::Left);
            }
            self.held.extend_from_slice(&more[..count]);
        }
        self.at += 1;
        Ok(self.held[self.at - 1])
    }

    /// A line that ends in CRLF and has neither of the two inside.
    fn line(&mut self) -> Result<String, Cut> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\r' => match self.byte()? {
                    b'\n' => break,
                    other => return fault(format!("CR before {other:#x}")),
                },
                b'\n' => return fault("LF without CR"),
                byte @ (0..=8 | 11..=31 | 127) => return fault(format!("control byte {byte:#x}")),
                byte => line.push(byte),
            }
        }
        String::from_utf8(line).or_else(|_| fault("a line is not UTF-8"))
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn fields(wire: &mut Wire) -> Result<Fields, Cut> {
    let mut all = Fields::new();
    loop {
        let line = wire.line()?;
        if line.is_empty() {
            return Ok(all);
        }
        let Some((name, value)) = line.split_once(':') else {
            return fault(format!("a field without a colon: {line:?}"));
        };
        if !is_token(name) {
            return fault(format!("a field's name is no token: {name:?}"));
        }
        all.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
}

fn request(wire: &mut Wire) -> Result<Option<Heard>, Cut> {
    wire.held.drain(..wire.at);
    wire.at = 0;
    match wire.byte() {
        Ok(_) => wire.at = 0,
        Err(_) => return Ok(None), // Between two requests anybody may leave.
    }
    let line = wire.line()?;
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else {
        return fault(format!("a request line of other parts: {line:?}"));
    };
    if !is_token(method) || !(target.starts_with('/') || target == "*") || !target.is_ascii() {
        return fault(format!("an odd method or target: {line:?}"));
    }
    let mut heard =
        Heard { method: method.to_owned(), target: target.to_owned(), ..Heard::default() };
    heard.headers = fields(wire)?;
    for (name, _) in &heard.headers {
        let meant = name.replace('_', "-");
        if *name != meant
            && ["content-length", "transfer-encoding", "host"].contains(&meant.as_str())
        {
            return fault(format!("{name} looks like {meant}"));
        }
    }
    if heard.all("host").len() != 1 {
        return fault("not exactly one Host");
    }
    match (&heard.all("content-length")[..], &heard.all("transfer-encoding")[..]) {
        ([], []) => {}
        ([length], []) => {
            if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
                return fault(format!("a Content-Length of {length:?}"));
            }
            let Ok(length) = length.parse::<usize>() else { return fault("too long a body") };
            for _ in 0..length {
                let byte = wire.byte()?;
                heard.body.push(byte);
            }
        }
        ([], ["chunked"]) => chunked(wire, &mut heard)?,
        (lengths, codings) => return fault(format!("framed by {lengths:?} and {codings:?}")),
    }
    Ok(Some(heard))
}

fn chunked(wire: &mut Wire, heard: &mut Heard) -> Result<(), Cut> {
    loop {
        let size = wire.line()?;
        if size.is_empty() || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
            return fault(format!("a chunk of size {size:?}"));
        }
        let Ok(size) = usize::from_str_radix(&size, 16) else { return fault("too long a chunk") };
        if size == 0 {
            heard.trailers = fields(wire)?;
            return Ok(());
        }
        for _ in 0..size {
            let byte = wire.byte()?;
            heard.body.push(byte);
        }
        if !wire.line()?.is_empty() {
            return fault("a chunk is longer than it says");
        }
    }
}
