//! The credentials that calls are signed with: found when the first call needs them, one search for
//! all cores, found again ahead of their end, and at once when Lambda refuses them.
//!
//! The search reads files and asks services, which no core may wait for in its own thread. So each
//! upstream of this kind has a thread for it, from its first call on, and the calls wait for what it
//! tells. It ends with the upstream.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::identity::Identity;
use schemas::{Class, Fault, Reveal};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout, timeout_at},
};

use super::provider::{NoCredentials, Source};

/// How long one search may take.
const SEARCH: Duration = Duration::from_secs(30);
/// What has no end is looked for again so often: files and secrets change.
const AGAIN: Duration = Duration::from_secs(300);
/// How long before their end credentials are looked for again; a quarter of their life if that is
/// less.
const AHEAD: Duration = Duration::from_secs(300);
/// The least and the most between two searches that nobody asked for.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Credentials that were refused, and were then found again as they are, are not looked for again so
/// soon.
const CONFIRMED: Duration = Duration::from_secs(10);
/// A clock that is off by more than this is corrected. Lambda takes five minutes.
const SKEW: i64 = 60;

/// Credentials, ready to sign with.
pub(super) struct Keys {
    identity: Identity,
    credentials: Credentials,
    /// Set where they were looked for because they were refused, and found to be the same.
    confirmed: Option<Instant>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Keys(…)")
    }
}

impl Keys {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { identity: credentials.clone().into(), credentials, confirmed: None }
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    fn is_over(&self, now: SystemTime) -> bool {
        self.credentials.expiry().is_some_and(|end| end <= now)
    }

    fn same_as(&self, other: &Self) -> bool {
        let (one, other) = (&self.credentials, &other.credentials);
        one.access_key_id() == other.access_key_id()
            && one.secret_access_key() == other.secret_access_key()
            && one.session_token() == other.session_token()
    }
}

/// The time by a clock that is so many seconds ahead of this one.
pub(super) fn moved(skew: i64) -> SystemTime {
    let now = SystemTime::now();
    let by = Duration::from_secs(skew.unsigned_abs());
    let moved = if skew < 0 { now.checked_sub(by) } else { now.checked_add(by) };
    moved.unwrap_or(now)
}

/// The credentials of one upstream, for all cores.
#[derive(Debug)]
pub(super) struct Keyring {
    source: Source,
    search: OnceLock<Search>,
    /// Seconds that the platform's clock is ahead of this one.
    skew: AtomicI64,
}

/// The thread that searches, as calls see it.
#[derive(Debug)]
struct Search {
    found: watch::Receiver<Found>,
    /// Asks for another search. It ends with its last sender.
    ask: mpsc::Sender<Why>,
}

/// Why there is a search.
#[derive(Clone, Debug)]
enum Why {
    /// A call has no credentials.
    None,
    /// These were refused.
    Refused(Arc<Keys>),
    /// It is time.
    Time,
}

impl Why {
    /// Whether a search since has brought already what is asked for. Many calls ask at once.
    fn is_answered(&self, found: &Found) -> bool {
        let Some(keys) = &found.keys else { return false };
        match self {
            Self::None => !keys.is_over(SystemTime::now()),
            Self::Refused(refused) => !keys.same_as(refused),
            Self::Time => false,
        }
    }
}

/// What the last search came to.
#[derive(Clone, Debug, Default)]
struct Found {
    /// How many searches have ended.
    rounds: u64,
    /// Whether one is under way.
    searching: bool,
    keys: Option<Arc<Keys>>,
    /// Why the last one found nothing.
    failed: Option<Arc<NoCredentials>>,
}

impl Keyring {
    pub(super) fn new(source: Source) -> Self {
        Self { source, search: OnceLock::new(), skew: AtomicI64::new(0) }
    }

    /// Seconds that the platform's clock is ahead of this one, as far as it has said.
    pub(super) fn skew(&self) -> i64 {
        self.skew.load(Relaxed)
    }

    /// Takes the platform's word for the time. Tells whether that is another than a call was signed
    /// with.
    pub(super) fn correct(&self, theirs: SystemTime, used: i64) -> bool {
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or_default();
        let off = match theirs.duration_since(SystemTime::now()) {
            Ok(ahead) => seconds(ahead),
            Err(behind) => -seconds(behind.duration()),
        };
        let wrong = (off - used).abs() >= SKEW;
        if wrong {
            self.skew.store(off, Relaxed);
        }
        wrong
    }

