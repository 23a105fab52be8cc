//! Who is told of what goes wrong with a store.

use std::{fmt, sync::Arc};

/// Who is told. It is called from a store's own thread or task.
pub struct Tell<T>(Arc<dyn Fn(T) + Send + Sync>);

impl<T> Tell<T> {
    /// Calls this for each trouble.
    pub fn new(tell: impl Fn(T) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn tell(&self, trouble: T) {
        (self.0)(trouble);
    }
}

impl<T> Clone for Tell<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Tell<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Tell")
    }
}
