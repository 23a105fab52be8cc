//! How many connections there is room for. Each takes a file descriptor, and so does the connection
//! to the service behind it; a process that has none left can accept nobody and open nothing.

/// Descriptors for everything that is no caller's connection, nor the one behind it: listeners,
/// cores, files, the admin port, brokers.
const OWN: usize = 256;
/// Connections at most, however many descriptors there are.
const CONNECTIONS: usize = 100_000;
/// Connections at least, however few.
const FEWEST: usize = 16;

/// Raises the limit of open files as far as it goes, and says how many connections of callers fit
/// under it.
#[must_use]
pub(crate) fn connections() -> usize {
    (raised().saturating_sub(OWN) / 2).clamp(FEWEST, CONNECTIONS)
}

fn raised() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // Whether it can be raised is the system's business; what it is in the end counts.
    let wish = maximum.unwrap_or(1 << 20);
    if current.is_some_and(|current| current < wish) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wish), maximum }).ok();
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX)
}
