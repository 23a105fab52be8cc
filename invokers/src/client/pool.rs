//! The idle connections of one core to one endpoint, the last used first.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Wake, Waker},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
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
#[derive(Debug)]
pub(super) struct Pool {
    shelf: Mutex<Shelf>,
    bell: Arc<Bell>,
    /// The bell, as sockets know it.
    waker: Waker,
}

/// Rung by an idle connection on which something happens: its end, as a rule. Nobody reads an idle
/// connection, so without it an end would be found out late.
#[derive(Debug, Default)]
struct Bell {
    rung: AtomicBool,
    sweeper: Notify,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Relaxed);
        self.sweeper.notify_one();
    }
}

impl Default for Pool {
    fn default() -> Self {
        let bell = Arc::<Bell>::default();
        let waker = Waker::from(Arc::clone(&bell));
        Self { shelf: Mutex::default(), bell, waker }
    }
}

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
    /// Takes out the connection that was used last. Those that are no longer open, or say something
    /// that nobody asked for, are dropped when they are met.
    pub(super) fn take(&self) -> Option<Box<Connection>> {
        let idle = &mut self.lock().idle;
        loop {
            let mut connection = idle.pop()?;
            if !self.bell.rung.load(Relaxed) || connection.is_idle(&self.waker) {
                return Some(connection);
            }
        }
    }

    /// Makes a fresh connection one of the pool's. It comes in when its first body has ended.
    pub(super) fn adopt(pool: &Arc<Self>, stream: Stream) -> Box<Connection> {
        let mut shelf = pool.lock();
        if !mem::replace(&mut shelf.sweeping, true) {
            tokio::spawn(sweep(Arc::downgrade(pool), Arc::clone(&pool.bell)));
        }
        Box::new(Connection::new(stream, Arc::downgrade(pool), shelf.sweeps))
    }

    /// Takes a connection back.
    pub(super) fn put(&self, mut connection: Box<Connection>) {
        let mut shelf = self.lock();
        if shelf.idle.len() < IDLE_MAX && connection.is_idle(&self.waker) {
            connection.used = shelf.sweeps;
            shelf.idle.push(connection);
        }
    }

    /// A panic while the lock was held left the list as good as it was.
    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what has ended, as soon as it rings, and what has not been used for long. Ends with the
/// pool, or when no connection is left, idle or in use.
async fn sweep(pool: Weak<Pool>, bell: Arc<Bell>) {
    let mut next = Instant::now() + SWEEP;
    loop {
        let in_time = timeout_at(next, bell.sweeper.notified()).await.is_ok();
        let Some(pool) = pool.upgrade() else { return };
        bell.rung.store(false, Relaxed);
        let mut shelf = pool.lock();
        if in_time {
            shelf.idle.retain_mut(|connection| connection.is_idle(&pool.waker));
            continue;
        }
        next = Instant::now() + SWEEP;
        let now = shelf.sweeps;
        shelf.idle.retain(|connection| connection.used == now);
        shelf.sweeps = now.wrapping_add(1);
        // Each connection knows its pool, and so does this task.
        if Arc::weak_count(&pool) == 1 {
            shelf.sweeping = false;
            return;
        }
    }
}
