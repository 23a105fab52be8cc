//! The outbox as the rest of the program has it: there from the start, with a store once one is
//! open.

use std::sync::{Arc, OnceLock};

use schemas::Guarantee;

use crate::{Id, Letter, NotStored, Record, Store, Taken, outcomes::Outcomes};

/// The outbox. Shared by all who store events, deliver them or look at them.
#[derive(Debug, Default)]
pub struct Outbox {
    store: OnceLock<Arc<dyn Store>>,
    /// What became of events that somebody may ask for.
    pub outcomes: Arc<Outcomes>,
}

impl Outbox {
    /// Gives it its store. Only the first counts.
    pub fn open(&self, store: Arc<dyn Store>) {
        // Whoever opens it looks first.
        self.store.set(store).ok();
    }

    /// Its store, if it has one yet.
    #[must_use]
    pub fn store(&self) -> Option<&Arc<dyn Store>> {
        self.store.get()
    }

    /// What an event that was put is safe from.
    #[must_use]
    pub fn guarantee(&self) -> Guarantee {
        self.store().map_or(Guarantee::None, |store| store.guarantee())
    }

    /// When what is stored is synced, where that is another's to say.
    #[must_use]
    pub fn sync(&self) -> Option<Arc<str>> {
        self.store()?.sync()
    }

    /// Stores all of these or none, and returns once they are safe.
    ///
    /// # Errors
    /// [`NotStored`]; then nothing was stored, or nobody knows.
    pub async fn put(&self, records: Vec<Record>) -> Result<Vec<Taken>, NotStored> {
        match self.store() {
            Some(store) => store.put(records).await,
            None => Err(NotStored::Recovering),
        }
    }

    /// One record.
    ///
    /// # Errors
    /// [`NotStored`] if the store cannot be read now.
    pub async fn show(&self, id: Id) -> Result<Option<Letter>, NotStored> {
        match self.store() {
            Some(store) => store.show(id).await,
            None => Err(NotStored::Recovering),
        }
    }
}
