//! What a message of a broker becomes: a record for the outbox.

use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header::CONTENT_TYPE};
use invokers::{consume::Taken, embedded::SOURCE};
use outbox::Record;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemas::{
    Ack, Attributes, Body, Call, Context, Identity, Mode, Name,
    cloudevents::{self, Arrival},
};
use uuid::Uuid;

/// Headers by which a gateway says what the request was that it has published.
const REQUEST_LINE: [&str; 3] = ["http-method", "http-path", "http-query"];

/// What of a topic is not fit for the path of a URI.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b':')
    .remove(b'@')
    .remove(b'$');

/// Makes the record of a message. `kind` is that of the upstream.
///
/// A CloudEvent stays one, in the mode it came in. Any other message becomes one, since routes of
/// a source choose by events: its `id` is what the broker knows it by, its `source` where it was
/// published to, and its `type` `<kind>.message`.
pub(crate) fn record(source: &Name, upstream: &Name, kind: &str, taken: &Taken) -> Record {
    let message = &taken.message;
    let data = message.data.clone();
    let mut call = Call::new(taken.topic.as_str(), Body::from(data.clone()), Instant::now());
    call.ack = Ack::Stored;
    call.head.headers = headers(&message.headers);
    call.head.method = message
        .header("http-method")
        .and_then(|method| Method::from_bytes(method.as_bytes()).ok())
        .unwrap_or(Method::POST);
    call.head.uri = uri(message.header("http-path"), message.header("http-query"));
    let data = match &message.attributes {
        Some(attributes) => {
            call.event.context = Context::Event(Box::new(attributes.clone()), Mode::Binary);
            data
        }
        None => match structured(message.header(CONTENT_TYPE.as_str()), taken) {
            Some((attributes, data)) => {
                call.event.context = Context::Event(Box::new(attributes), Mode::Structured);
                call.head.headers.remove(CONTENT_TYPE);
                data
            }
            None => {
                let made = made(upstream, kind, taken);
                call.event.context = Context::Event(Box::new(made), Mode::Binary);
                data
            }
        },
    };
    call.identity = taken.id.as_ref().map(|id| {
        let source = format!("{SOURCE}{source}");
        Identity::of(&source, None, upstream.as_str(), id)
    });
    Record::of(&call, data, "", &format!("{SOURCE}{source}"), Ack::Stored)
}

/// The event that is the whole of a message's data. One that is no good stays what it is: a message
/// of that content type, which a person can look at.
fn structured(content_type: Option<&str>, taken: &Taken) -> Option<(Attributes, bytes::Bytes)> {
    if cloudevents::by_content_type(content_type?.as_bytes())? != Arrival::Structured {
        return None;
    }
    let event = cloudevents::read_structured(&taken.message.data).ok()?;
    let data = event.data.whole()?;
    match event.context {
        Context::Event(attributes, _) => Some((*attributes, data)),
        Context::Plain | Context::Opaque(_) => None,
    }
}

fn made(upstream: &Name, kind: &str, taken: &Taken) -> Attributes {
    let topic = taken.topic.as_str();
    let made = Attributes {
        id: taken.id.clone().unwrap_or_else(|| Uuid::now_v7().to_string()),
        source: format!("//{upstream}/{}", utf8_percent_encode(topic, PATH)),
        kind: format!("{kind}.message"),
        subject: Some(topic.to_owned()).filter(|topic| !topic.is_empty()),
        time: Some(jiff::Timestamp::now().to_string()),
        datacontenttype: taken.message.header(CONTENT_TYPE.as_str()).map(str::to_owned),
        ..Attributes::default()
    };
    if made.check().is_ok() {
        return made;
    }
    // What makes it unfit is what was said by somebody else; the rest is ours.
    Attributes { subject: None, datacontenttype: None, source: format!("//{upstream}"), ..made }
}

/// The headers that a target gets: all that are fit for one, without what says what the request was
/// and without what is the broker's own.
fn headers(pairs: &[(String, String)]) -> HeaderMap {
    let mut all = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        let lower = name.to_ascii_lowercase();
        if REQUEST_LINE.contains(&lower.as_str()) || lower.starts_with("nats-") {
            continue;
        }
        if let (Ok(name), Ok(value)) =
            (HeaderName::try_from(lower.as_str()), HeaderValue::from_str(value))
        {
            all.append(name, value);
        }
    }
    all
}

fn uri(path: Option<&str>, query: Option<&str>) -> Uri {
    let path = path.filter(|path| path.starts_with('/')).unwrap_or("/");
    let whole = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    whole.parse().unwrap_or_else(|_| Uri::from_static("/"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use invokers::message::Message;

    use super::*;

    fn record_of(headers: &[(&str, &str)], data: &'static str) -> Record {
        let pairs = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let message = Message::from_wire(pairs.collect(), Bytes::from_static(data.as_bytes()));
        let taken = Taken::new("orders.a b", message, Some("S.1.7".to_owned()));
        record(&"work".parse().unwrap(), &"js".parse().unwrap(), "nats", &taken)
    }

    #[test]
    fn an_event_stays_what_it_is() {
        let own = record_of(
            &[("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")],
            "data",
        );
        let event = own.head.event().unwrap();
        assert_eq!((event.id.as_str(), event.kind.as_str()), ("1", "t"));
        assert_eq!((own.head.target.as_str(), &own.data[..]), ("source:work", &b"data"[..]));
        let document =
            r#"{"specversion":"1.0","id":"2","source":"/s","type":"u","data":{"a":1.10}}"#;
        let own = record_of(&[("content-type", "application/cloudevents+json")], document);
        assert_eq!(own.head.event().unwrap().kind, "u");
        assert_eq!(own.data, r#"{"a":1.10}"#);
    }

    #[test]
    fn any_other_message_becomes_an_event_by_where_it_came_from() {
        let broken = "{\"specversion\":";
        for (headers, data) in [
            (&[("x-tenant", "acme"), ("nats-msg-id", "1")][..], "hello"),
            (&[("content-type", "application/cloudevents+json")], broken),
            (&[("ce-id", "half an event"), ("ce-type", "t")], "x"),
        ] {
            let record = record_of(headers, data);
            let event = record.head.event().unwrap();
            assert_eq!((event.id.as_str(), event.kind.as_str()), ("S.1.7", "nats.message"));
            assert_eq!(event.source, "//js/orders.a%20b");
            assert_eq!(record.data, data);
        }
    }

    #[test]
    fn what_a_published_request_was_is_what_the_target_gets() {
        let record = record_of(
            &[("http-method", "PUT"), ("http-path", "/a/b"), ("http-query", "c=d"), ("x-a", "1")],
            "",
        );
        assert_eq!((record.head.method.as_str(), record.head.uri.as_str()), ("PUT", "/a/b?c=d"));
        let names: Vec<&str> = record.head.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x-a"]);
    }

    #[test]
    fn the_same_message_is_known_again_and_another_is_not() {
        let one = record_of(&[], "a");
        assert_eq!(one.head.identity, record_of(&[], "a").head.identity);
        let message = Message { data: Bytes::from_static(b"a"), ..Message::default() };
        let other = Taken::new("orders.a b", message, Some("S.1.8".to_owned()));
        let other = record(&"work".parse().unwrap(), &"js".parse().unwrap(), "nats", &other);
        assert_ne!(one.head.identity, other.head.identity);
    }
}
