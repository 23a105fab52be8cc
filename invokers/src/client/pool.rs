//! The idle connections of one core to one endpoint, the last used first.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::Context,
    time::Duration,
};

use super::{exchange::Connection, stream::Stream};

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
        reason = "the box moves between the pool, an exchange and a body; made once, for all its requests"
    )]
    idle: Vec<Box<Connection>>,
    /// Counts the sweeps; it is all the clock that idling needs.
    sweeps: u32,
    sweeping: bool,
}

impl Pool {
    /// Takes out the connection that was used last. Those that are met and are no longer open, or
    /// say something that nobody asked for, are dropped.
    pub(super) fn take(&self, cx: &mut Context<'_>) -> Option<Box<Connection>> {
        let idle = &mut self.lock().idle;
        loop {
            let mut connection = idle.pop()?;
            if connection.is_idle(cx) {
                return Some(connection);
            }
        }
    }

    /// Makes a fresh connection one of the pool's. It comes in when its first body has ended.
    pub(super) fn adopt(pool: &Arc<Self>, stream: Stream) -> Box<Connection> {
        let mut shelf = pool.lock();
        if !mem::replace(&mut shelf.sweeping, true) {
            tokio::spawn(sweep(Arc::downgrade(pool)));
        }
        Box::new(Connection::new(stream, Arc::downgrade(pool), shelf.sweeps))
    }

    /// Takes a connection back.
    pub(super) fn put(&self, mut connection: Box<Connection>) {
        let mut shelf = self.lock();
        if shelf.idle.len() < IDLE_MAX {
            connection.used = shelf.sweeps;
            shelf.idle.push(connection);
        }
    }

    /// A panic while the lock was held left the list as good as it was.
    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        shelf.idle.retain_mut(|connection| connection.used == now && connection.is_idle_now());
        shelf.sweeps = now.wrapping_add(1);
        // Each connection knows its pool, and so does this task.
        if Arc::weak_count(&pool) == 1 {
            shelf.sweeping = false;
            return;
        }
    }
}
