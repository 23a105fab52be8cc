//! Every endpoint of the admin port.

use std::{sync::Arc, time::Duration};

use ::outbox::embedded::Progressed;
use axum::{
    Json, Router,
    body::Body as Received,
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use invokers::Target;
use policy::breaker::Forced;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use schemas::{Body, BodyError, Class, Fault};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{sync::Semaphore, time::timeout};

use crate::{Live, Problem, config, explain, guard, invoke, page, topics, views};

const ASKED_BYTES_MAX: usize = 16 << 20;
const ASKED_WITHIN: Duration = Duration::from_secs(10);
const FOLLOWERS_MAX: usize = 64;
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Api {
    live: Arc<dyn Live>,
    followers: Arc<Semaphore>,
}

/// What `/readyz` says.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Ready {
    /// Whether requests are taken.
    ready: bool,
    /// The program and its version.
    version: &'static str,
    /// The version of the configuration that is live.
    table: String,
    /// Where requests arrive.
    listeners: Vec<Listening>,
    /// How far the outbox has come, if anything needs one. Until it is ready, what is to be stored
    /// is refused, and all else is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    outbox: Option<OutboxState>,
    /// Upstreams of kind grpc, and whether their methods are known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    descriptors: Vec<Described>,
}

/// How far an outbox has come.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "lowercase")]
enum OutboxState {
    /// It is being read.
    Reading {
        /// So many bytes are.
        read: u64,
        /// Of so many; 0 where that is not known.
        of: u64,
    },
    /// It can be used.
    Ready,
    /// It cannot be used any more.
    Broken {
        /// Why.
        why: String,
    },
    /// It is closed.
    Closed,
}

impl From<Progressed> for OutboxState {
    fn from(progressed: Progressed) -> Self {
        match progressed {
            Progressed::Recovering { read, of } => Self::Reading { read, of },
            Progressed::Ready => Self::Ready,
            Progressed::Broken(why) => Self::Broken { why: why.to_string() },
            Progressed::Closed => Self::Closed,
        }
    }
}

/// What is known of an upstream of kind grpc.
#[derive(Serialize, JsonSchema)]
struct Described {
    upstream: String,
    known: bool,
    /// Whether the last look at them went well.
    fresh: bool,
}

#[derive(Serialize, JsonSchema)]
struct Listening {
    name: String,
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Where {
    upstream: String,
}

/// What a breaker is forced to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Force {
    /// `open`, `closed`, or null: left to itself.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schemars(required, schema_with = "forced")]
    force: Option<Forced>,
}

/// It must be there, and may be null.
fn forced(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": ["open", "closed", null] })
}

/// All endpoints but the page. The OpenAPI document names the same.
fn endpoints() -> Vec<(&'static str, MethodRouter<Api>)> {
    vec![
        ("/healthz", get(async || "ok\n")),
        ("/readyz", get(ready)),
        ("/metrics", get(metrics)),
        ("/api/v1/routes", get(routes)),
        ("/api/v1/upstreams", get(upstreams)),
        ("/api/v1/upstreams/{upstream}/functions", get(listed)),
        ("/api/v1/upstreams/{upstream}/openapi.json", get(transcoded)),
        ("/api/v1/functions", get(functions)),
        ("/api/v1/functions/{address}/breaker", post(force)),
        ("/api/v1/records", get(records)),
        ("/api/v1/config", get(config).put(put_config)),
        ("/api/v1/config/files", get(config_texts)),
        ("/api/v1/config/rollback", post(roll_back)),
        ("/api/v1/outbox", get(outbox::sums)),
        ("/api/v1/outbox/dead", get(outbox::newest_dead)),
        ("/api/v1/outbox/records", get(outbox::list)),
        ("/api/v1/outbox/records/{number}", get(outbox::show).delete(outbox::drop_one)),
        ("/api/v1/outbox/count", post(outbox::count)),
        ("/api/v1/outbox/drop", post(outbox::drop_all)),
        ("/api/v1/outbox/replay", post(outbox::replay)),
        ("/api/v1/explain", post(explain)),
        ("/api/v1/invoke", post(invoke)),
        ("/api/v1/topics/{topic}/events", get(events)),
        ("/api/v1/openapi.json", get(openapi)),
    ]
}

