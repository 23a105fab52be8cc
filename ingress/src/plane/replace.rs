//! Another table for a running plane: its new listeners are bound before anything changes, then
//! every core follows in its own time, and what is under way ends with what it began with.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, PoisonError},
    time::Duration,
};

use schemas::Name;
use tokio::sync::oneshot;

use super::{
    Live, Plane,
    core::{Follow, Listen, Order, Socket},
    gate::ListenerId,
    listen,
};
use crate::{Listener, Table};

/// How long a core may take to have room for an order, and to follow it. Cores answer within
/// milliseconds; one that does not is stuck, and then it is better to say so than to wait.
const WITHIN: Duration = Duration::from_secs(10);

/// Why a plane goes on with the table that it had.
#[derive(Debug, thiserror::Error)]
pub enum NotReplaced {
    /// An address cannot be had.
    #[error("cannot listen on {}: {cause}", listener.address)]
    Listen {
        /// The listener.
        listener: Listener,
        /// Why not.
        cause: io::Error,
    },
    /// A core has had no room for an order for ten seconds.
    #[error("a core of the gateway does not answer")]
    Stuck,
    /// The plane drains.
    #[error("the gateway is stopping")]
    Stopping,
}

/// A listener that is bound.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    /// Its number among all that the process has had.
    number: u64,
    /// What was written.
    written: Listener,
    /// Where it is: a port 0 is the real port here.
    address: SocketAddr,
}

/// The listeners that a table asks for, before any core knows of them.
pub(super) struct Plan {
    pub(super) bound: Vec<Bound>,
    /// What each core is told.
    pub(super) cores: Vec<Vec<Listen>>,
}

impl Bound {
    /// Its name, and where it is.
    pub(super) fn reached(&self) -> (Name, SocketAddr) {
        (self.written.name.clone(), self.address)
    }
}

impl Plan {
    /// Finds each listener among those that are bound, or binds it. `number` is the next that a
    /// listener has had never.
    pub(super) fn new(
        wanted: &[Listener],
        bound: &[Bound],
        cores: usize,
        number: &mut u64,
    ) -> Result<Self, NotReplaced> {
        let mut plan = Self { bound: Vec::new(), cores: (0..cores).map(|_| Vec::new()).collect() };
        for written in wanted {
            // Several may ask for any free port: these are told apart by their names.
            let same = bound.iter().find(|one| {
                one.written.address == written.address
                    && (written.address.port() != 0 || one.written.name == written.name)
            });
            if let Some(same) = same.filter(|same| same.written.name == written.name) {
                plan.add(same.clone(), || Some(Socket::Kept));
                continue;
            }
            let fresh = *number;
            *number += 1;
            let one = |address| Bound { number: fresh, written: written.clone(), address };
            if let Some(same) = same {
                plan.add(one(same.address), || Some(Socket::Of(same.number)));
                continue;
            }
            let refused = |cause| NotReplaced::Listen { listener: written.clone(), cause };
            let sockets = listen::bind(written.address, cores).map_err(refused)?;
            let first = sockets.first().map_or(Ok(written.address), |first| first.local_addr());
            let mut sockets = sockets.into_iter().map(Socket::New);
            plan.add(one(first.map_err(refused)?), || sockets.next());
        }
        Ok(plan)
    }

    fn add(&mut self, bound: Bound, mut socket: impl FnMut() -> Option<Socket>) {
        let label: Arc<str> = Arc::from(bound.written.name.as_str());
        for core in &mut self.cores {
            // Where the kernel does not spread connections one core has the only socket.
            let Some(socket) = socket() else { break };
            let listener = ListenerId { number: bound.number, label: Arc::clone(&label) };
            core.push(Listen { listener, socket });
        }
        self.bound.push(bound);
    }
}

impl Plane {
    /// Serves from another table. Requests under way end with the one that they began with, and
    /// upstreams that stay the same keep their connections. Once this returns, every request that
    /// arrives is served from the new table.
    ///
    /// # Errors
    /// If an address cannot be bound, a core does not answer, or the plane drains. Then nothing has
    /// changed.
    pub async fn replace(&self, table: Arc<Table>) -> Result<(), NotReplaced> {
        let mut number = self.replacing.lock().await;
        if self.draining.borrow().is_some() {
            return Err(NotReplaced::Stopping);
        }
        let bound = self.live(|live| live.bound.clone());
        let plan = Plan::new(&table.listeners, &bound, self.cores.orders.len(), &mut number)?;
        // Every core promises to take the order before any is given it.
        let mut places = Vec::with_capacity(self.cores.orders.len());
        for orders in &self.cores.orders {
            let place = tokio::time::timeout(WITHIN, orders.reserve());
            let place = place.await.map_err(|_| NotReplaced::Stuck)?;
            places.push(place.map_err(|_| NotReplaced::Stopping)?);
        }
        let series = self.book.lock().unwrap_or_else(PoisonError::into_inner).enter(&table);
        let series = Arc::new(series);
        let mut followed = Vec::with_capacity(places.len());
        for (place, listeners) in places.into_iter().zip(plan.cores) {
            let (done, told) = oneshot::channel();
            let (table, series) = (Arc::clone(&table), Arc::clone(&series));
            place.send(Order::Follow(Box::new(Follow { table, series, listeners, done })));
            followed.push(told);
        }
        let before = {
            let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *live, Live { table, bound: plan.bound })
        };
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).push(before.table);
        // The order is in every queue, so a core that is late follows all the same.
        let all = futures_util::future::join_all(followed);
        drop(tokio::time::timeout(WITHIN, all).await);
        self.sweep();
        Ok(())
    }

    /// Frees tables that no request uses any more, which a reload does for those before it. To be
    /// called now and then all the same: requests may outlast a reload, and a core that let go of the
    /// last use of a large table would stand still while it is freed.
    pub fn sweep(&self) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.retain(|table| Arc::strong_count(table) > 1);
    }
}
