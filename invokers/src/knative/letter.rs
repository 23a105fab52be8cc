//! What a dead letter says of its end, by the names that Knative has for it: where the event was to
//! go, the status, and how the answer begins.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::StatusCode;
use schemas::{Fault, Value};

use super::{
    Target,
    function::Function,
    said::{Answered, KEPT_BYTES},
};

/// How an event was not delivered.
#[derive(Debug)]
pub enum Ended<'a> {
    /// By an answer, which begins so.
    Answered(StatusCode, &'a [u8]),
    /// Without one that counts.
    Failed(&'a Fault),
}

impl Target {
    /// The extension attributes of a dead letter.
    pub(crate) fn words(&self, function: &str, ended: &Ended<'_>) -> Vec<(&'static str, Value)> {
        let url = Function::parse(function).map(|function| self.url(&function));
        let failed;
        let (code, data) = match ended {
            Ended::Answered(status, start) => (status.as_u16(), *start),
            Ended::Failed(fault) => {
                let cause =
                    fault.cause.as_deref().and_then(|cause| cause.downcast_ref::<Answered>());
                match cause {
                    Some(answered) => (answered.status.as_u16(), &*answered.start),
                    // As Knative's own dispatcher says it.
                    None => {
                        failed = format!("dispatch error: {}", fault.detail);
                        (500, failed.as_bytes())
                    }
                }
            }
        };
        let data = data.get(..KEPT_BYTES).unwrap_or(data);
        let mut words = Vec::with_capacity(3);
        words.extend(url.map(|url| ("knativeerrordest", Value::String(url))));
        words.push(("knativeerrorcode", Value::Integer(i32::from(code))));
        if !data.is_empty() {
            words.push(("knativeerrordata", Value::String(STANDARD.encode(data))));
        }
        words
    }
}
