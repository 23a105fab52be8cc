//! What one core knows of the functions that a platform has, as it lists them.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use schemas::Fault;
use tokio::sync::Mutex;

/// How long a list is believed that has the function in it.
const BELIEVED_FOR: Duration = Duration::from_secs(30);
/// How long one is believed that has not: it may have been deployed just now.
const DOUBTED_AFTER: Duration = Duration::from_secs(1);
/// Spaces whose lists are kept.
const SPACES_MAX: usize = 64;

/// The lists, each of one space of names.
#[derive(Default)]
pub(crate) struct Known {
    lists: RefCell<HashMap<String, List>>,
    /// One asks, and all the others wait for what it is told.
    asking: Mutex<()>,
}

struct List {
    told: Instant,
    names: HashSet<String>,
}

impl Known {
    /// Whether the platform is known not to have this function. A platform that does not say has
    /// not said that.
    pub(crate) async fn lacks(
        &self,
        space: &str,
        name: &str,
        ask: impl Future<Output = Result<HashSet<String>, Fault>>,
    ) -> bool {
        if let Some(has) = self.told(space, name) {
            return !has;
        }
        let _asking = self.asking.lock().await;
        if let Some(has) = self.told(space, name) {
            return !has;
        }
        let Ok(names) = ask.await else { return false };
        let lacks = !names.contains(name);
        let mut lists = self.lists.borrow_mut();
        if lists.len() >= SPACES_MAX {
            lists.clear();
        }
        lists.insert(space.to_owned(), List { told: Instant::now(), names });
        lacks
    }

    /// Whether a list that can be believed has the function; `None` if there is no such list.
    fn told(&self, space: &str, name: &str) -> Option<bool> {
        let lists = self.lists.borrow();
        let list = lists.get(space)?;
        let has = list.names.contains(name);
        let believed = if has { BELIEVED_FOR } else { DOUBTED_AFTER };
        (list.told.elapsed() < believed).then_some(has)
    }
}

#[cfg(test)]
mod tests {
    use schemas::Class;

    use super::*;

    async fn told(names: &[&str]) -> Result<HashSet<String>, Fault> {
        Ok(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[tokio::test]
    async fn what_is_listed_is_not_asked_for_again_and_what_cannot_be_asked_is_not_lacking() {
        let known = Known::default();
        let fails = async || Err(Fault::new(Class::Timeout, "no"));
        assert!(!known.lacks("", "a", fails()).await);
        assert!(!known.lacks("", "a", told(&["a"])).await);
        assert!(!known.lacks("", "a", told(&[])).await, "the list is a moment old");
        assert!(known.lacks("", "b", told(&["a"])).await);
        assert!(known.lacks("other", "a", told(&["b"])).await, "each space has its own list");
    }
}
