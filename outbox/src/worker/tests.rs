use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use schemas::{Ack, Body, Call, Class, Ran};

use super::*;
use crate::{Filter, Letter, State, delivery::Waits, memory::Memory};

type Script = Box<dyn Fn(&Record) -> Result<(), Failure> + Send + Sync>;

/// Delivers as its script says, and remembers what it was given.
struct Scripted {
    rules: Mutex<Option<Rules>>,
    script: Script,
    given: Mutex<Vec<String>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

impl Deliver for Scripted {
    fn rules(&self, _: &RecordHead) -> Result<Rules, &'static str> {
        self.rules.lock().unwrap().clone().ok_or("target_gone")
    }

    fn deliver<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            let now = self.under_way.fetch_add(1, Relaxed) + 1;
            self.most.fetch_max(now, Relaxed);
            tokio::task::yield_now().await;
            self.under_way.fetch_sub(1, Relaxed);
            let said = format!("{} {}", record.head.target, String::from_utf8_lossy(&record.data));
            self.given.lock().unwrap().push(said);
            (self.script)(record)?;
            Ok(Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: None })
        })
    }

    fn tell(&self, _: &Claim, _: Became<'_>) {}
}

fn rules() -> Rules {
    let waits = Waits::Backoff { base: Duration::from_millis(1), max: Duration::from_millis(4) };
    let delivery = Arc::new(Delivery { waits, ..Delivery::default() });
    Rules { delivery, dead_letter: None }
}

fn scripted(rules: Rules, script: Script) -> Arc<Scripted> {
    let (given, rules) = (Mutex::default(), Mutex::new(Some(rules)));
    let (under_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Arc::new(Scripted { rules, script, given, under_way, most })
}

fn record(target: &str, data: &str) -> Record {
    let call = Call::new("f", Body::empty(), Instant::now());
    Record::of(&call, Bytes::copy_from_slice(data.as_bytes()), "r", target, Ack::Replied)
}

fn failure(class: Class, ran: Ran) -> Failure {
    let (code, reason, retry_after) = (None, "it did not work".into(), None);
    Failure {
        class,
        code,
        ran,
        reason,
        retry_after,
        for_good: class == Class::BadRequest,
        words: Vec::new(),
    }
}

async fn until(store: &Memory, what: impl Fn(&[Letter]) -> bool) -> Vec<Letter> {
    for _ in 0..2000 {
        let filter = Filter::default();
        let letters = store.list(&filter, None, 10_000).await.unwrap().letters;
        if what(&letters) {
            return letters;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    unreachable!("it never came to be");
}

fn start(store: &Arc<Memory>, deliver: &Arc<Scripted>) -> tokio::task::JoinHandle<()> {
    let (store, deliver) = (Arc::clone(store), Arc::clone(deliver));
    tokio::spawn(run(store, deliver, Arc::default()))
}

#[tokio::test]
async fn what_is_put_is_delivered_and_a_stop_lets_what_is_under_way_end() {
    let store = Arc::new(Memory::default());
    let deliver = scripted(rules(), Box::new(|_| Ok(())));
    let running = start(&store, &deliver);
    let records = (0..100).map(|n| record("t", &n.to_string())).collect();
    store.put(records).await.unwrap();
    until(&store, <[Letter]>::is_empty).await;
    store.stop();
    running.await.unwrap();
    assert_eq!(deliver.given.lock().unwrap().len(), 100);
    assert!(deliver.most.load(Relaxed) > 1);
    store.put(vec![record("t", "later")]).await.unwrap();
    assert!(store.claim(1).await.is_empty());
}

#[tokio::test]
async fn a_dead_letter_has_every_attempt_and_goes_where_its_route_says() {
    let to = Elsewhere {
        target: "dlq".to_owned(),
        function: "q".to_owned(),
        ack: Ack::Published,
        format: schemas::Format::Binary,
    };
    let delivery = Delivery { max_attempts: Some(3), ..(*rules().delivery).clone() };
    let rules = Rules { delivery: Arc::new(delivery), dead_letter: Some(Arc::new(to)) };
    let script = |record: &Record| match &*record.head.target {
        "dlq" => Ok(()),
        _ => Err(failure(Class::FunctionFailed, Ran::Maybe)),
    };
    let deliver = scripted(rules, Box::new(script));
    let store = Arc::new(Memory::default());
    let running = start(&store, &deliver);
    store.put(vec![record("t", "x")]).await.unwrap();
    let dead = |letters: &[Letter]| letters.len() == 1 && letters[0].state == State::Dead;
    let letters = until(&store, dead).await;
    assert_eq!(letters[0].attempted, 3);
    assert!(letters[0].attempts.iter().all(|one| one.class == "function_failed"));
    assert!(letters[0].why.as_ref().unwrap().contains("max_attempts"));
    assert_eq!(*deliver.given.lock().unwrap(), ["t x", "t x", "t x", "dlq x"]);
    store.stop();
    running.await.unwrap();
}

#[tokio::test]
async fn what_is_refused_for_good_or_too_old_is_a_dead_letter_at_once() {
    let store = Arc::new(Memory::default());
    let script = |_: &Record| Err(failure(Class::BadRequest, Ran::No));
    let deliver = scripted(rules(), Box::new(script));
    let running = start(&store, &deliver);
    let mut old = record("t", "old");
    old.head.accepted = Millis(1);
    store.put(vec![record("t", "bad"), old]).await.unwrap();
    let dead =
        |letters: &[Letter]| letters.len() == 2 && letters.iter().all(|l| l.state == State::Dead);
    let letters = until(&store, dead).await;
    assert_eq!((letters[0].attempted, letters[1].attempted), (1, 0));
    assert!(letters[1].why.as_ref().unwrap().contains("max_age"));
    store.stop();
    running.await.unwrap();
}

#[tokio::test]
async fn what_has_no_target_any_more_is_parked_and_comes_back_with_it() {
    let store = Arc::new(Memory::default());
    let deliver = scripted(rules(), Box::new(|_| Ok(())));
    let known = deliver.rules.lock().unwrap().take();
    let running = start(&store, &deliver);
    store.put(vec![record("t", "x")]).await.unwrap();
    let parked = |letters: &[Letter]| letters.iter().all(|l| l.state == State::Parked);
    let letters = until(&store, parked).await;
    assert_eq!(letters[0].why.as_deref(), Some("target_gone"));
    *deliver.rules.lock().unwrap() = known;
    store.unpark("t");
    until(&store, <[Letter]>::is_empty).await;
    store.stop();
    running.await.unwrap();
}
