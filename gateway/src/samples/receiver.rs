//! Takes CloudEvents, and shows what it got.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use admin::{data::Data, views};
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use schemas::{
    Attributes, Event,
    cloudevents::{self, Arrival, Malformed},
};
use serde_json::{Value, json};

use super::{Answer, Asked, json as answer, refuse};
use crate::cli::print;

/// How many events are kept to be shown at `GET /`.
const KEPT: usize = 100;
/// How much of an event's data is printed.
const SHOWN_CHARS: usize = 200;

/// A receiver of events.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    kept: Mutex<VecDeque<Value>>,
}

impl Receiver {
    /// The function: takes events by POST, shows the newest by GET.
    pub(crate) fn function(self: Arc<Self>) -> impl Fn(Asked) -> Answer {
        move |asked| self.answer(&asked)
    }

    fn answer(&self, asked: &Asked) -> Answer {
        if asked.method() == Method::GET {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            return answer(&kept.iter().cloned().collect());
        }
        match read(asked) {
            Ok(events) => {
                for (attributes, data) in &events {
                    self.take(attributes, data);
                }
                let mut answer = Response::new(Full::default());
                *answer.status_mut() = StatusCode::NO_CONTENT;
                answer
            }
            Err(said) => refuse(StatusCode::BAD_REQUEST, &said),
        }
    }

    fn take(&self, attributes: &Attributes, data: &Bytes) {
        // Whether or not somebody reads it, the event was received.
        drop(print::line(&line(attributes, data)));
        let mut shown = json!({ "event": views::attributes(attributes) });
        if let (Some(shown), Ok(Value::Object(data))) =
            (shown.as_object_mut(), serde_json::to_value(Data::from(&**data)))
        {
            shown.extend(data);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(shown);
    }
}

/// The events of a request, whatever mode it is in.
fn read(asked: &Asked) -> Result<Vec<(Attributes, Bytes)>, String> {
    let malformed = |error: Malformed| error.what;
    let whole = |event: Event| {
        let data = event.data.whole().unwrap_or_default();
        event.attributes().cloned().map(|attributes| (attributes, data))
    };
    match cloudevents::arrival(asked.headers()) {
        Arrival::Binary => {
            let attributes = cloudevents::read_binary(asked.headers()).map_err(malformed)?;
            Ok(vec![(attributes, asked.body().clone())])
        }
        Arrival::Structured => {
            let event = cloudevents::read_structured(asked.body()).map_err(malformed)?;
            Ok(whole(event).into_iter().collect())
        }
        Arrival::Batch => {
            let events = cloudevents::read_batch(asked.body()).map_err(malformed)?;
            Ok(events.into_iter().filter_map(whole).collect())
        }
        Arrival::Unknown(media) => Err(format!("{media} is not read here; send JSON")),
        Arrival::Plain => Err("this is no CloudEvent; send one, with ce-id, ce-source, ce-type \
                               and ce-specversion: 1.0"
            .to_owned()),
    }
}

fn line(attributes: &Attributes, data: &Bytes) -> String {
    let media = attributes.datacontenttype.as_deref().unwrap_or("no content type");
    let data = match std::str::from_utf8(data) {
        Ok("") => "no data".to_owned(),
        Ok(text) => {
            let mut shown: String =
                text.chars().take(SHOWN_CHARS).filter(|c| !c.is_control()).collect();
            if text.chars().nth(SHOWN_CHARS).is_some() {
                shown.push('…');
            }
            shown
        }
        Err(_) => format!("{} bytes", data.len()),
    };
    format!(
        "receiver: {} from {}, id {}, {media}: {data}",
        attributes.kind, attributes.source, attributes.id
    )
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn binary(id: usize) -> Asked {
        Request::post("/receiver")
            .header("ce-specversion", "1.0")
            .header("ce-id", id.to_string())
            .header("ce-source", "/demo")
            .header("ce-type", "hello.world")
            .header("content-type", "application/json")
            .body(Bytes::from_static(b"{\"a\":1}"))
            .unwrap()
    }

    #[test]
    fn events_are_taken_in_both_modes_and_the_newest_hundred_kept() {
        let receiver = Receiver::default();
        for id in 0..KEPT {
            assert_eq!(receiver.answer(&binary(id)).status(), StatusCode::NO_CONTENT);
        }
        let structured = Request::post("/")
            .header("content-type", "application/cloudevents+json")
            .body(Bytes::from_static(
                br#"{"specversion":"1.0","id":"last","source":"/s","type":"t","data":{"b":2}}"#,
            ))
            .unwrap();
        assert_eq!(receiver.answer(&structured).status(), StatusCode::NO_CONTENT);
        let kept = receiver.kept.lock().unwrap();
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept[0]["event"]["id"], "1");
        assert_eq!(kept[0]["data"], "{\"a\":1}");
        assert_eq!(kept[KEPT - 1]["event"]["id"], "last");
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let receiver = Receiver::default();
        let plain = Request::post("/").body(Bytes::from_static(b"x")).unwrap();
        assert_eq!(receiver.answer(&plain).status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn an_event_is_one_line_however_it_is_written() {
        let attributes = Attributes {
            id: "1".into(),
            source: "/demo".into(),
            kind: "hello".into(),
            ..Attributes::default()
        };
        let said = line(&attributes, &Bytes::from_static(b"a\nb"));
        assert_eq!(said, "receiver: hello from /demo, id 1, no content type: ab");
        let long = line(&attributes, &Bytes::from("x".repeat(500)));
        assert!(long.ends_with('…') && long.len() < 300, "{long}");
        assert!(line(&attributes, &Bytes::from_static(b"\xff")).ends_with(": 1 bytes"));
    }
}
