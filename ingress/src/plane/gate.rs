//! What a listener of a core is called, and whether it still takes requests.

use std::{cell::Cell, rc::Rc, sync::Arc};

use tokio::sync::Notify;

/// A listener by its place among all that the process has ever had, and its name.
#[derive(Clone, Debug)]
pub(crate) struct ListenerId {
    /// Never given twice, so that a listener of the same name that comes later is another one.
    pub(crate) number: u64,
    /// The name that routes know it by.
    pub(crate) label: Arc<str>,
}

/// The way in through one listener of a core. It is open until the listener is taken away or the
/// gateway drains; who came in before may finish.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Which listener it is.
    pub(crate) listener: ListenerId,
    closed: Cell<bool>,
    told: Notify,
}

impl Gate {
    /// A way in; `open` says whether another request may come through.
    pub(crate) fn new(listener: ListenerId, open: bool) -> Rc<Self> {
        Rc::new(Self { listener, closed: Cell::new(!open), told: Notify::new() })
    }

    /// Says to everybody who came in here that the request under way is the last.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.told.notify_waiters();
    }

    /// Whether it is closed.
    pub(crate) fn drains(&self) -> bool {
        self.closed.get()
    }

    /// Ends when it closes; [`Gate::drains`] says so before that.
    pub(crate) async fn drained(&self) {
        let told = self.told.notified();
        if !self.drains() {
            told.await;
        }
    }
}
