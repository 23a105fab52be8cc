//! What a store is told: how much it may take, for how long, and who hears of trouble.

use std::time::Duration;

use super::Trouble;
use crate::{config, log::segment::FIRST};

/// How long an event is remembered for deduplication where nothing else is said.
pub const DEDUPE: Duration = Duration::from_mins(10);

/// How many dead letters are kept at most, whatever they take. It bounds the memory that their
/// places take, at about 25 MiB.
pub const DEAD_MAX: usize = 500_000;

/// How large a segment is at most, in bytes.
const SEGMENT_MAX: u64 = 64 << 20;

/// What a store is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the log of pending events may take on the disk, in bytes; at least
    /// [`config::SIZE_MIN`]. A quarter of it is the reserve for marks and copies, so that a full store drains.
    pub max_size: u64,
    /// What one target may take of what events may take, in percent.
    pub per_target: u32,
    /// What dead letters may take on the disk, in bytes; at least [`config::SIZE_MIN`].
    /// Over it the oldest go.
    pub dead_max_size: u64,
    /// How long dead letters are kept.
    pub dead_keep: Duration,
    /// How long the identity of an event is remembered, so that it is stored once.
    pub dedupe: Duration,
    /// Who is told of what goes wrong.
    pub tell: Tell,
}

/// Who is told of what goes wrong with this store.
pub type Tell = crate::tell::Tell<Trouble>;

impl Settings {
    /// As it is configured.
    #[must_use]
    pub fn of(settings: &config::Settings, tell: Tell) -> Self {
        Self {
            max_size: settings.max_size,
            per_target: settings.per_target,
            dead_max_size: settings.dead_max_size,
            dead_keep: settings.dead_keep,
            dedupe: DEDUPE,
            tell,
        }
    }

    /// How large the segments of a log of this size are.
    pub(super) fn segment(max_size: u64) -> u32 {
        let whole = (max_size / 32).min(SEGMENT_MAX) / 4096 * 4096;
        u32::try_from(whole).unwrap_or(u32::MAX).max(FIRST * 4)
    }

    /// What records and their marks may take before no more records are taken, in bytes.
    pub(super) fn usable(&self) -> u64 {
        self.max_size / 4 * 3
    }

    pub(super) fn share(&self) -> u64 {
        self.usable() / 100 * u64::from(self.per_target.min(100))
    }
}
