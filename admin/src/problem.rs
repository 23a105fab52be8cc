//! The admin API's refusals, as problem+json. The status comes from the class, by ingress's table.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemas::{Class, Fault};
use serde_json::json;

/// A refusal or a failure on its way to the caller of the admin API.
#[derive(Debug)]
pub struct Problem(Fault);

impl Problem {
    /// Refuses with a sentence that says what to write instead.
    #[must_use]
    pub fn new(class: Class, detail: impl Into<String>) -> Self {
        Self(Fault::new(class, detail.into()))
    }

    /// The status that the caller gets.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        ingress::problem::status(self.0.class)
    }

    /// The sentence for the caller.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        problem.0
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = json!({
            "type": "about:blank",
            "title": ingress::problem::title(self.0.class),
            "status": status.as_u16(),
            "detail": self.0.detail,
            "code": self.0.name(),
            "ran": self.0.ran,
            "retry": ingress::problem::retry(&self.0),
        });
        let mut response = (status, body.to_string()).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.0.retry_after {
            let seconds = wait.as_secs().max(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
