//! The endpoints of the outbox.

use ::outbox::{Id, Store};
use axum::extract::rejection::PathRejection;

use super::*;
use crate::stored;

type Number = Result<Path<u64>, PathRejection>;

pub(super) async fn sums(State(api): State<Api>) -> Json<stored::Sums> {
    Json(stored::sums(api.live.outbox().as_deref()))
}

pub(super) async fn newest_dead(
    State(api): State<Api>,
) -> Result<Json<Vec<stored::Latest>>, Problem> {
    Ok(Json(match api.live.outbox() {
        Some(store) => stored::newest_dead(&*store).await?,
        None => Vec::new(),
    }))
}

pub(super) async fn list(
    State(api): State<Api>,
    which: Result<Query<stored::Which>, QueryRejection>,
) -> Result<Json<stored::Listed>, Problem> {
    let Query(which) = which
        .map_err(|error| Problem::new(Class::BadRequest, format!("the query: {}", why(&error))))?;
    Ok(Json(stored::list(&*store(&api)?, &which).await?))
}

pub(super) async fn show(
    State(api): State<Api>,
    number: Number,
) -> Result<Json<stored::Letter>, Problem> {
    let id = id(number)?;
    Ok(Json(stored::show(&*store(&api)?, id).await?))
}

pub(super) async fn drop_one(
    State(api): State<Api>,
    number: Number,
) -> Result<Json<stored::Latest>, Problem> {
    let id = id(number)?;
    Ok(Json(stored::drop_one(&*store(&api)?, id).await?))
}

pub(super) async fn count(
    State(api): State<Api>,
    request: Request,
) -> Result<Json<stored::Counted>, Problem> {
    let which: stored::Which = read(request).await?;
    Ok(Json(stored::count(&*store(&api)?, &which).await?))
}

pub(super) async fn drop_all(
    State(api): State<Api>,
    request: Request,
) -> Result<Json<stored::Dropped>, Problem> {
    let which: stored::Which = read(request).await?;
    Ok(Json(stored::drop_all(&*store(&api)?, &which).await?))
}

pub(super) async fn replay(
    State(api): State<Api>,
    request: Request,
) -> Result<Json<stored::Replayed>, Problem> {
    let asked: stored::Replay = read(request).await?;
    let store = store(&api)?;
    Ok(Json(stored::replay(&api.live.table(), &*store, &asked).await?))
}

fn store(api: &Api) -> Result<Arc<dyn Store>, Problem> {
    api.live.outbox().ok_or_else(stored::none)
}

fn id(number: Number) -> Result<Id, Problem> {
    match number {
        Ok(Path(number)) => Ok(Id(number)),
        Err(_) => Err(Problem::new(Class::BadRequest, "a record is named by its number")),
    }
}

/// What is wrong with a query, without the words of those who read it.
fn why(error: &QueryRejection) -> String {
    let said = error.body_text();
    said.rsplit_once("query string: ").map_or(said.clone(), |(_, why)| why.to_owned())
}

#[cfg(test)]
mod tests;
