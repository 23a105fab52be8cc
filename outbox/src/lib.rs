//! Events that were accepted and must not be lost: where they are kept, when and how they are
//! delivered, and what becomes of those that cannot be.
//!
//! Start with [`Record`] (what is kept of an event) and [`Store`] (who keeps it). A store knows
//! when each record is due and to whom; the worker takes those that are, has them delivered, and
//! says what came of it. Delivery itself is injected: nothing here knows a route or a socket.

pub mod config;
pub mod delivery;
pub mod disk;
pub mod embedded;
pub(crate) mod entry;
pub mod handle;
pub mod jetstream;
pub(crate) mod log;
pub mod memory;
pub mod outcomes;
pub mod record;
pub mod schedule;
pub mod store;
pub mod tell;
pub mod worker;

pub use handle::Outbox;
pub use record::Record;
pub use store::{
    Attempt, Claim, Filter, Held, Holds, Id, Letter, Millis, NotStored, Page, State, Store, Taken,
    Then,
};