    /// Credentials that are good now.
    ///
    /// # Errors
    /// If there are none, or none are found by the deadline: nothing was sent.
    pub(super) async fn current(
        &self,
        secrets: &Arc<dyn Reveal>,
        deadline: Instant,
    ) -> Result<Arc<Keys>, Fault> {
        let search = self.search(secrets);
        let now = moved(self.skew());
        let seen = {
            let found = search.found.borrow();
            if let Some(keys) = found.keys.as_ref().filter(|keys| !keys.is_over(now)) {
                return Ok(Arc::clone(keys));
            }
            found.rounds
        };
        let found = search.next(Why::None, seen, deadline).await?;
        match (found.keys.filter(|keys| !keys.is_over(now)), found.failed) {
            (Some(keys), _) => Ok(keys),
            (None, Some(why)) => {
                Err(none("the gateway has no credentials for the platform").because(why))
            }
            (None, None) => Err(none("the gateway's credentials for the platform are over")),
        }
    }

    /// Other credentials than those that were refused. `None` if there are no others.
    pub(super) async fn renewed(
        &self,
        refused: &Arc<Keys>,
        secrets: &Arc<dyn Reveal>,
        deadline: Instant,
    ) -> Option<Arc<Keys>> {
        let search = self.search(secrets);
        let seen = {
            let found = search.found.borrow();
            let keys = found.keys.as_ref()?;
            if !keys.same_as(refused) {
                return Some(Arc::clone(keys));
            }
            if keys.confirmed.is_some_and(|at| at.elapsed() < CONFIRMED) {
                return None;
            }
            // One that is under way may have looked before there were others.
            found.rounds + u64::from(found.searching)
        };
        let found = search.next(Why::Refused(Arc::clone(refused)), seen, deadline).await.ok()?;
        found.keys.filter(|keys| !keys.same_as(refused))
    }

    fn search(&self, secrets: &Arc<dyn Reveal>) -> &Search {
        self.search.get_or_init(|| {
            let (tell, found) = watch::channel(Found::default());
            let (ask, asked) = mpsc::channel(1);
            let (source, secrets) = (self.source.clone(), Arc::clone(secrets));
            let run = move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                match runtime {
                    Ok(runtime) => runtime.block_on(keep(&source, secrets.as_ref(), &tell, asked)),
                    Err(error) => note(&tell, Err(NoCredentials::Stopped(error)), Why::Time),
                }
            };
            // Without a thread there is no sender, and every call says that there are no credentials.
            drop(thread::Builder::new().name("aws-credentials".to_owned()).spawn(run));
            Search { found, ask }
        })
    }
}

impl Search {
    /// What the search after `seen` others comes to, or one before it that has brought what is asked
    /// for. Those who ask while one is under way share the next.
    async fn next(&self, why: Why, seen: u64, deadline: Instant) -> Result<Found, Fault> {
        // A queue that is full holds a question already, and its answer is this one's.
        self.ask.try_send(why.clone()).ok();
        let mut found = self.found.clone();
        let done = |found: &Found| found.rounds > seen || why.is_answered(found);
        let told = timeout_at(deadline.into(), found.wait_for(done)).await;
        match told {
            Ok(Ok(found)) => Ok(found.clone()),
            Ok(Err(_)) => Err(none("the search for the gateway's credentials has stopped")),
            Err(_) => Err(Fault::new(
                Class::Timeout,
                "the time for the call was up before the gateway had credentials for the platform",
            )),
        }
    }
}

/// Searches when somebody asks, and when it is time.
async fn keep(
    source: &Source,
    secrets: &dyn Reveal,
    tell: &watch::Sender<Found>,
    mut asked: mpsc::Receiver<Why>,
) {
    let mut wait = None;
    let mut failures = 0;
    loop {
        let why = match wait {
            None => asked.recv().await,
            Some(wait) => match timeout(wait, asked.recv()).await {
                Ok(asked) => asked,
                // Nobody asked; the time has come.
                Err(_) => Some(Why::Time),
            },
        };
        let Some(why) = why else { return };
        if why.is_answered(&tell.borrow()) {
            continue;
        }
        tell.send_modify(|told| told.searching = true);
        let found = match timeout(SEARCH, source.find(secrets)).await {
            Ok(found) => found.map(Keys::new),
            Err(_) => Err(NoCredentials::Slow),
        };
        failures = if found.is_ok() { 0 } else { failures + 1 };
        wait = Some(match &found {
            Ok(keys) => until_next(keys.credentials.expiry(), SystemTime::now()),
            Err(_) => PAUSE.0.saturating_mul(1 << failures.min(6)).min(PAUSE.1),
        });
        note(tell, found, why);
        if failures > 0 {
            // Who asks now shares the next search, so that a place that is down is not run over.
            sleep(PAUSE.0 / 10).await;
        }
    }
}

