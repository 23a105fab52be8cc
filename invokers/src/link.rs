//! Keeps one session up: connects with the first call, and again, with growing and jittered waits,
//! after each loss. While it is down callers are told so at once.

use std::{
    borrow::Cow,
    error::Error,
    fmt,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use schemas::{Class, Fault};
use tokio::{
    sync::{Mutex, watch},
    task::AbortHandle,
};

/// When it makes sense to come again after a connection was lost.
pub(crate) const AGAIN: Duration = Duration::from_secs(1);

/// The wait after the first failure; each further one doubles it.
const WAIT_FIRST: Duration = Duration::from_millis(100);

/// The bound of every wait.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// How sessions of a broker are made.
pub(crate) trait Broker: Send + Sync + 'static {
    /// A connection that is up, until it is over for good.
    type Session: Session;

    /// What callers are told that it is: `NATS server`.
    const NAME: &'static str;

    /// How many servers there are; never none.
    fn servers(&self) -> usize;

    /// The URL of one of them.
    fn at(&self, server: usize) -> String;

    /// Connects to one of them. Ends within the time that the upstream gives it.
    fn open(&self, server: usize) -> impl Future<Output = Result<Self::Session, Why>> + Send;
}

/// One connection, which is not made again by itself.
pub(crate) trait Session: Send + Sync + 'static {
    /// Whether the connection has ended.
    fn is_over(&self) -> bool;

    /// Returns when the connection has ended.
    fn over(&self) -> impl Future<Output = ()> + Send;
}

/// The connection of a lane.
#[derive(Debug)]
pub(crate) struct Link<B: Broker> {
    state: watch::Receiver<State<B>>,
    /// Whose turn it is to wait for the first session.
    turn: Mutex<()>,
    task: AbortHandle,
}

enum State<B: Broker> {
    /// For the first time: callers wait for the outcome.
    Connecting,
    Up(Arc<B::Session>),
    /// Lost or never had, and being made again.
    Down(Why),
}

/// Why there is no connection. Many callers are told the same.
#[derive(Clone, Debug)]
pub(crate) struct Why {
    class: Class,
    detail: Cow<'static, str>,
    cause: Option<Arc<str>>,
}

impl Why {
    pub(crate) fn new(class: Class, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { class, detail: detail.into(), cause: None }
    }

    /// Keeps what lies underneath, for the log.
    pub(crate) fn because(mut self, error: impl Error) -> Self {
        let mut said = error.to_string();
        let mut under = error.source();
        while let Some(cause) = under {
            said = format!("{said}: {cause}");
            under = cause.source();
        }
        self.cause = Some(said.into());
        self
    }

    /// As a fault: nothing has been sent.
    pub(crate) fn fault(&self) -> Fault {
        let mut fault = Fault::new(self.class, self.detail.clone());
        if self.class == Class::Unavailable {
            fault = fault.after(AGAIN);
        }
        if let Some(cause) = &self.cause {
            fault = fault.because(cause.to_string());
        }
        fault
    }
}

impl From<Fault> for Why {
    fn from(fault: Fault) -> Self {
        Self { class: fault.class, detail: fault.detail.clone(), cause: None }.because(fault)
    }
}

impl<B: Broker> Link<B> {
    /// Starts to connect.
    pub(crate) fn start(broker: B) -> Self {
        let (told, state) = watch::channel(State::Connecting);
        let task = tokio::spawn(keep(broker, told)).abort_handle();
        Self { state, turn: Mutex::new(()), task }
    }

    /// The session, if there is one. Waits only while the first is being made, one behind the
    /// other: all at once would be woken in any order, and the events of a batch would lose theirs.
    pub(crate) async fn session(&self) -> Result<Arc<B::Session>, Fault> {
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
                return Err(Fault::new(
                    Class::Internal,
                    format!("nobody connects to the {}", B::NAME),
                ));
            }
        }
    }

    /// `connecting`, `up` or `down`.
    pub(crate) fn name(&self) -> &'static str {
        match &*self.state.borrow() {
            State::Connecting => "connecting",
            State::Up(_) => "up",
            State::Down(_) => "down",
        }
    }
}

impl<B: Broker> fmt::Debug for State<B> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => out.write_str("Connecting"),
            Self::Up(_) => out.write_str("Up"),
            Self::Down(why) => out.debug_tuple("Down").field(why).finish(),
        }
    }
}

impl<B: Broker> State<B> {
    /// The session or why there is none; nothing while the first is being made.
    fn session(&self) -> Option<Result<Arc<B::Session>, Fault>> {
        match self {
            Self::Connecting => None,
            Self::Up(session) if session.is_over() => Some(Err(down(B::NAME))),
            Self::Up(session) => Some(Ok(Arc::clone(session))),
            Self::Down(why) => Some(Err(why.fault())),
        }
    }
}

impl<B: Broker> Drop for Link<B> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// There is no connection, and nothing was handed to one.
pub(crate) fn down(name: &str) -> Fault {
    Fault::new(Class::Unavailable, format!("the connection to the {name} is down")).after(AGAIN)
}

async fn keep<B: Broker>(broker: B, told: watch::Sender<State<B>>) {
    let random = RandomState::new();
    // Cores start at different servers of a cluster.
    let mut at = at_most(&random, 0, broker.servers());
    let mut failures = 0;
    loop {
        match open_any(&broker, &mut at).await {
            Ok(session) => {
                failures = 0;
                let session = Arc::new(session);
                told.send_replace(State::Up(Arc::clone(&session)));
                session.over().await;
                told.send_replace(State::Down(Why::new(
                    Class::Unavailable,
                    format!(
                        "the connection to the {} was lost, and it is being made again",
                        B::NAME
                    ),
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
async fn open_any<B: Broker>(broker: &B, at: &mut usize) -> Result<B::Session, Why> {
    let mut last = Why::new(Class::Unavailable, format!("there is no {}", B::NAME));
    for _ in 0..broker.servers() {
        *at = (*at + 1) % broker.servers();
        match broker.open(*at).await {
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
