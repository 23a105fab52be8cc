use std::time::Instant;

use ::outbox::{Attempt, Record, Then, memory::Memory};
use bytes::Bytes;
use http::{HeaderValue, Method};
use schemas::{Ack, Attributes, Body, Call, Class, Context, Mode, Ran};
use serde_json::{Value, json};

use super::{
    super::tests::{Fake, ask},
    *,
};

fn record(target: &str, id: &str, kind: &str) -> Record {
    let mut call = Call::new("", Body::empty(), Instant::now());
    call.head.uri = "/in?a=1&api_key=geheim".parse().unwrap();
    for (name, value) in
        [("x-tenant", "t1"), ("authorization", "geheim"), ("x-shared-secret", "geheim")]
    {
        call.head.headers.insert(name, HeaderValue::from_static(value));
    }
    let event = Attributes {
        id: id.to_owned(),
        source: "/s".to_owned(),
        kind: kind.to_owned(),
        ..Attributes::default()
    };
    call.event.context = Context::Event(Box::new(event), Mode::Binary);
    let mut record =
        Record::of(&call, Bytes::from(format!("data {id}")), "in", target, Ack::Replied);
    record.head.token = Some("geheim".to_owned());
    record
}

async fn put(store: &dyn Store, record: Record) -> u64 {
    store.put(vec![record]).await.unwrap()[0].id.0
}

/// Gives up whatever is due.
async fn give_up(store: &dyn Store, count: usize, park: bool) {
    for claim in store.claim(count).await {
        let attempt = Attempt::now(Class::FunctionFailed, Ran::Maybe, "the target answered 400");
        let then = Then::Dead { why: "the target refused it for good".into(), park };
        store.fail(claim, Some(attempt), then).await;
    }
}

async fn json(live: &Arc<Fake>, method: Method, path: &str, body: Value) -> (u16, Value) {
    let (status, said) = ask(live, method, path, &body.to_string()).await;
    (status, serde_json::from_str(&said).unwrap())
}

async fn get(live: &Arc<Fake>, path: &str) -> (u16, Value) {
    json(live, Method::GET, path, Value::Null).await
}

async fn post(live: &Arc<Fake>, path: &str, body: Value) -> (u16, Value) {
    json(live, Method::POST, path, body).await
}

fn numbers(listed: &Value) -> Vec<u64> {
    let records = listed["records"].as_array().unwrap();
    records.iter().map(|one| one["number"].as_u64().unwrap()).collect()
}

/// Five of which 0 and 1 are dead letters, 2 is being delivered and 3 and 4 wait.
async fn five() -> (Arc<dyn Store>, Arc<Fake>) {
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    put(&*store, record("web", "a", "com.acme.paid")).await;
    put(&*store, record("web", "b", "com.acme.sent")).await;
    give_up(&*store, 2, false).await;
    put(&*store, record("bus/x", "c", "com.acme.paid")).await;
    std::mem::forget(store.claim(1).await);
    put(&*store, record("bus/x", "d", "org.other")).await;
    put(&*store, record("bus/y", "e", "org.other")).await;
    let live = Fake::storing(Arc::clone(&store));
    (store, live)
}

