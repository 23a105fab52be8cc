//! Every endpoint of the admin port.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body as Received,
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body_util::BodyExt as _;
use schemas::{Body, BodyError, Class};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{sync::Semaphore, time::timeout};

use crate::{Live, Problem, explain, invoke, page, topics, views};

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
#[derive(Serialize)]
struct Ready {
    ready: bool,
    version: &'static str,
    table: String,
    listeners: Vec<Listening>,
}

#[derive(Serialize)]
struct Listening {
    name: String,
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Where {
    upstream: String,
}

/// All endpoints.
pub(crate) fn router(live: Arc<dyn Live>) -> Router {
    Router::new()
        .merge(page::router())
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/routes", get(routes))
        .route("/api/v1/upstreams", get(upstreams))
        .route("/api/v1/records", get(records))
        .route("/api/v1/explain", post(explain))
        .route("/api/v1/invoke", post(invoke))
        .route("/api/v1/topics/{topic}/events", get(events))
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
    let said = Ready {
        ready,
        version: concat!("gusset ", env!("CARGO_PKG_VERSION")),
        table: api.live.table().version.clone(),
        listeners: listeners.collect(),
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
    let body = request.into_body().map_err(|error| BodyError::Broken(error.into()));
    let bytes = timeout(ASKED_WITHIN, Body::boxed(body).collect(ASKED_BYTES_MAX))
        .await
        .map_err(|_| Problem::new(Class::RequestTimeout, "the body took longer than 10s"))?
        .map_err(|error| match error {
            BodyError::TooLarge { limit } => {
                Problem::new(Class::TooLarge, format!("the body is larger than {limit} bytes"))
            }
            _ => Problem::new(Class::BadRequest, "the body broke off"),
        })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(Class::BadRequest, format!("the body: {error}")))
}

#[cfg(test)]
mod tests;
