//! A connection of HTTP/2 that does nothing but keep the gateway busy. Frames that ask for nothing
//! cost their sender next to nothing, and each has to be read, answered or remembered. The frames
//! pass through here on their way, their headers are looked at, and a peer that sends many more of
//! the useless kind than useful ones is told GOAWAY with `ENHANCE_YOUR_CALM` (RFC 9113, section
//! 10.5) and left.
//!
//! What h2 itself bounds is not counted again: the size of a header block, streams that are reset
//! before they are looked at, DATA frames of a few bytes.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep, timeout},
};

/// What a client sends before its first frame.
const PREFACE_BYTES: usize = 24;
/// The head of a frame (RFC 9113, section 4.1).
const HEAD_BYTES: usize = 9;

/// Over how long frames are counted against each other.
const WINDOW: Duration = Duration::from_secs(10);
/// Frames between two looks at the clock.
const LOOK_EVERY: u32 = 1024;
/// Frames that ask for nothing (SETTINGS, PING, PRIORITY, empty DATA, unknown ones) which a window
/// allows, and what each useful frame allows beside them.
const IDLE_FRAMES: u32 = 500;
const IDLE_PER_USEFUL: u32 = 2;
/// The same for WINDOW_UPDATE. A reader sends several for each frame that it is sent.
const UPDATES: u32 = 1000;
const UPDATES_PER_FRAME: u32 = 10;
/// Streams that a window allows to be reset, where they are more than half of those that it opens.
const RESETS: u32 = 200;
/// Frames that one block of headers may come in.
const CONTINUATIONS: u32 = 16;

/// How long a block of headers, or any one frame's head, may take to arrive.
const BLOCK_WITHIN: Duration = Duration::from_secs(10);
/// How long a peer may take nothing of what is written to it.
const WRITE_WITHIN: Duration = Duration::from_secs(60);
/// How long the last word waits to be taken.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection, shared by whoever speaks HTTP/2 on it and whoever ends it.
#[derive(Debug)]
pub(crate) struct Line(Rc<RefCell<Inner>>);

/// What is needed to end it.
#[derive(Debug)]
pub(crate) struct End(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    socket: TcpStream,
    coming: Frames,
    going: Frames,
    tally: Tally,
    /// Set when it is over.
    flood: Option<Flood>,
    /// Rings when a block of headers has taken too long to arrive.
    block: Option<Pin<Box<Sleep>>>,
    /// Rings when nothing that is written is taken.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flood {
    /// Too many frames that ask for nothing.
    Frames,
    /// A block of headers that does not end.
    Headers,
}

impl Line {
    /// Watches a connection. A second handle ends it.
    pub(crate) fn new(socket: TcpStream) -> (Self, End) {
        let inner = Rc::new(RefCell::new(Inner {
            socket,
            coming: Frames::behind(PREFACE_BYTES),
            going: Frames::behind(0),
            tally: Tally::new(Instant::now()),
            flood: None,
            block: None,
            stalled: None,
        }));
        (Self(Rc::clone(&inner)), End(inner))
    }
}

