//! The admin API's refusals, as problem+json. The status comes from the class, by ingress's table.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemas::{Class, Fault};
use serde_json::{Value, json};

/// A refusal or a failure on its way to the caller of the admin API.
#[derive(Debug)]
pub struct Problem {
    fault: Fault,
    /// What few problems have. Boxed, for a problem is a return value.
    more: Option<Box<More>>,
}

#[derive(Debug)]
enum More {
    /// A member beside those that every document has.
    Member(&'static str, Value),
    Header(HeaderName, HeaderValue),
}

impl Problem {
    /// Refuses with a sentence that says what to write instead.
    #[must_use]
    pub fn new(class: Class, detail: impl Into<String>) -> Self {
        Fault::new(class, detail.into()).into()
    }

    /// The status that the caller gets.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        ingress::problem::status(self.fault.class)
    }

    /// Adds a member to the document.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.more = Some(Box::new(More::Member(name, value)));
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.more = Some(Box::new(More::Header(name, value)));
        self
    }

    /// The sentence for the caller.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.fault.detail
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self { fault, more: None }
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        problem.fault
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut body = json!({
            "type": "about:blank",
            "title": ingress::problem::title(self.fault.class),
            "status": status.as_u16(),
            "detail": self.fault.detail,
            "code": self.fault.name(),
            "ran": self.fault.ran,
            "retry": ingress::problem::retry(&self.fault),
        });
        let header = match self.more.map(|more| *more) {
            Some(More::Member(name, value)) => {
                body[name] = value;
                None
            }
            Some(More::Header(name, value)) => Some((name, value)),
            None => None,
        };
        let mut response = (status, body.to_string()).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.fault.retry_after {
            let seconds = wait.as_secs().max(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