/// All endpoints.
pub(crate) fn router(live: Arc<dyn Live>) -> Router {
    endpoints()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods))
        .merge(page::router())
        .fallback(nothing)
        .method_not_allowed_fallback(other_method)
        .with_state(Api { live, followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)) })
}

async fn ready(State(api): State<Api>) -> Response {
    let ready = api.live.ready();
    let listeners = api.live.addresses().into_iter().map(|(name, address)| Listening {
        name: name.to_string(),
        url: format!("http://{address}"),
    });
    let table = api.live.table();
    let described = table.upstreams.iter().filter_map(|upstream| match &upstream.target {
        Target::Grpc(target) => Some(Described {
            upstream: upstream.name.to_string(),
            known: target.catalog().loaded().is_some(),
            fresh: target.catalog().problem().is_none(),
        }),
        _ => None,
    });
    let said = Ready {
        ready,
        version: concat!("gusset ", env!("CARGO_PKG_VERSION")),
        table: table.version.clone(),
        listeners: listeners.collect(),
        outbox: api.live.outbox_progress().map(OutboxState::from),
        descriptors: described.collect(),
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(said)).into_response()
}

async fn metrics(State(api): State<Api>) -> Response {
    ([(header::CONTENT_TYPE, METRICS)], api.live.metrics()).into_response()
}

async fn routes(State(api): State<Api>) -> Json<Vec<views::RouteView>> {
    Json(views::routes(&api.live.table()))
}

async fn upstreams(State(api): State<Api>) -> Json<Vec<views::UpstreamView>> {
    Json(views::upstreams(&api.live.table()))
}

async fn listed(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<Vec<views::ListedView>>, Problem> {
    let table = api.live.table();
    let unknown = |problem: Problem| {
        Problem::from(Fault::new(Class::NotFound, problem.detail().to_owned()).code("no_upstream"))
    };
    let upstream = invoke::upstream(&table, &name).map_err(unknown)?;
    let all = api.live.list(Arc::clone(&upstream)).await?;
    Ok(Json(views::listed(&table, &upstream, all)))
}

async fn transcoded(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, Problem> {
    let table = api.live.table();
    let target = table.upstream(&name).and_then(|upstream| match &upstream.target {
        Target::Grpc(target) => Some(target),
        _ => None,
    });
    let Some(target) = target else {
        let said = format!("there is no upstream `{name}` of kind grpc");
        return Err(Fault::new(Class::NotFound, said).code("no_upstream").into());
    };
    target.catalog().openapi(&name).map(Json).ok_or_else(|| {
        let said = format!("the methods of `{name}` are not known yet; see `gusset upstreams`");
        Fault::new(Class::Unavailable, said).code("no_descriptors").into()
    })
}

async fn functions(State(api): State<Api>) -> Json<Vec<views::FunctionView>> {
    Json(views::functions(&api.live.table()))
}

async fn force(
    State(api): State<Api>,
    Path(address): Path<String>,
    request: Request,
) -> Result<Json<views::FunctionView>, Problem> {
    let Force { force } = read(request).await?;
    let table = api.live.table();
    let none = || {
        let said = format!("no route names the function `{address}`, or it has no breaker");
        Problem::from(Fault::new(Class::NotFound, said).code("no_breaker"))
    };
    // What a route names, and nothing that only the registry remembers.
    let named = |function: &views::FunctionView| function.address == address;
    if !views::functions(&table).iter().any(named) || table.registry.force(&address, force) == 0 {
        return Err(none());
    }
    views::functions(&table).into_iter().find(named).map(Json).ok_or_else(none)
}

async fn config(State(api): State<Api>) -> Response {
    tagged(api.live.config())
}

async fn config_texts(State(api): State<Api>) -> Json<Vec<config::Text>> {
    Json(api.live.config_texts())
}

async fn put_config(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let json = guard::is_json(request.headers());
    if !json && !guard::is_yaml(request.headers()) {
        return Err(Problem::new(
            Class::UnsupportedMedia,
            "a configuration is YAML or JSON; send Content-Type: application/yaml",
        ));
    }
    let meant = if_match(request.headers())?;
    let bytes = collect(request).await?;
    if json {
        // JSON is YAML, and says so itself: what is broken as JSON is not read as something else.
        serde_json::from_slice::<serde::de::IgnoredAny>(&bytes)
            .map_err(|error| Problem::new(Class::BadRequest, format!("the body: {error}")))?;
    }
    let text = String::from_utf8(bytes.to_vec())
        .map_err(|_| Problem::new(Class::BadRequest, "the body is no UTF-8"))?;
    Ok(tagged(api.live.put_config(text, meant).await?))
}

async fn roll_back(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let meant = if_match(request.headers())?;
    let _: config::RollBack = read(request).await?;
    Ok(tagged(api.live.roll_back(meant).await?))
}

/// The configuration with its version as the entity tag.
fn tagged(config: config::Config) -> Response {
    let tag = format!("\"{}\"", config.version);
    ([(header::ETAG, tag)], Json(config)).into_response()
}

/// Which version a change is meant for. Two people who change the same version must not undo each
/// other's work unseen, so it has to be said.
fn if_match(headers: &HeaderMap) -> Result<config::IfMatch, Problem> {
    let told = guard::one(headers, &header::IF_MATCH)?.ok_or_else(|| {
        Problem::new(
            Class::PreconditionRequired,
            "say which version you have seen: send If-Match with the ETag of /api/v1/config, or *",
        )
    })?;
    config::IfMatch::read(told).ok_or_else(|| {
        Problem::new(Class::BadRequest, "If-Match is neither * nor entity tags in double quotes")
    })
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], crate::OPENAPI).into_response()
}