#[tokio::test]
async fn the_sums_are_told_by_target() {
    let (_, live) = five().await;
    let (status, sums) = get(&live, "/api/v1/outbox").await;
    assert_eq!((status, &sums["open"], &sums["dead"]), (200, &json!(true), &json!(2)));
    let targets = sums["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 2, "{sums}");
    assert_eq!((&targets[0]["target"], &targets[0]["pending"]), (&json!("bus/x"), &json!(2)));
    assert_eq!(targets[0]["delivering"], 1);
    assert!(targets[0]["oldest"].as_str().unwrap().ends_with('Z'), "{sums}");
}

#[tokio::test]
async fn a_gateway_without_an_outbox_says_so_and_its_page_is_not_troubled() {
    let live = Fake::new(true, None);
    let (status, sums) = get(&live, "/api/v1/outbox").await;
    assert_eq!((status, &sums["open"]), (200, &json!(false)));
    assert_eq!(get(&live, "/api/v1/outbox/dead").await, (200, json!([])));
    let replay = json!({"to": "web"});
    for (status, said) in [
        get(&live, "/api/v1/outbox/records").await,
        get(&live, "/api/v1/outbox/records/1").await,
        json(&live, Method::DELETE, "/api/v1/outbox/records/1", Value::Null).await,
        post(&live, "/api/v1/outbox/drop", json!({"state": "dead"})).await,
        post(&live, "/api/v1/outbox/replay", replay).await,
    ] {
        assert_eq!((status, &said["code"]), (404, &json!("no_outbox")));
        assert!(said["detail"].as_str().unwrap().contains("ack: stored"), "{said}");
    }
}

#[tokio::test]
async fn records_are_listed_by_each_filter() {
    let (_, live) = five().await;
    for (query, expected) in [
        ("", &[0, 1, 2, 3, 4][..]),
        ("?state=dead", &[0, 1]),
        ("?state=delivering", &[2]),
        ("?state=pending", &[3, 4]),
        ("?target=bus/x", &[2, 3]),
        ("?route=in&target=web", &[0, 1]),
        ("?route=out", &[]),
        ("?type=com.acme.paid", &[0, 2]),
        ("?type=com.acme.*", &[0, 1, 2]),
        ("?event_id=d", &[3]),
        ("?since=1h", &[0, 1, 2, 3, 4]),
        ("?until=1h", &[]),
        ("?since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z", &[]),
        ("?where=type%20LIKE%20'%25.paid'%20AND%20id%20%3C%3E%20'a'", &[2]),
        ("?after=1&up_to=3", &[2, 3]),
    ] {
        let (status, listed) = get(&live, &format!("/api/v1/outbox/records{query}")).await;
        assert_eq!((status, &*numbers(&listed)), (200, expected), "{query}");
        assert_eq!(listed["next"], Value::Null, "{query}");
    }
    for (query, part) in [
        ("?stat=dead", "unknown field"),
        ("?state=lost", "unknown variant"),
        ("?since=soon", "such as 1h"),
        ("?limit=0", "1 to 1000"),
        ("?where=type%20%3D", "where: "),
    ] {
        let (status, said) = get(&live, &format!("/api/v1/outbox/records{query}")).await;
        let detail = said["detail"].as_str().unwrap();
        assert!(status == 400 && detail.contains(part), "{query}: {detail}");
    }
}

#[tokio::test]
async fn a_list_is_paged_with_nothing_twice_and_nothing_left_out() {
    let (_, live) = five().await;
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let (_, listed) = get(&live, &format!("/api/v1/outbox/records?limit=2{after}")).await;
        assert!(numbers(&listed).len() <= 2);
        all.extend(numbers(&listed));
        let Some(next) = listed["next"].as_u64() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(all, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_record_is_shown_whole_and_without_credentials() {
    let (_, live) = five().await;
    let (status, said) = get(&live, "/api/v1/outbox/records/0").await;
    assert_eq!((status, &said["state"], &said["attempts"]), (200, &json!("dead"), &json!(1)));
    assert_eq!(said["event"]["id"], "a");
    assert_eq!((&said["data"], &said["bytes"]), (&json!("data a"), &json!(6)));
    assert_eq!(said["why"], "the target refused it for good");
    let tried = &said["tries"][0];
    assert_eq!((&tried["class"], &tried["ran"]), (&json!("function_failed"), &json!("maybe")));
    assert_eq!(tried["reason"], "the target answered 400");
    assert!(said["headers"].as_array().unwrap().contains(&json!(["x-tenant", "t1"])), "{said}");
    assert_eq!(said["path"], "/in?a=1&api_key=(hidden)");
    assert!(!said.to_string().contains("geheim"), "{said}");
    let (_, listed) = get(&live, "/api/v1/outbox/records").await;
    assert!(!listed.to_string().contains("geheim"), "{listed}");
    for (path, status) in [("9", 404), ("x", 400), ("-1", 400)] {
        assert_eq!(get(&live, &format!("/api/v1/outbox/records/{path}")).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn the_newest_dead_letters_come_first_and_replayed_ones_not_at_all() {
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    for n in 0..30 {
        put(&*store, record("web", &n.to_string(), "t")).await;
    }
    give_up(&*store, 30, false).await;
    store.replayed(Id(28)).await.unwrap();
    let (_, said) = get(&Fake::storing(store), "/api/v1/outbox/dead").await;
    let newest: Vec<u64> =
        said.as_array().unwrap().iter().map(|one| one["number"].as_u64().unwrap()).collect();
    assert_eq!((newest.len(), &newest[..3]), (20, &[29, 27, 26][..]));
}

#[tokio::test]
async fn one_record_is_dropped_but_not_while_it_is_delivered() {
    let (store, live) = five().await;
    let delete = async |number: u64| {
        let path = format!("/api/v1/outbox/records/{number}");
        json(&live, Method::DELETE, &path, Value::Null).await
    };
    let (status, said) = delete(0).await;
    assert_eq!((status, &said["event"]["id"]), (200, &json!("a")));
    let (status, said) = delete(2).await;
    assert_eq!((status, &said["code"]), (409, &json!("being_delivered")));
    assert_eq!(delete(0).await.0, 404);
    assert!(store.show(Id(0)).await.unwrap().is_none());
    assert!(store.show(Id(2)).await.unwrap().is_some());
}

#[tokio::test]
async fn many_are_dropped_by_a_filter_and_those_under_way_stay() {
    let (store, live) = five().await;
    for all in [json!({}), json!({"after": 0, "limit": 5, "up_to": 4})] {
        let (status, said) = post(&live, "/api/v1/outbox/drop", all).await;
        assert_eq!(status, 400);
        assert!(said["detail"].as_str().unwrap().contains("say which"), "{said}");
    }
    let which = json!({"target": "bus/x"});
    let counted = post(&live, "/api/v1/outbox/count", which.clone()).await;
    assert_eq!(counted, (200, json!({"count": 2, "bytes": 12, "last": 3, "next": null})));
    let dropped = post(&live, "/api/v1/outbox/drop", which).await;
    assert_eq!(dropped, (200, json!({"dropped": 1, "left": 1, "next": null})));
    let (_, listed) = get(&live, "/api/v1/outbox/records").await;
    assert_eq!(numbers(&listed), [0, 1, 2, 4]);
    // So many and no more.
    let (_, dropped) =
        post(&live, "/api/v1/outbox/drop", json!({"state": "dead", "limit": 1})).await;
    assert_eq!((&dropped["dropped"], &dropped["next"]), (&json!(1), &json!(0)));
    assert_eq!(store.holds().dead, 1);
}

#[tokio::test]
async fn dead_letters_are_replayed_to_a_named_target_as_they_came_and_marked() {
    let (store, live) = five().await;
    let asked = json!({"to": "bus/again", "dry_run": true});
    let (_, said) = post(&live, "/api/v1/outbox/replay", asked).await;
    assert_eq!(said, json!({"replayed": 2, "bytes": 12, "last": 1, "next": null}));
    assert_eq!((store.holds().dead, store.show(Id(5)).await.unwrap().is_none()), (2, true));
    let asked = json!({"to": "bus/again", "records": {"limit": 1}});
    let (status, said) = post(&live, "/api/v1/outbox/replay", asked.clone()).await;
    assert_eq!((status, &said), (200, &json!({"replayed": 1, "bytes": 6, "last": 0, "next": 0})));
    let copy = store.show(Id(5)).await.unwrap().unwrap().record;
    assert_eq!((&*copy.head.target, &*copy.head.function), ("bus/again", "again"));
    assert_eq!((copy.head.ack, copy.head.replay, copy.head.token), (Ack::Published, 1, None));
    assert_eq!(copy.data, "data a");
    let (_, listed) = get(&live, "/api/v1/outbox/records?state=replayed").await;
    assert_eq!(numbers(&listed), [0]);
    // Whoever begins anew goes on where the one before has stopped.
    let (_, said) = post(&live, "/api/v1/outbox/replay", asked.clone()).await;
    assert_eq!(said, json!({"replayed": 1, "bytes": 6, "last": 1, "next": null}));
    assert_eq!(store.show(Id(6)).await.unwrap().unwrap().record.data, "data b");
    let (_, said) = post(&live, "/api/v1/outbox/replay", asked).await;
    assert_eq!(said["replayed"], 0);
    assert_eq!(store.holds().dead, 0);
}

#[tokio::test]
async fn what_waits_behind_a_dead_letter_moves_on_once_it_is_dropped_or_replayed() {
    for drop in [true, false] {
        let store: Arc<dyn Store> = Arc::new(Memory::default());
        let keyed = |id| {
            let mut record = record("web", id, "t");
            record.head.order = Some("k".to_owned());
            record
        };
        let dead = put(&*store, keyed("a")).await;
        give_up(&*store, 1, true).await;
        let behind = Id(put(&*store, keyed("b")).await);
        let state = async || store.show(behind).await.unwrap().unwrap().state;
        assert_eq!(state().await, ::outbox::State::Parked);
        let live = Fake::storing(Arc::clone(&store));
        let (status, _) = if drop {
            let path = format!("/api/v1/outbox/records/{dead}");
            json(&live, Method::DELETE, &path, Value::Null).await
        } else {
            post(&live, "/api/v1/outbox/replay", json!({"to": "web"})).await
        };
        assert_eq!(status, 200);
        assert_eq!(state().await, ::outbox::State::Pending, "{drop}");
    }
}

#[tokio::test]
async fn what_is_parked_can_be_moved_to_another_target() {
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    put(&*store, record("gone", "a", "t")).await;
    for claim in store.claim(1).await {
        store.fail(claim, None, Then::Parked { why: "target_gone".into() }).await;
    }
    let live = Fake::storing(Arc::clone(&store));
    let asked = json!({"to": "web", "records": {"state": "parked", "target": "gone"}});
    let (_, said) = post(&live, "/api/v1/outbox/replay", asked).await;
    assert_eq!(said["replayed"], 1);
    let (_, listed) = get(&live, "/api/v1/outbox/records").await;
    assert_eq!((numbers(&listed), &listed["records"][0]["target"]), (vec![1], &json!("web")));
}

#[tokio::test]
async fn a_replay_to_nobody_or_of_what_is_delivered_anyhow_is_refused() {
    let (store, live) = five().await;
    for (asked, part) in [
        (json!({"to": "nope"}), "there is: bus, web"),
        (json!({"to": "bus"}), "write bus/SUBJECT"),
        (json!({"to": "bus/{id}"}), "without placeholders"),
        (json!({"to": "web/x"}), "write `web` alone"),
        (json!({"to": "source:nope"}), "no source `nope`"),
        (json!({"to": "web", "records": {"state": "pending"}}), "delivered anyhow"),
        (json!({"to": "web", "records": {"state": "replayed"}}), "a record of its own"),
        (json!({"to": "web", "records": {"where": "?"}}), "where: "),
        (json!({"to": "web", "rate": 1}), "unknown field"),
        (json!({}), "missing field `to`"),
    ] {
        let (status, said) = post(&live, "/api/v1/outbox/replay", asked.clone()).await;
        let detail = said["detail"].as_str().unwrap();
        assert!(status == 400 && detail.contains(part), "{asked}: {detail}");
    }
    assert_eq!(store.holds().dead, 2);
}

#[tokio::test]
async fn what_cannot_be_stored_stays_a_dead_letter() {
    let (store, live) = five().await;
    store.close().await;
    let (status, said) = post(&live, "/api/v1/outbox/replay", json!({"to": "web"})).await;
    assert_eq!((status, &said["code"]), (503, &json!("outbox_broken")));
    assert_eq!(store.holds().dead, 2);
}

#[tokio::test]
async fn a_list_is_no_object_and_drops_nothing() {
    let (store, live) = five().await;
    let before = store.holds();
    for path in ["/api/v1/outbox/drop", "/api/v1/outbox/count", "/api/v1/outbox/replay"] {
        for body in [json!([]), json!([null, null]), json!(["dead", "web"])] {
            assert_eq!(post(&live, path, body).await.0, 400, "{path}");
        }
    }
    assert_eq!(store.holds(), before);
}
