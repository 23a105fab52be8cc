//! What goes wrong in a store that a person wants to know.

use std::sync::Arc;

use crate::Id;

/// Something went wrong that a person wants to know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// Bytes that were safe once are not what was written. What else the file has is not lost.
    #[error(
        "{file} is damaged: {bytes} bytes at {from}{}",
        record.map(|id| format!(", which were record {id}")).unwrap_or_default()
    )]
    Damaged {
        /// The file in the store's folder.
        file: String,
        /// Where.
        from: u32,
        /// How much.
        bytes: u32,
        /// The record that these bytes were, if that can still be read.
        record: Option<Id>,
    },
    /// A file of the store does not say what it is.
    #[error("{file} is damaged: it does not say what it is, and is left as it is")]
    Unreadable {
        /// The file in the store's folder.
        file: String,
    },
    /// The last write before a crash was cut short. It had not been confirmed to anybody.
    #[error("{file} ended in the middle of a write: {bytes} bytes at {from} are cut off")]
    Torn {
        /// The file in the store's folder.
        file: String,
        /// Where.
        from: u32,
        /// How much.
        bytes: u32,
    },
    /// The disk has no room. Events are refused until it has.
    #[error("the disk is full: no event is stored until it has room")]
    DiskFull,
    /// The disk has room again.
    #[error("the disk has room again")]
    DiskHasRoom,
    /// Dead letters went because there were too many or they were too old.
    #[error("{0} dead letters went because there were too many or they were too old")]
    DeadLost(u64),
    /// A record cannot be read now. It is tried again.
    #[error("record {0} cannot be read: {1}")]
    Unread(Id, Arc<str>),
    /// Nothing more is stored or delivered until the program starts again.
    #[error("the store stops: {0}")]
    Broken(Arc<str>),
}

impl Trouble {
    /// Something that was stored may be lost.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Unreadable { .. })
    }
}
