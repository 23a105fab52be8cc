//! Rows of an error table, as tests write them: an answer, and what a kind makes of it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use schemas::{Body, Ran, Verdict};

use super::{Heard, Platform, Said};
use crate::client::Answered;

/// What a kind says of an answer: `answer ok`, `answer function_failed maybe`,
/// `fault throttled no after 1s`, `refused`, or the receipt.
pub(crate) fn row(
    platform: &impl Platform,
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: &'static str,
) -> String {
    let fields = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let mut all = HeaderMap::new();
    all.extend(fields);
    let answered = Answered {
        status: StatusCode::from_u16(status).unwrap(),
        headers: all,
        body: Body::from(Bytes::from_static(body.as_bytes())),
        tunnel: None,
    };
    let said = match platform.classify(&Heard::of(&answered, None)) {
        Said::Unclear => platform.classify(&Heard::of(&answered, Some(body.as_bytes()))),
        said => said,
    };
    let ran = |ran| if ran == Ran::No { "no" } else { "maybe" };
    let heard = Heard::of(&answered, Some(body.as_bytes()));
    match said {
        Said::Unclear => row_of(heard.answer(), ran),
        said => row_of(said, ran),
    }
}

fn row_of(said: Said, ran: impl Fn(Ran) -> &'static str) -> String {
    match said {
        Said::Answer(Verdict::Ok) => "answer ok".to_owned(),
        Said::Answer(Verdict::Failed { class, ran: may, .. }) => {
            format!("answer {} {}", class.name(), ran(may))
        }
        Said::Fault(fault) => {
            let after = fault.retry_after.map(|wait| format!(" after {wait:?}"));
            format!("fault {} {}{}", fault.class.name(), ran(fault.ran), after.unwrap_or_default())
        }
        Said::Refused => "refused".to_owned(),
        Said::Published(receipt) => serde_json::to_string(&*receipt).unwrap(),
        Said::Unclear => "unclear".to_owned(),
    }
}
