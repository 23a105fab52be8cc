//! An HTTP/2 client that sends exactly the frames it is given.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::PATIENCE;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// `ENHANCE_YOUR_CALM` and `PROTOCOL_ERROR` (RFC 9113, section 7).
pub(crate) const CALM: u32 = 0xB;
pub(crate) const PROTOCOL_ERROR: u32 = 1;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// One connection.
pub(crate) struct Http2 {
    socket: TcpStream,
    held: Vec<u8>,
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// A header block of literals that are not indexed (RFC 7541, section 6.2.2).
pub(crate) fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A request's headers, with more.
pub(crate) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo =
        [(":method", method), (":scheme", "http"), (":authority", "a.test"), (":path", path)];
    block(&[&pseudo[..], more].concat())
}

impl Http2 {
    /// Connects and says what every client says first.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self { socket, held: Vec::new() };
        assert!(client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        assert!(client.send(&frame(SETTINGS, 0, 0, &[])));
        client
    }

    /// Sends bytes; says whether the other side still takes them.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// A second handle on the connection, for whoever only reads.
    pub(crate) fn reader(&self) -> Self {
        Self { socket: self.socket.try_clone().unwrap(), held: Vec::new() }
    }

    /// The next frame; nothing at the end. A reset counts as an end.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let head = self.exactly(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7FFF_FFFF;
        let payload = self.exactly(length)?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads to the end; says with which error a GOAWAY came, if one did.
    pub(crate) fn farewell(&mut self) -> Option<u32> {
        let mut error = None;
        while let Some(frame) = self.next() {
            if frame.kind == GOAWAY {
                error = frame.payload.get(4..8).map(|code| {
                    u32::from_be_bytes(code.try_into().expect("four bytes are four bytes"))
                });
            }
        }
        error
    }

    /// Bounds every read.
    pub(crate) fn patience(&mut self, patience: Duration) {
        self.socket.set_read_timeout(Some(patience)).unwrap();
    }

    fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut buffer = [0; 16 << 10];
        while self.held.len() < count {
            match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.held.extend_from_slice(&buffer[..count]),
                Err(error) => {
                    let late = matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    );
                    assert!(!late, "the connection was left open");
                    return None;
                }
            }
        }
        Some(self.held.drain(..count).collect())
    }
}
