//! Keeps one session up: connects with the first call, and again, with growing and jittered waits,
//! after each loss. While it is down callers are told so at once.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use schemas::{Class, Fault};
use tokio::{
    sync::{Mutex, watch},
    task::AbortHandle,
};

use super::{
    config::Target,
    refusal::{Refusal, Why},
    session::Session,
};
use crate::Tools;

/// The wait after the first failure; each further one doubles it.
const WAIT_FIRST: Duration = Duration::from_millis(100);

/// The bound of every wait.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The connection of a lane.
#[derive(Debug)]
pub(super) struct Link {
    state: watch::Receiver<State>,
    /// Whose turn it is to wait for the first session.
    turn: Mutex<()>,
    task: AbortHandle,
}

#[derive(Debug)]
enum State {
    /// For the first time: callers wait for the outcome.
    Connecting,
    Up(Arc<Session>),
    /// Lost or never had, and being made again.
    Down(Why),
}

impl Link {
    /// Starts to connect.
    pub(super) fn start(target: Arc<Target>, tools: Tools) -> Self {
        let (told, state) = watch::channel(State::Connecting);
        let task = tokio::spawn(keep(target, tools, told)).abort_handle();
        Self { state, turn: Mutex::new(()), task }
    }

    /// The session, if there is one. Waits only while the first is being made, one behind the
    /// other: all at once would be woken in any order, and the events of a batch would lose theirs.
    pub(super) async fn session(&self) -> Result<Arc<Session>, Fault> {
        if let Some(known) = self.state.borrow().session() {
            return known;
        }
        let _turn = self.turn.lock().await;
        let mut state = self.state.clone();
        loop {
            if let Some(known) = state.borrow_and_update().session() {
                return known;
            }
            if state.changed().await.is_err() {
                return Err(Fault::new(Class::Internal, "nobody connects to the NATS server"));
            }
        }
    }

    /// `connecting`, `up` or `down`.
    pub(super) fn name(&self) -> &'static str {
        match &*self.state.borrow() {
            State::Connecting => "connecting",
            State::Up(_) => "up",
            State::Down(_) => "down",
        }
    }
}

impl State {
    /// The session or why there is none; nothing while the first is being made.
    fn session(&self) -> Option<Result<Arc<Session>, Fault>> {
        match self {
            Self::Connecting => None,
            Self::Up(session) if session.is_over() => Some(Err(Refusal::Down.into())),
            Self::Up(session) => Some(Ok(Arc::clone(session))),
            Self::Down(why) => Some(Err(why.fault())),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(target: Arc<Target>, tools: Tools, told: watch::Sender<State>) {
    let random = RandomState::new();
    // Cores start at different servers of a cluster.
    let mut at = at_most(&random, 0, target.servers.len());
    let mut failures = 0;
    loop {
        match open_any(&target, &tools, &mut at).await {
            Ok(session) => {
                failures = 0;
                let session = Arc::new(session);
                told.send_replace(State::Up(Arc::clone(&session)));
                session.over().await;
                told.send_replace(State::Down(Why::new(
                    Class::Unavailable,
                    "the connection to the NATS server was lost, and it is being made again",
                )));
            }
            Err(why) => {
                told.send_replace(State::Down(why));
                failures += 1;
            }
        }
        tokio::time::sleep(wait(&random, failures)).await;
    }
}

/// Tries each server once, beginning behind the one that was tried last.
async fn open_any(target: &Arc<Target>, tools: &Tools, at: &mut usize) -> Result<Session, Why> {
    let mut last = Why::new(Class::Unavailable, "there is no NATS server");
    for _ in 0..target.servers.len() {
        *at = (*at + 1) % target.servers.len();
        match Session::open(target, tools, &target.servers[*at]).await {
            Ok(session) => return Ok(session),
            Err(why) => last = why,
        }
    }
    Err(last)
}

/// Half of the wait is certain, so that a server that ends every connection is not stormed; the
/// other half is by chance, so that not all come back at once.
fn wait(random: &RandomState, failures: u32) -> Duration {
    let most = WAIT_FIRST.saturating_mul(1 << failures.min(10)).min(WAIT_MAX);
    let half = usize::try_from(most.as_millis() / 2).unwrap_or(usize::MAX);
    let chance = at_most(random, failures, half);
    most / 2 + Duration::from_millis(u64::try_from(chance).unwrap_or(u64::MAX))
}

/// A number by chance below the bound.
fn at_most(random: &RandomState, salt: u32, bound: usize) -> usize {
    let mut hasher = random.build_hasher();
    hasher.write_u32(salt);
    let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
    usize::try_from(hasher.finish() % bound).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_stay_bounded_and_differ() {
        let waits: Vec<_> = (0..20).map(|n| wait(&RandomState::new(), n)).collect();
        assert!(waits[0] >= Duration::from_millis(50) && waits[0] <= Duration::from_millis(100));
        assert!(waits[3] >= Duration::from_millis(400));
        assert!(waits.iter().all(|wait| *wait <= WAIT_MAX));
        let different: std::collections::HashSet<_> =
            (0..20).map(|_| wait(&RandomState::new(), 6)).collect();
        assert!(different.len() > 1);
    }
}
