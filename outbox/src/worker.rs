//! Takes what is due out of a store, has it delivered and says what came of it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use schemas::Class;
use tokio::sync::Semaphore;

use crate::{
    Claim, Millis, NotStored, Record, Store, Then,
    delivery::{Delivery, Failure},
    outcomes::{Answer, Outcome, Outcomes},
    record::RecordHead,
};

/// How many records are delivered at once, of all targets together.
const AT_ONCE: usize = 1024;

/// How many records are claimed at a time.
const CLAIMS: usize = 64;

/// How the worker delivers, which it does not know itself.
pub trait Deliver: Send + Sync + 'static {
    /// By which rules a record is delivered now.
    ///
    /// # Errors
    /// Why it cannot be, as a code such as `target_gone`: it is parked.
    fn rules(&self, head: &RecordHead) -> Result<Rules, &'static str>;

    /// Sends a record once. With a token its answer is wanted.
    fn deliver<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<Answer, Failure>>;

    /// Says what became of a try, for logs and metrics.
    fn tell(&self, claim: &Claim, became: Became<'_>);
}

/// By which rules a record is delivered.
#[derive(Clone, Debug)]
pub struct Rules {
    /// When it is tried again, and when it is given up.
    pub delivery: Arc<Delivery>,
    /// Where a copy of a dead letter goes.
    pub dead_letter: Option<Arc<Elsewhere>>,
}

/// Where a copy of a dead letter goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The address as it is written.
    pub target: String,
    /// The function part.
    pub function: String,
    /// How it is delivered there.
    pub ack: schemas::Ack,
    /// In which form.
    pub format: schemas::Format,
}

/// What became of a try.
#[derive(Clone, Copy, Debug)]
pub enum Became<'a> {
    /// It was delivered.
    Delivered,
    /// It failed, and this becomes of it.
    Failed(&'a Failure, &'a Then),
    /// It was given up without a try: its time is up.
    TooOld,
    /// It waits for somebody, for this reason.
    Parked(&'static str),
    /// The copy of a dead letter could not be stored, so that the letter is tried again.
    NoCopy(&'a NotStored),
}

/// Delivers what is due until the store is stopped, and returns once nothing is under way.
pub async fn run(store: Arc<dyn Store>, deliver: Arc<dyn Deliver>, outcomes: Arc<Outcomes>) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(first) = Arc::clone(&room).acquire_owned().await else { break };
        let mut permits = vec![first];
        while permits.len() < CLAIMS
            && let Ok(more) = Arc::clone(&room).try_acquire_owned()
        {
            permits.push(more);
        }
        let claims = store.claim(permits.len()).await;
        if claims.is_empty() {
            break;
        }
        for (claim, permit) in claims.into_iter().zip(permits) {
            let (store, deliver) = (Arc::clone(&store), Arc::clone(&deliver));
            let outcomes = Arc::clone(&outcomes);
            tokio::spawn(async move {
                one(&*store, &*deliver, &outcomes, claim).await;
                drop(permit);
            });
        }
    }
    let all = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
    drop(room.acquire_many(all).await);
}

async fn one(store: &dyn Store, deliver: &dyn Deliver, outcomes: &Outcomes, claim: Claim) {
    let rules = match deliver.rules(&claim.record.head) {
        Ok(rules) => rules,
        Err(why) => {
            deliver.tell(&claim, Became::Parked(why));
            store.fail(claim, None, Then::Parked { why: why.into() }).await;
            return;
        }
    };
    if rules.delivery.is_over(claim.record.head.accepted, Millis::now()) {
        let then = rules.delivery.too_old();
        deliver.tell(&claim, Became::TooOld);
        end(store, deliver, outcomes, &rules, claim, None, then).await;
        return;
    }
    match deliver.deliver(&claim.record).await {
        // The gateway stops: whoever starts next finds the record as it was.
        Err(Failure { class: Class::Cancelled, .. }) => store.release(claim),
        Ok(answer) => {
            deliver.tell(&claim, Became::Delivered);
            if let Some(token) = &claim.record.head.token {
                outcomes.tell(token, Outcome::Delivered(Arc::new(answer)));
            }
            store.done(claim).await;
        }
        Err(failure) => {
            let now = Millis::now();
            let accepted = claim.record.head.accepted;
            let then = rules.delivery.then(&failure, accepted, claim.attempts, claim.trouble, now);
            deliver.tell(&claim, Became::Failed(&failure, &then));
            end(store, deliver, outcomes, &rules, claim, Some(failure), then).await;
        }
    }
}

/// Brings a try that has failed to its end: a dead letter is copied first, if its route says so,
/// so that there is no moment in which neither the letter nor its copy is to come.
async fn end(
    store: &dyn Store,
    deliver: &dyn Deliver,
    outcomes: &Outcomes,
    rules: &Rules,
    claim: Claim,
    failure: Option<Failure>,
    then: Then,
) {
    let attempt = failure.as_ref().and_then(|failure| failure.attempt(Millis::now()));
    if let Then::Dead { why, .. } = &then {
        let copy = rules.dead_letter.as_ref().filter(|to| to.target != claim.record.head.target);
        if let Some(to) = copy {
            let class = failure
                .as_ref()
                .map_or("timeout", |failure| failure.code.unwrap_or(failure.class.name()));
            let attempts = claim.attempts + u32::from(attempt.is_some());
            let words = failure.as_ref().map_or(&[][..], |failure| &failure.words);
            let copy = claim.record.letter_to(to, why, class, attempts, words);
            if let Err(error) = store.put(vec![copy]).await {
                deliver.tell(&claim, Became::NoCopy(&error));
                let at = Millis::now().plus(std::time::Duration::from_secs(5));
                store.fail(claim, attempt, Then::Again { at, hold: None }).await;
                return;
            }
        }
        if let Some(token) = &claim.record.head.token {
            outcomes.tell(token, Outcome::Dead { why: why.as_ref().into() });
        }
    }
    store.fail(claim, attempt, then).await;
}

#[cfg(test)]
mod tests;