async fn records(State(api): State<Api>) -> Json<Vec<views::RecordView>> {
    Json(api.live.records().into_iter().map(views::RecordView::from).collect())
}

async fn explain(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let asked: explain::Asked = read(request).await?;
    let question = explain::question(&asked)?;
    Ok(Json(ingress::explain::explain(&api.live.table(), question)).into_response())
}

async fn invoke(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let asked: invoke::Asked = read(request).await?;
    let prepared = invoke::prepare(&api.live.table(), &asked)?;
    Ok(Json(invoke::run(&*api.live, prepared).await?).into_response())
}

async fn events(
    State(api): State<Api>,
    Path(topic): Path<String>,
    at: Result<Query<Where>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(at) = at.map_err(|_| {
        Problem::new(Class::BadRequest, "which upstream? write ?upstream=NAME, and nothing else")
    })?;
    let upstream = invoke::upstream(&api.live.table(), &at.upstream)?;
    let place = Arc::clone(&api.followers).try_acquire_owned().map_err(|_| {
        Problem::new(Class::Overloaded, "too many are listening already; end one of them")
    })?;
    let followed = api.live.follow(upstream, topic).await?;
    Ok(topics::sent(followed, place).into_response())
}

async fn nothing() -> Problem {
    Problem::new(Class::NotFound, "there is no such endpoint; the page at / lists them")
}

async fn other_method() -> Problem {
    Problem::new(Class::MethodNotAllowed, "this endpoint does not take this method")
}

async fn read<T: DeserializeOwned>(request: Request<Received>) -> Result<T, Problem> {
    if !guard::is_json(request.headers()) {
        return Err(Problem::new(
            Class::UnsupportedMedia,
            "this endpoint takes JSON; send Content-Type: application/json",
        ));
    }
    let bytes = collect(request).await?;
    // The values of an object would be taken from a list too, in the order in which they stand here.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::new(Class::BadRequest, "the body is a list; write an object, { … }"));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(Class::BadRequest, format!("the body: {error}")))
}

async fn collect(request: Request<Received>) -> Result<Bytes, Problem> {
    let body = request.into_body().map_err(|error| BodyError::Broken(error.into()));
    timeout(ASKED_WITHIN, Body::boxed(body).collect(ASKED_BYTES_MAX))
        .await
        .map_err(|_| Problem::new(Class::RequestTimeout, "the body took longer than 10s"))?
        .map_err(|error| match error {
            BodyError::TooLarge { limit } => {
                Problem::new(Class::TooLarge, format!("the body is larger than {limit} bytes"))
            }
            _ => Problem::new(Class::BadRequest, "the body broke off"),
        })
}

mod outbox;

#[cfg(test)]
mod openapi;
#[cfg(test)]
mod tests;