impl End {
    /// Says goodbye to a peer that floods; to any other, whoever spoke HTTP/2 has said all.
    pub(crate) async fn end(self) {
        // Whoever spoke HTTP/2 here is gone, so that nobody else holds it.
        let Some(inner) = Rc::into_inner(self.0) else { return };
        let Inner { mut socket, going, flood, .. } = inner.into_inner();
        // In the midst of a frame the goodbye would be taken for a part of it.
        if flood.is_none() || !going.is_between() {
            return;
        }
        let last_word = async {
            socket.write_all(&goaway()).await?;
            socket.shutdown().await?;
            // What is not read when a socket closes makes it a reset, which overtakes the goodbye.
            let mut rest = [0; 4096];
            while tokio::io::AsyncReadExt::read(&mut socket, &mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        drop(timeout(FAREWELL, last_word).await);
    }
}

/// GOAWAY of stream 0 with `ENHANCE_YOUR_CALM`. The last stream that was looked at is not known
/// here; 0 would say that none was, so it is the highest: nothing is promised to be safe to repeat.
fn goaway() -> [u8; HEAD_BYTES + 8] {
    let mut frame = [0; HEAD_BYTES + 8];
    frame[2] = 8;
    frame[3] = 7;
    frame[9..13].copy_from_slice(&0x7FFF_FFFF_u32.to_be_bytes());
    frame[13..].copy_from_slice(&0xB_u32.to_be_bytes());
    frame
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        let before = buffer.filled().len();
        if Pin::new(&mut inner.socket).poll_read(cx, buffer)?.is_pending() {
            if !inner.coming.is_held_up() {
                inner.block = None;
                return Poll::Pending;
            }
            let timer = inner.block.get_or_insert_with(|| Box::pin(sleep(BLOCK_WITHIN)));
            if timer.as_mut().poll(cx).is_ready() {
                inner.flood = Some(Flood::Headers);
                return Poll::Ready(Err(calm()));
            }
            return Poll::Pending;
        }
        let Inner { coming, tally, flood, .. } = inner;
        coming.pass(buffer.filled().get(before..).unwrap_or_default(), |frame| {
            if let Some(why) = tally.came(frame, Instant::now) {
                flood.get_or_insert(why);
            }
        });
        if !coming.is_held_up() {
            inner.block = None;
        }
        match inner.flood {
            Some(_) => Poll::Ready(Err(calm())),
            None => Poll::Ready(Ok(())),
        }
    }
}

fn calm() -> io::Error {
    io::Error::other("the peer sends too many frames that ask for nothing")
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let inner = &mut *self.0.borrow_mut();
        let written = Pin::new(&mut inner.socket).poll_write(cx, bytes)?;
        let Poll::Ready(count) = written else { return inner.poll_stalled(cx) };
        inner.went(&[io::IoSlice::new(bytes)], count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let inner = &mut *self.0.borrow_mut();
        let written = Pin::new(&mut inner.socket).poll_write_vectored(cx, parts)?;
        let Poll::Ready(count) = written else { return inner.poll_stalled(cx) };
        inner.went(parts, count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        if inner.flood.is_some() {
            return Poll::Ready(Ok(())); // There is a word to be said still.
        }
        Pin::new(&mut inner.socket).poll_shutdown(cx)
    }
}

impl Inner {
    fn went(&mut self, parts: &[io::IoSlice<'_>], mut count: usize) {
        self.stalled = None;
        let Self { going, tally, .. } = self;
        for part in parts {
            let sent = part.get(..count.min(part.len())).unwrap_or_default();
            count -= sent.len();
            going.pass(sent, |frame| tally.went(frame));
        }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_WITHIN)));
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// The head of a frame, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    bytes: usize,
    kind: u8,
    flags: u8,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Finds the heads of frames in bytes that pass by in pieces.
#[derive(Debug)]
struct Frames {
    /// Bytes until the next head begins.
    skip: usize,
    head: [u8; HEAD_BYTES],
    /// How much of the next head has come.
    held: usize,
    /// Whether the frame whose bytes are skipped may take its time.
    patient: bool,
    /// Whether a block of headers has begun and not ended.
    in_block: bool,
}

impl Frames {
    fn behind(skip: usize) -> Self {
        Self { skip, head: [0; HEAD_BYTES], held: 0, patient: true, in_block: false }
    }

    /// Whether the last frame is whole.
    fn is_between(&self) -> bool {
        self.skip == 0 && self.held == 0
    }

    /// Whether something has begun that must not wait for long. DATA may come slowly; there are
    /// other bounds on it.
    fn is_held_up(&self) -> bool {
        self.in_block || self.held > 0 || (self.skip > 0 && !self.patient)
    }

    fn pass(&mut self, mut bytes: &[u8], mut found: impl FnMut(Frame)) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if bytes.is_empty() {
                return;
            }
            let (now, later) = bytes.split_at((HEAD_BYTES - self.held).min(bytes.len()));
            self.head[self.held..self.held + now.len()].copy_from_slice(now);
            self.held += now.len();
            bytes = later;
            if self.held < HEAD_BYTES {
                return;
            }
            let [a, b, c, kind, flags, ..] = self.head;
            let frame = Frame { bytes: u32::from_be_bytes([0, a, b, c]) as usize, kind, flags };
            self.held = 0;
            self.skip = frame.bytes;
            self.patient = kind == DATA;
            if matches!(kind, HEADERS | CONTINUATION) {
                self.in_block = flags & END_HEADERS == 0;
            }
            found(frame);
        }
    }
}

/// What has passed within a window.
#[derive(Debug)]
struct Tally {
    since: Instant,
    frames: u32,
    idle: u32,
    updates: u32,
    resets: u32,
    opened: u32,
    useful: u32,
    sent: u32,
    continuations: u32,
}

impl Tally {
    fn new(since: Instant) -> Self {
        Self {
            since,
            frames: 0,
            idle: 0,
            updates: 0,
            resets: 0,
            opened: 0,
            useful: 0,
            sent: 0,
            continuations: 0,
        }
    }

    /// Counts a frame that has come. The clock is read now and then, so that what was useful long
    /// ago excuses nothing, and once there is much to be said against the peer.
    fn came(&mut self, frame: Frame, now: impl Fn() -> Instant) -> Option<Flood> {
        self.frames += 1;
        match frame.kind {
            HEADERS => {
                self.continuations = 0;
                self.opened = self.opened.saturating_add(1);
                self.useful = self.useful.saturating_add(1);
            }
            CONTINUATION => {
                self.continuations += 1;
                if self.continuations > CONTINUATIONS {
                    return Some(Flood::Headers);
                }
            }
            DATA if frame.bytes > 0 || frame.flags & END_STREAM != 0 => {
                self.useful = self.useful.saturating_add(1);
            }
            WINDOW_UPDATE => self.updates = self.updates.saturating_add(1),
            RST_STREAM => self.resets = self.resets.saturating_add(1),
            _ => self.idle = self.idle.saturating_add(1),
        }
        let allowed =
            |floor: u32, each: u32, of: u32| floor.saturating_add(of.saturating_mul(each));
        let flood = self.idle > allowed(IDLE_FRAMES, IDLE_PER_USEFUL, self.useful)
            || self.updates > allowed(UPDATES, UPDATES_PER_FRAME, self.sent)
            || (self.resets > RESETS && self.resets > self.opened / 2);
        if !flood && self.frames < LOOK_EVERY {
            return None;
        }
        self.frames = 0;
        let now = now();
        if now.duration_since(self.since) < WINDOW {
            return flood.then_some(Flood::Frames);
        }
        *self = Self { continuations: self.continuations, ..Self::new(now) };
        None
    }

    /// Counts a frame that has gone.
    fn went(&mut self, frame: Frame) {
        if matches!(frame.kind, DATA | HEADERS) {
            self.sent = self.sent.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests;
