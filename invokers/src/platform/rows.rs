//! Rows of an error table, as tests write them: an answer, and what a kind makes of it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::Frame;
use schemas::{Body, BodyError, EndpointId, Ran, Verdict};

use super::{Heard, Platform, Said, hear};
use crate::client::Answered;

/// What a kind says of an answer: `answer ok`, `answer function_failed maybe`,
/// `fault throttled no after 1s`, `refused`, or the receipt. It is the same whether or not the head
/// says how long the body is.
pub(crate) fn row<P: Platform>(
    platform: &P,
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: &'static str,
) -> String {
    let fields = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let mut all = HeaderMap::new();
    all.extend(fields);
    let bytes = Bytes::from_static(body.as_bytes());
    let piece = Piece(Some(bytes.clone()).filter(|bytes| !bytes.is_empty()));
    let said = [Body::from(bytes), Body::boxed(piece)].map(|body| {
        let status = StatusCode::from_u16(status).unwrap();
        let mut answered = Answered { status, headers: all.clone(), body, tunnel: None };
        let heard = hear(platform, &mut answered, EndpointId(0)).now_or_never();
        match heard.expect("all of it is here").unwrap() {
            Said::Unclear => row_of(Heard::of(&answered, None).answer()),
            said => row_of(said),
        }
    });
    assert_eq!(said[0], said[1], "{status} {headers:?} {body}");
    let [said, _] = said;
    said
}

/// A body of one piece, or none, whose length nobody knows.
struct Piece(Option<Bytes>);

impl http_body::Body for Piece {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.0.take().map(|piece| Ok(Frame::data(piece))))
    }
}

fn row_of(said: Said) -> String {
    let ran = |ran| if ran == Ran::No { "no" } else { "maybe" };
    match said {
        Said::Answer(Verdict::Ok) => "answer ok".to_owned(),
        Said::Answer(Verdict::Failed { class, ran: may, .. }) => {
            format!("answer {} {}", class.name(), ran(may))
        }
        Said::Fault(fault) => {
            let after = fault.retry_after.map(|wait| format!(" after {wait:?}"));
            let good = if fault.for_good { " for good" } else { "" };
            let after = after.unwrap_or_default();
            format!("fault {} {}{after}{good}", fault.class.name(), ran(fault.ran))
        }
        Said::Refused => "refused".to_owned(),
        Said::Published(receipt) => serde_json::to_string(&*receipt).unwrap(),
        Said::Unclear => "unclear".to_owned(),
    }
}
