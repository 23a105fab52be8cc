//! The buckets of a limit: one for everybody, or one for each key, of which there are never more
//! than so many.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The map is cut in so many, so that cores seldom meet at one.
const SHARDS: usize = 16;
/// Keys that each part holds: with the map's spare room about 10 MiB for a limit that is full.
const KEYS_PER_SHARD: usize = 8192;
/// A part that is full of keys in use is not searched for others again before this time is over.
const SEARCH_EVERY: u64 = 50_000_000;

/// The buckets of one limit.
///
/// A bucket that is full again is as good as none, so it is forgotten when room is needed. Where
/// all are in use a key that is not among them gets no bucket of its own: it shares one with all
/// others that come too late. So a flood of made-up keys neither grows the memory nor opens the
/// gate: together those keys get what one of them would have got alone, for each part of the map.
#[derive(Debug)]
pub(super) enum Buckets {
    Everybody(AtomicU64),
    ByKey(Box<[Shard; SHARDS]>),
}

#[derive(Debug, Default)]
pub(super) struct Shard {
    map: RwLock<Map>,
    /// The bucket of those who come too late.
    crowd: AtomicU64,
    crowded: AtomicU64,
    /// When to search for forgettable keys next, at the earliest.
    search: AtomicU64,
}

type Map = HashMap<u128, AtomicU64, BuildHasherDefault<Low>>;

/// Keys are hashes with a secret already: their lower half will do.
#[derive(Default)]
pub(super) struct Low(u64);

impl Hasher for Low {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = u64::try_from(key & u128::from(u64::MAX)).unwrap_or(0);
    }
}

impl Buckets {
    pub(super) fn new(everybody: bool) -> Self {
        if everybody { Self::Everybody(AtomicU64::new(0)) } else { Self::ByKey(Box::default()) }
    }

    /// Does something with the bucket of this key. A bucket's word is a time; one that has passed
    /// says that it is full.
    pub(super) fn with<R>(&self, key: u128, now: u64, act: impl FnOnce(&AtomicU64) -> R) -> R {
        match self {
            Self::Everybody(bucket) => act(bucket),
            Self::ByKey(shards) => shard(shards, key).with(key, now, act),
        }
    }

    /// The word of this key's bucket; 0 if it has none.
    pub(super) fn look(&self, key: u128) -> u64 {
        match self {
            Self::Everybody(bucket) => bucket.load(Relaxed),
            Self::ByKey(shards) => {
                let shard = shard(shards, key);
                let map = shard.read();
                match map.get(&key) {
                    Some(bucket) => bucket.load(Relaxed),
                    None if map.len() < KEYS_PER_SHARD => 0,
                    None => shard.crowd.load(Relaxed),
                }
            }
        }
    }

    pub(super) fn sweep(&self, now: u64) {
        for shard in self.shards() {
            let mut map = shard.write();
            forget(&mut map, now);
            map.shrink_to_fit();
        }
    }

    /// Buckets that are not full.
    pub(super) fn count(&self, now: u64) -> usize {
        let in_use = |bucket: &&AtomicU64| bucket.load(Relaxed) > now;
        match self {
            Self::Everybody(bucket) => usize::from(in_use(&bucket)),
            Self::ByKey(shards) => {
                shards.iter().map(|shard| shard.read().values().filter(in_use).count()).sum()
            }
        }
    }

    /// Buckets that there can be.
    pub(super) fn most(&self) -> usize {
        match self {
            Self::Everybody(_) => 1,
            Self::ByKey(_) => SHARDS * KEYS_PER_SHARD,
        }
    }

    pub(super) fn crowded(&self) -> u64 {
        self.shards().iter().map(|shard| shard.crowded.load(Relaxed)).sum()
    }

    fn shards(&self) -> &[Shard] {
        match self {
            Self::Everybody(_) => &[],
            Self::ByKey(shards) => &shards[..],
        }
    }
}

fn shard(shards: &[Shard; SHARDS], key: u128) -> &Shard {
    let high = usize::try_from(key >> 120).unwrap_or(0);
    &shards[high % SHARDS]
}

impl Shard {
    fn with<R>(&self, key: u128, now: u64, act: impl FnOnce(&AtomicU64) -> R) -> R {
        // A key that is known is found under a lock that all share, and counted by an atomic.
        if let Some(bucket) = self.read().get(&key) {
            return act(bucket);
        }
        let mut map = self.write();
        if map.len() >= KEYS_PER_SHARD && now >= self.search.load(Relaxed) {
            self.search.store(now.saturating_add(SEARCH_EVERY), Relaxed);
            forget(&mut map, now);
        }
        if map.len() >= KEYS_PER_SHARD && !map.contains_key(&key) {
            drop(map);
            self.crowded.fetch_add(1, Relaxed);
            return act(&self.crowd);
        }
        act(map.entry(key).or_default())
    }

    fn read(&self) -> RwLockReadGuard<'_, Map> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Map> {
        self.map.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget(map: &mut Map, now: u64) {
    map.retain(|_, bucket| *bucket.get_mut() > now);
}
