use std::{net::SocketAddr, sync::Mutex};

use ::outbox::{Store, embedded::Progressed, memory::Memory};
use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture, stream};
use http::{HeaderMap, Method};
use ingress::{
    Table, Upstream,
    config::{File, Offer},
};
use invokers::list::Listed;
use schemas::{
    Ack, Call, Context, Fault, Format, Job, Name, Record, Reply, Revealed, secret::NoSecret,
};
use serde_json::{Value, json};
use tower_service::Service as _;

use super::*;
use crate::topics::{Arrived, Followed, Told};

/// A gateway that keeps what it is asked to send and answers as it is told.
pub(super) struct Fake {
    table: Arc<Table>,
    ready: bool,
    answer: Mutex<Option<Result<Reply, Fault>>>,
    sent: Mutex<Vec<Call>>,
    outbox: Option<Arc<dyn Store>>,
}

impl Fake {
    pub(super) fn new(ready: bool, answer: Option<Result<Reply, Fault>>) -> Arc<Self> {
        Arc::new(Self::made(ready, answer))
    }

    /// One whose outbox is this.
    pub(super) fn storing(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { outbox: Some(store), ..Self::made(true, None) })
    }

    fn made(ready: bool, answer: Option<Result<Reply, Fault>>) -> Self {
        let text = "version: 1
upstreams:
  web: { kind: http, url: http://127.0.0.1:1 }
  bus: { kind: nats, url: nats://127.0.0.1:1 }
routes: [{ name: all, to: web }]
";
        let file = File { name: "a.yaml".into(), text: text.into() };
        let table = ingress::config::parse(&[file], &Offer::default()).unwrap().table;
        Self {
            table: Arc::new(table),
            ready,
            answer: Mutex::new(answer),
            sent: Mutex::default(),
            outbox: None,
        }
    }
}

impl Live for Fake {
    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table)
    }

    fn addresses(&self) -> Vec<(Name, SocketAddr)> {
        vec![("default".parse().unwrap(), "127.0.0.1:8080".parse().unwrap())]
    }

    fn ready(&self) -> bool {
        self.ready
    }

    fn run(&self, job: Job) -> Result<(), Box<Job>> {
        let Some(answer) = self.answer.lock().unwrap().take() else { return Err(Box::new(job)) };
        job.reply.send(answer).unwrap();
        self.sent.lock().unwrap().push(job.call);
        Ok(())
    }

    fn config(&self) -> config::Config {
        config::Config {
            version: self.table.version.clone(),
            since: "2026-01-01T00:00:00Z".to_owned(),
            generation: 1,
            by: config::By::Start,
            source: config::Source { kind: config::SourceKind::Api, path: None },
            stale: false,
            routes: 1,
            upstreams: 2,
            warnings: Vec::new(),
            refused: None,
            versions: Vec::new(),
        }
    }

    fn config_texts(&self) -> Vec<config::Text> {
        vec![config::Text { name: "a.yaml".to_owned(), text: "version: 1\n".to_owned() }]
    }

    fn put_config(
        &self,
        text: String,
        meant: config::IfMatch,
    ) -> BoxFuture<'static, Result<config::Config, config::NotChanged>> {
        let config = self.config();
        Box::pin(async move {
            if !meant.fits(&config.version) {
                return Err(config::NotChanged::Another { live: config.version });
            }
            let file = File { name: "gateway.yaml".into(), text };
            match ingress::config::parse(&[file], &Offer::default()) {
                Ok(_) => Ok(config),
                Err(problems) => Err(config::NotChanged::Wrong(problems)),
            }
        })
    }

    fn roll_back(
        &self,
        _: config::IfMatch,
    ) -> BoxFuture<'static, Result<config::Config, config::NotChanged>> {
        Box::pin(async { Err(config::NotChanged::NoneBefore) })
    }

    fn token(&self) -> Option<Result<Revealed, NoSecret>> {
        None
    }

    fn metrics(&self) -> String {
        "up 1\n".to_owned()
    }

    fn records(&self) -> Vec<Record> {
        Vec::new()
    }

    fn outbox(&self) -> Option<Arc<dyn Store>> {
        self.outbox.clone()
    }

    fn outbox_progress(&self) -> Option<Progressed> {
        self.outbox.is_some().then_some(Progressed::Ready)
    }

    fn list(&self, _: Arc<Upstream>) -> BoxFuture<'static, Result<Vec<Listed>, Fault>> {
        let (state, about) = ("1 of 1 up".to_owned(), "echo:1".to_owned());
        Box::pin(async { Ok(vec![Listed { function: "echo".to_owned(), state, about }]) })
    }

    fn follow(
        &self,
        _: Arc<Upstream>,
        topic: String,
    ) -> BoxFuture<'static, Result<Followed, Fault>> {
        let heard = vec![
            Ok(Told::Arrived(Arrived::new(topic, None, Vec::new(), b"a\nb"))),
            Ok(Told::Missed(7)),
            Err(Fault::new(Class::Unavailable, "gone")),
        ];
        Box::pin(async { Ok(stream::iter(heard).boxed()) })
    }
}