/// Tells what was found. What was found before stays until its end if now there is nothing.
fn note(tell: &watch::Sender<Found>, found: Result<Keys, NoCredentials>, why: Why) {
    tell.send_modify(|told| {
        told.rounds += 1;
        told.searching = false;
        match found {
            Ok(mut keys) => {
                let same = told.keys.as_ref().is_some_and(|before| before.same_as(&keys));
                if same && matches!(why, Why::Refused(_)) {
                    keys.confirmed = Some(Instant::now());
                }
                told.keys = Some(Arc::new(keys));
                told.failed = None;
            }
            Err(why) => told.failed = Some(Arc::new(why)),
        }
    });
}

/// How long credentials with this end are good to use.
fn until_next(end: Option<SystemTime>, now: SystemTime) -> Duration {
    let Some(end) = end else { return AGAIN };
    let life = end.duration_since(now).unwrap_or_default();
    life.saturating_sub(AHEAD.min(life / 4)).max(PAUSE.0)
}

fn none(detail: &'static str) -> Fault {
    Fault::new(Class::UpstreamAuth, detail).code("no_credentials")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(name: &str) -> Keys {
        Keys::new(Credentials::new(name, "hidden", Some("hidden".to_owned()), None, "test"))
    }

    #[test]
    fn credentials_are_looked_for_ahead_of_their_end() {
        let now = SystemTime::now();
        let next = |seconds| until_next(Some(now + Duration::from_secs(seconds)), now).as_secs();
        assert_eq!(next(3600), 3300, "five minutes ahead");
        assert_eq!(next(60), 45, "a quarter of a short life ahead");
        assert_eq!(next(0), 1);
        assert_eq!(until_next(None, now), AGAIN);
        assert_eq!(until_next(Some(now - Duration::from_secs(9)), now), PAUSE.0);
    }

    #[test]
    fn what_was_found_stays_while_nothing_is() {
        let (tell, found) = watch::channel(Found::default());
        note(&tell, Ok(keys("a")), Why::None);
        note(&tell, Err(NoCredentials::Slow), Why::Time);
        let found = found.borrow();
        assert_eq!(found.rounds, 2);
        assert!(found.keys.as_ref().is_some_and(|found| found.same_as(&keys("a"))));
        assert!(found.failed.is_some());
    }

    #[test]
    fn only_a_search_that_was_asked_for_confirms_what_is_there() {
        let (tell, found) = watch::channel(Found::default());
        let confirmed = || found.borrow().keys.as_ref().unwrap().confirmed.is_some();
        for (name, why, expected) in [
            ("a", Why::None, false),
            ("a", Why::Time, false),
            ("a", Why::Refused(Arc::new(keys("a"))), true),
            ("b", Why::Refused(Arc::new(keys("a"))), false),
        ] {
            let said = format!("{name} {why:?}");
            note(&tell, Ok(keys(name)), why);
            assert_eq!(confirmed(), expected, "{said}");
        }
    }

    #[test]
    fn a_clock_is_corrected_once_for_all_calls_that_were_signed_with_it() {
        let source = Source { region: "x-1".into(), keys: None, profile: None, role: None };
        let keyring = Keyring::new(source);
        let theirs = SystemTime::now() + Duration::from_secs(1200);
        assert!(keyring.correct(theirs, 0) && keyring.correct(theirs, 0));
        assert!((1199..=1200).contains(&keyring.skew()));
        assert!(!keyring.correct(theirs, keyring.skew()), "that was not it");
    }

    #[test]
    fn keys_never_print() {
        let shown = format!("{:?}", Found { keys: Some(Arc::new(keys("a"))), ..Found::default() });
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
