//! One HTTP/2 connection to an endpoint, and the task that drives it: it sends pings while streams
//! are open, and ends the connection when nobody uses it.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Ping, PingPong,
    client::{Builder, Connection as Wire, SendRequest},
};
use tokio::time::{sleep, timeout};

use crate::client::Stream;

/// Streams that one connection may have open; fewer if the server says so.
pub(super) const STREAMS: u32 = 100;
/// Bytes of one answer that may come before they are read.
const STREAM_WINDOW: u32 = 64 << 10;
/// Room for all of them, so that slow readers never stop the others on their connection.
const CONNECTION_WINDOW: u32 = STREAMS * STREAM_WINDOW;
/// Bytes of a frame that is as small as a message of a few fields; many a server sends each message
/// in a frame of its own.
const SMALL_FRAME: usize = 16;
/// What small frames may take beside their bytes, for which h2 counts each as one of 256 bytes: room
/// for all windows full of them, for where it runs out h2 closes the connection with all that is on
/// it. It is kept by none but readers that are behind.
const SMALL_FRAMES: usize = CONNECTION_WINDOW as usize / SMALL_FRAME * 256;
/// Bytes of one request that wait to be sent.
const SEND_BYTES: usize = 256 << 10;
/// What is read of an answer's head, and of its trailers.
const HEAD_BYTES: u32 = 96 << 10;
/// Between two looks at a connection. In use it is sent a ping; at the second look that finds it
/// unused it is closed.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long a ping may stay unanswered.
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// The count of a connection that nobody may use any more.
const CLOSED: u32 = u32::MAX;

/// A connection. Dropping it lets what is under way finish, and no more.
#[derive(Debug)]
pub(super) struct Connection {
    requests: SendRequest<Bytes>,
    usage: Arc<Usage>,
}

/// How much a connection is used.
#[derive(Debug, Default)]
struct Usage {
    streams: AtomicU32,
    /// Whether it was used since the last look.
    used: AtomicBool,
    /// Whether its task has ended.
    gone: AtomicBool,
}

/// One stream's place on a connection, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot(Arc<Usage>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, AcqRel);
    }
}

/// What a connection says when it is asked for a stream.
pub(super) enum Room {
    /// There is one.
    Free(SendRequest<Bytes>, Slot),
    /// As many as it takes are open.
    Full,
    /// It has ended, or the server takes nothing new on it (GOAWAY).
    Gone,
}

impl Connection {
    /// Speaks HTTP/2 on a fresh connection. Returns once the server has answered a ping: a server
    /// of another protocol is found out before anything is sent to it.
    pub(super) async fn start(stream: Stream) -> Result<Self, h2::Error> {
        let (requests, mut wire) = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .data_frame_budget(SMALL_FRAMES)
            .max_header_list_size(HEAD_BYTES)
            .max_send_buffer_size(SEND_BYTES)
            .handshake::<_, Bytes>(stream)
            .await?;
        let mut pings = wire.ping_pong().expect("nobody else has asked for it");
        tokio::select! {
            ended = &mut wire => {
                ended?;
                return Err(h2::Reason::INTERNAL_ERROR.into());
            }
            pong = pings.ping(Ping::opaque()) => { pong?; }
        }
        let usage = Arc::<Usage>::default();
        drop(tokio::spawn(drive(wire, pings, Arc::clone(&usage))));
        Ok(Self { requests, usage })
    }

    /// Asks for a stream.
    pub(super) fn room(&self) -> Room {
        let mut requests = self.requests.clone();
        // A fresh handle waits for nothing; all that it says is whether the connection is alive.
        let ready = requests.poll_ready(&mut Context::from_waker(Waker::noop()));
        if self.usage.gone.load(Acquire) || matches!(ready, Poll::Ready(Err(_))) {
            return Room::Gone;
        }
        let server = u32::try_from(requests.current_max_send_streams()).unwrap_or(u32::MAX);
        let max = server.min(STREAMS);
        let take = |open: u32| (open < max).then(|| open + 1);
        match self.usage.streams.fetch_update(AcqRel, Acquire, take) {
            Ok(_) => {
                self.usage.used.store(true, Relaxed);
                Room::Free(requests, Slot(Arc::clone(&self.usage)))
            }
            Err(CLOSED) => Room::Gone,
            Err(_) => Room::Full,
        }
    }
}

async fn drive(mut wire: Wire<Stream, Bytes>, mut pings: PingPong, usage: Arc<Usage>) {
    loop {
        tokio::select! {
            // How it ended is told to each of its streams.
            _ended = &mut wire => break,
            () = sleep(LOOK_EVERY) => {}
        }
        let used = usage.used.swap(false, Relaxed);
        if usage.streams.load(Acquire) == 0 {
            if !used && usage.streams.compare_exchange(0, CLOSED, AcqRel, Acquire).is_ok() {
                break;
            }
            continue;
        }
        tokio::select! {
            _ended = &mut wire => break,
            pong = timeout(PONG_WITHIN, pings.ping(Ping::opaque())) => {
                if !matches!(pong, Ok(Ok(_))) {
                    break;
                }
            }
        }
    }
    usage.gone.store(true, std::sync::atomic::Ordering::Release);
}