pub(super) async fn ask(live: &Arc<Fake>, method: Method, path: &str, body: &str) -> (u16, String) {
    ask_with(live, method, path, &[("content-type", "application/json")], body).await
}

async fn ask_with(
    live: &Arc<Fake>,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Received::from(body.to_owned())).unwrap();
    let live = Arc::clone(live) as Arc<dyn Live>;
    let response = router(live).call(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().map_err(|error| BodyError::Broken(error.into()));
    let body = Body::boxed(body).collect(1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn invoke(live: &Arc<Fake>, asked: &Value) -> (u16, Value) {
    let (status, said) = ask(live, Method::POST, "/api/v1/invoke", &asked.to_string()).await;
    (status, serde_json::from_str(&said).unwrap())
}

fn pong() -> Option<Result<Reply, Fault>> {
    let body = Body::from(Bytes::from_static(b"pong"));
    Some(Ok(Reply::ok(StatusCode::OK, HeaderMap::new(), body)))
}

#[tokio::test]
async fn readiness_ends_with_the_drain_and_life_does_not() {
    for (ready, status) in [(true, 200), (false, 503)] {
        let live = Fake::new(ready, None);
        let (found, said) = ask(&live, Method::GET, "/readyz", "").await;
        assert_eq!(found, status);
        assert!(said.contains("http://127.0.0.1:8080"), "{said}");
        assert_eq!(ask(&live, Method::GET, "/healthz", "").await.0, 200);
        assert!(!said.contains("outbox"), "{said}");
    }
    let live = Fake::storing(Arc::new(Memory::default()));
    let (_, said) = ask(&live, Method::GET, "/readyz", "").await;
    assert!(said.contains(r#""outbox":{"state":"ready"}"#), "{said}");
}

#[test]
fn an_outbox_says_how_far_it_has_come_or_why_not() {
    for (progressed, said) in [
        (
            Progressed::Recovering { read: 3, of: 10 },
            json!({"state": "reading", "read": 3, "of": 10}),
        ),
        (Progressed::Ready, json!({"state": "ready"})),
        (Progressed::Broken("its disk".into()), json!({"state": "broken", "why": "its disk"})),
        (Progressed::Closed, json!({"state": "closed"})),
    ] {
        assert_eq!(serde_json::to_value(OutboxState::from(progressed)).unwrap(), said);
    }
}

#[tokio::test]
async fn a_call_is_sent_as_asked_and_its_answer_told() {
    let live = Fake::new(true, pong());
    let asked = json!({"address": "web", "path": "/x?y", "headers": [["x-a", "b"]], "data": "hi"});
    let (status, said) = invoke(&live, &asked).await;
    assert_eq!((status, &said), (200, &json!({"ok": true, "status": 200, "data": "pong"})));
    let call = live.sent.lock().unwrap().pop().unwrap();
    assert_eq!((call.head.method, call.head.uri.to_string()), (Method::POST, "/x?y".to_owned()));
    assert_eq!(call.head.headers["x-a"], "b");
    assert_eq!((call.ack, call.format), (Ack::Replied, Format::Auto));
    assert_eq!(call.event.data.whole().unwrap(), "hi");
}

#[tokio::test]
async fn an_event_goes_to_every_kind_as_an_event_and_data_alone_as_data() {
    let event = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": 5});
    for (address, asked, format) in [
        ("web", json!({"event": event}), Format::Binary),
        ("bus/a.b", json!({"event": event}), Format::Binary),
        ("bus/a.b", json!({"data": "5"}), Format::Plain),
    ] {
        let live = Fake::new(true, pong());
        let mut asked = asked;
        asked["address"] = json!(address);
        assert_eq!(invoke(&live, &asked).await.0, 200);
        let call = live.sent.lock().unwrap().pop().unwrap();
        assert_eq!(call.format, format, "{address}");
        let is_event = matches!(call.event.context, Context::Event(..));
        assert_eq!((is_event, call.identity.is_some()), (format == Format::Binary, is_event));
        assert_eq!(call.event.data.whole().unwrap(), "5");
    }
}

#[tokio::test]
async fn an_answer_that_refuses_is_told_and_is_not_ok() {
    let reply = Reply::ok(StatusCode::CONFLICT, HeaderMap::new(), Body::empty());
    let live = Fake::new(true, Some(Ok(reply)));
    let (status, said) = invoke(&live, &json!({"address": "web"})).await;
    assert_eq!((status, said), (200, json!({"ok": false, "status": 409})));
}

#[tokio::test]
async fn a_failure_says_whether_the_function_may_have_run() {
    let fault = Fault::new(Class::Timeout, "no answer in time").maybe();
    let live = Fake::new(true, Some(Err(fault)));
    let (status, said) = invoke(&live, &json!({"address": "web"})).await;
    assert_eq!(status, 504);
    assert_eq!((&said["ran"], &said["retry"]), (&json!("maybe"), &json!("same-id-only")));
    // No core had room.
    let (status, said) = invoke(&Fake::new(true, None), &json!({"address": "web"})).await;
    assert_eq!((status, &said["ran"]), (503, &json!("no")));
}

#[tokio::test]
async fn what_cannot_be_called_is_refused_with_what_to_write() {
    for (asked, part) in [
        (json!({"address": "nope/x"}), "there is: bus, web"),
        (json!({"address": "bus"}), "write bus/SUBJECT"),
        (json!({"address": "bus/{x}"}), "without placeholders"),
        (json!({"address": "bus/a b"}), "one function"),
        (json!({"address": "web/x"}), "write `web` alone"),
        (json!({"address": "web", "ack": "stored"}), "it can answer: replied"),
        (json!({"address": "web", "path": "//evil.example/x", "method": "G T"}), "no method"),
        (json!({"address": "web", "path": "x"}), "no path"),
        (json!({"address": "web", "headers": [["host", "a"]]}), "leave it out"),
        (json!({"address": "web", "data": "a", "data_base64": "YQ=="}), "one of them"),
        (json!({"address": "web", "event": {"specversion": "1.0"}}), "event: "),
        (json!({"address": "web", "dta": "x"}), "unknown field"),
        (json!({"address": "web", "timeout": "0ms"}), "leaves no time"),
    ] {
        let live = Fake::new(true, pong());
        let (status, said) = invoke(&live, &asked).await;
        let detail = said["detail"].as_str().unwrap();
        assert!(status == 400 && detail.contains(part), "{asked}: {status} {detail}");
        assert!(live.sent.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_arrives_on_a_topic_is_sent_as_it_comes() {
    let live = Fake::new(true, None);
    let path = "/api/v1/topics/orders.%3E/events?upstream=bus";
    let (status, said) = ask(&live, Method::GET, path, "").await;
    assert_eq!(status, 200);
    assert_eq!(
        said,
        "event: message\ndata: {\"topic\":\"orders.>\",\"data\":\"a\\nb\"}\n\n\
         event: missed\ndata: 7\n\n\
         event: problem\ndata: {\"code\":\"unavailable\",\"detail\":\"gone\"}\n\n"
    );
    for query in ["", "?upstream=nope", "?upstream=bus&more=1"] {
        let path = format!("/api/v1/topics/orders/events{query}");
        assert_eq!(ask(&live, Method::GET, &path, "").await.0, 400, "{query}");
    }
}

#[tokio::test]
async fn everything_else_is_a_problem_document() {
    let live = Fake::new(true, None);
    for (method, path, status) in [
        (Method::GET, "/nothing", 404),
        (Method::GET, "/api/v1/invoke", 405),
        (Method::DELETE, "/api/v1/routes", 405),
    ] {
        let (found, said) = ask(&live, method, path, "").await;
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((found, said["status"].as_u64()), (status, Some(u64::from(status))), "{path}");
    }
    let large = "x".repeat(ASKED_BYTES_MAX + 1);
    assert_eq!(ask(&live, Method::POST, "/api/v1/explain", &large).await.0, 413);
}

#[tokio::test]
async fn what_is_live_is_told() {
    let live = Fake::new(true, None);
    let (_, routes) = ask(&live, Method::GET, "/api/v1/routes", "").await;
    let routes: Value = serde_json::from_str(&routes).unwrap();
    assert_eq!((&routes[0]["name"], &routes[0]["goes_to"]), (&json!("all"), &json!("web")));
    assert_eq!(routes[0]["policy"]["timeout"]["value"], "15s");
    let (_, upstreams) = ask(&live, Method::GET, "/api/v1/upstreams", "").await;
    assert!(upstreams.contains("nats://127.0.0.1:1"), "{upstreams}");
    assert_eq!(ask(&live, Method::GET, "/metrics", "").await.1, "up 1\n");
    let asked = json!({"method": "GET", "url": "/x"}).to_string();
    let (status, said) = ask(&live, Method::POST, "/api/v1/explain", &asked).await;
    assert!(status == 200 && said.contains("\"route\":\"all\""), "{said}");
}

#[tokio::test]
async fn what_is_sent_must_be_of_a_type_that_a_page_cannot_send_unasked() {
    let live = Fake::new(true, None);
    for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        let headers = [("content-type", media), ("if-match", "*")];
        for (method, path) in [
            (Method::POST, "/api/v1/explain"),
            (Method::POST, "/api/v1/invoke"),
            (Method::POST, "/api/v1/config/rollback"),
            (Method::PUT, "/api/v1/config"),
        ] {
            let (status, _) = ask_with(&live, method, path, &headers, "{}").await;
            assert_eq!(status, 415, "{path} {media}");
        }
    }
}

#[tokio::test]
async fn a_configuration_is_put_with_the_version_that_is_meant() {
    let live = Fake::new(true, None);
    let text = "version: 1\n";
    for (meant, body, status) in [
        (None, text, 428),
        (Some("\"other\""), text, 412),
        (Some("other"), text, 400),
        (Some("*"), "routes: 1", 422),
        (Some("*"), text, 200),
    ] {
        let mut headers = vec![("content-type", "application/yaml; charset=utf-8")];
        headers.extend(meant.map(|meant| ("if-match", meant)));
        let path = "/api/v1/config";
        let (found, said) = ask_with(&live, Method::PUT, path, &headers, body).await;
        assert_eq!(found, status, "{meant:?} {said}");
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["problems"].is_array(), status == 422, "{said}");
    }
    let (status, said) = ask(&live, Method::GET, "/api/v1/config/files", "").await;
    assert_eq!((status, said.contains("version: 1\\n")), (200, true), "{said}");
}

#[tokio::test]
async fn functions_are_told_with_the_routes_that_name_them() {
    let live = Fake::new(true, None);
    let (_, said) = ask(&live, Method::GET, "/api/v1/functions", "").await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said, json!([{"address": "web", "kind": "http", "routes": ["all"]}]));
}

#[tokio::test]
async fn an_upstream_that_is_not_there_has_no_functions_and_no_document() {
    let live = Fake::new(true, None);
    for what in ["functions", "openapi.json"] {
        let (status, said) =
            ask(&live, Method::GET, &format!("/api/v1/upstreams/none/{what}"), "").await;
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((status, &said["code"]), (404, &json!("no_upstream")), "{what}");
    }
}
