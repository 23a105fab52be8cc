//! The idle connections of one core to one endpoint, the last used first.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use hyper::client::conn::http1::SendRequest;
use schemas::{Body, OnEnd};

/// How many idle connections are kept for each endpoint and core. More than that is a burst that
/// is over.
const IDLE_MAX: usize = 1024;

/// How often old connections are looked for. One is closed at the second look that finds it
/// unused, so after 30 to 60 seconds.
const SWEEP: Duration = Duration::from_secs(30);

/// The idle connections. Nearly always used by the core that owns it; the lock, which nobody
/// contends for then, is what lets a body end on another thread.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    #[expect(
        clippy::vec_box,
        reason = "the box of a connection is also its body's `OnEnd`: made once, for all its requests"
    )]
    idle: Vec<Box<Connection>>,
    /// Counts the sweeps; it is all the clock that idling needs.
    sweeps: u32,
    sweeping: bool,
}

/// A connection: the sending half; the task that drives it holds the other.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Body>,
    home: Weak<Pool>,
    /// The sweep after which it was last used.
    used: u32,
}

/// What the pool has.
#[derive(Debug)]
pub(super) enum Found {
    Ready(Box<Connection>),
    /// Only connections that are not ready: their last exchange is not quite over.
    Busy,
    Nothing,
}

impl Pool {
    /// Takes out the connection that was used last. Closed ones that it meets are dropped.
    pub(super) fn take(&self) -> Found {
        let idle = &mut self.lock().idle;
        let mut busy = false;
        for at in (0..idle.len()).rev() {
            let sender = &idle[at].sender;
            if sender.is_closed() {
                drop(idle.remove(at));
            } else if sender.is_ready() {
                return Found::Ready(idle.remove(at));
            } else {
                busy = true;
            }
        }
        if busy { Found::Busy } else { Found::Nothing }
    }

    /// Makes a fresh connection one of the pool's. It comes in when its first body has ended.
    pub(super) fn adopt(pool: &Arc<Self>, sender: SendRequest<Body>) -> Box<Connection> {
        let mut shelf = pool.lock();
        if !mem::replace(&mut shelf.sweeping, true) {
            tokio::spawn(sweep(Arc::downgrade(pool)));
        }
        Box::new(Connection { sender, home: Arc::downgrade(pool), used: shelf.sweeps })
    }

    fn put(&self, mut connection: Box<Connection>) {
        let mut shelf = self.lock();
        if shelf.idle.len() < IDLE_MAX && !connection.sender.is_closed() {
            connection.used = shelf.sweeps;
            shelf.idle.push(connection);
        }
    }

    /// A panic while the lock was held left the list as good as it was.
    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OnEnd for Connection {
    fn ended(self: Box<Self>) {
        // Without its pool, whose lane is gone, it is dropped, and so closed.
        if let Some(pool) = self.home.upgrade() {
            pool.put(self);
        }
    }
}

/// Closes what has not been used for long. Ends with the pool, or when no connection is left, idle
/// or in use.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut shelf = pool.lock();
        let now = shelf.sweeps;
        shelf.idle.retain(|connection| connection.used == now && !connection.sender.is_closed());
        shelf.sweeps = now.wrapping_add(1);
        // Each connection knows its pool, and so does this task.
        if Arc::weak_count(&pool) == 1 {
            shelf.sweeping = false;
            return;
        }
    }
}
