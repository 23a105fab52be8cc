//! Header maps that are used again: a request needs two, and their tables cost more to allocate
//! than to empty.

use std::cell::RefCell;

use http::HeaderMap;

/// Maps that a thread keeps.
const SPARES: usize = 64;
/// Larger maps are not kept: they would hold on to the memory of one odd request.
const CAPACITY_MAX: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty map.
#[must_use]
pub fn spare_map() -> HeaderMap {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| HeaderMap::with_capacity(12))
}

/// Keeps a map that nobody needs any more for the next head.
pub fn recycle(mut map: HeaderMap) {
    if map.capacity() == 0 || map.capacity() > CAPACITY_MAX {
        return;
    }
    map.clear();
    // At the end of a thread there is nobody to keep it for.
    SPARE
        .try_with(|spare| {
            if let Ok(mut spare) = spare.try_borrow_mut()
                && spare.len() < SPARES
            {
                spare.push(map);
            }
        })
        .ok();
}
