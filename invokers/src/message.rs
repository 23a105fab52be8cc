//! A message as brokers carry it: the one place where a call becomes headers and data.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use schemas::{
    Attributes, Body, BodyError, Call, Class, Context, Fault, Format, Head, Identity, Mode, Value,
    cloudevents,
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use sha2::{Digest as _, Sha256};

/// A message on its way to or from a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The attributes, where the message is a CloudEvent in the binary mode.
    pub attributes: Option<Attributes>,
    /// Every other header, in order, names as they were written.
    pub headers: Vec<(String, String)>,
    /// The data, byte for byte.
    pub data: Bytes,
}

impl Message {
    /// Makes the message of a call. Gathers the body, and leaves it whole in the call, so that a
    /// call that could not be sent after all is handed back ready for another try.
    ///
    /// # Errors
    /// [`Class::TooLarge`] if the data is over `limit`; what else is wrong with the body, the
    /// headers or the format. Nothing has been sent.
    pub async fn of(call: &mut Call, limit: usize) -> Result<Self, Fault> {
        let data = std::mem::take(&mut call.event.data).collect(limit).await.map_err(broken)?;
        call.event.data = Body::from(data.clone());
        let mut headers = request_line(&call.head);
        headers.extend(forwarded(&call.head)?);
        match (call.format, &call.event.context) {
            (Format::Plain | Format::Message, _) | (Format::Auto, Context::Plain) => {
                headers.extend(content_type(call)?.map(|kind| (CONTENT_TYPE.to_string(), kind)));
                Ok(Self { attributes: None, headers, data })
            }
            (Format::Binary, Context::Event(attributes, _))
            | (Format::Auto, Context::Event(attributes, Mode::Binary)) => {
                Ok(Self { attributes: Some((**attributes).clone()), headers, data })
            }
            (Format::Structured | Format::Auto, Context::Event(attributes, _)) => {
                headers.push(structured());
                let data = cloudevents::write_structured(attributes, &data);
                Ok(Self { attributes: None, headers, data })
            }
            (Format::Structured | Format::Auto, Context::Opaque(Mode::Structured)) => {
                headers.push(structured());
                Ok(Self { attributes: None, headers, data })
            }
            (_, Context::Opaque(Mode::Batch)) => Err(Fault::new(
                Class::UnsupportedMedia,
                "a broker takes one event in a message; send the events of the batch one by one",
            )),
            (Format::Binary, Context::Opaque(Mode::Structured)) => {
                let event = cloudevents::read_structured(&data)
                    .map_err(|malformed| Fault::new(Class::BadRequest, malformed.what))?;
                let data = event.data.whole().unwrap_or_default();
                let Context::Event(attributes, _) = event.context else { return Err(no_event()) };
                Ok(Self { attributes: Some(*attributes), headers, data })
            }
            (Format::ApiGatewayV2 | Format::ApiGatewayV1 | Format::Alb, _)
            | (_, Context::Opaque(_))
            | (Format::Binary | Format::Structured, Context::Plain) => Err(no_event()),
        }
    }

    /// What goes over the wire: the attributes as headers by the CloudEvents NATS binding, the
    /// other headers, and the data.
    #[must_use]
    pub fn into_wire(self) -> (Vec<(String, String)>, Bytes) {
        let Some(attributes) = &self.attributes else { return (self.headers, self.data) };
        let mut all = cloudevents::message_headers(attributes);
        all.extend(self.headers);
        (all, self.data)
    }

    /// Reads what came from the wire. Headers that look like attributes and are none stay headers.
    #[must_use]
    pub fn from_wire(headers: Vec<(String, String)>, data: Bytes) -> Self {
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let Ok(Some(attributes)) = cloudevents::read_message(pairs) else {
            return Self { attributes: None, headers, data };
        };
        let headers = headers.into_iter().filter(|(name, _)| !is_attribute(name)).collect();
        Self { attributes: Some(attributes), headers, data }
    }

    /// The first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// As JSON for people and dashboards: `data` where the data is JSON, `text` where it is other
/// text, else `data_base64`.
impl Serialize for Message {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        let mut map = to.serialize_map(None)?;
        if let Some(attributes) = &self.attributes {
            map.serialize_entry("attributes", &json(attributes))?;
        }
        map.serialize_entry("headers", &self.headers)?;
        if let Ok(raw) = serde_json::from_slice::<&serde_json::value::RawValue>(&self.data) {
            map.serialize_entry("data", raw)?;
        } else if let Ok(text) = std::str::from_utf8(&self.data) {
            map.serialize_entry("text", text)?;
        } else {
            let text = base64::engine::general_purpose::STANDARD.encode(&self.data);
            map.serialize_entry("data_base64", &text)?;
        }
        map.end()
    }
}

/// The attributes by their names in the CloudEvents JSON format.
fn json(attributes: &Attributes) -> serde_json::Map<String, serde_json::Value> {
    let mut map = serde_json::Map::new();
    let mut put = |name: &str, value: Option<&String>| {
        if let Some(value) = value {
            map.insert(name.to_owned(), value.as_str().into());
        }
    };
    put("specversion", Some(&"1.0".to_owned()));
    put("id", Some(&attributes.id));
    put("source", Some(&attributes.source));
    put("type", Some(&attributes.kind));
    put("subject", attributes.subject.as_ref());
    put("time", attributes.time.as_ref());
    put("datacontenttype", attributes.datacontenttype.as_ref());
    put("dataschema", attributes.dataschema.as_ref());
    for (name, value) in &attributes.extensions {
        let value = match value {
            Value::String(text) => text.as_str().into(),
            Value::Integer(number) => (*number).into(),
            Value::Boolean(yes) => (*yes).into(),
        };
        map.insert(name.clone(), value);
    }
    map
}

/// The id by which a broker, or who reads from it, knows a message again: the hash of the event's
/// identity and the address that it is published to, so that one event may go to several subjects
/// of one stream.
pub(crate) fn id(identity: &Identity, upstream: &str, function: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(identity.0);
    for part in [upstream, function] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The ingress makes events of requests for targets that take events.
fn no_event() -> Fault {
    Fault::new(Class::Internal, "the target takes events, and the request was not made one")
}

fn structured() -> (String, String) {
    (CONTENT_TYPE.to_string(), cloudevents::STRUCTURED_JSON.to_owned())
}

fn is_attribute(name: &str) -> bool {
    name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("ce-"))
}

/// What the request was. Left out where it says nothing: `POST /` without a query, which is also
/// what a call has that never was an HTTP request.
fn request_line(head: &Head) -> Vec<(String, String)> {
    let (path, query) = (head.uri.path(), head.uri.query());
    if head.method == http::Method::POST && path == "/" && query.is_none() {
        return Vec::new();
    }
    let mut said = vec![
        ("http-method".to_owned(), head.method.to_string()),
        ("http-path".to_owned(), path.to_owned()),
    ];
    said.extend(query.map(|query| ("http-query".to_owned(), query.to_owned())));
    said
}

/// The headers that travel beside the data. A caller never writes what the broker or the
/// CloudEvents binding reads as its own: `Nats-Rollup` alone could empty a stream.
fn forwarded(head: &Head) -> Result<Vec<(String, String)>, Fault> {
    let ours = |name: &str| {
        [CONTENT_TYPE.as_str(), CONTENT_LENGTH.as_str(), HOST.as_str()].contains(&name)
            || ["nats-", "ce-", "cloudevents_"].iter().any(|start| name.starts_with(start))
            || ["http-method", "http-path", "http-query"].contains(&name)
    };
    head.headers
        .iter()
        .filter(|(name, _)| !ours(name.as_str()))
        .map(|(name, value)| Ok((name.to_string(), text(name.as_str(), value)?)))
        .collect()
}

fn content_type(call: &Call) -> Result<Option<String>, Fault> {
    if let Some(value) = call.head.headers.get(CONTENT_TYPE) {
        return text(CONTENT_TYPE.as_str(), value).map(Some);
    }
    Ok(call.event.attributes().and_then(|attributes| attributes.datacontenttype.clone()))
}

fn text(name: &str, value: &http::HeaderValue) -> Result<String, Fault> {
    std::str::from_utf8(value.as_bytes()).map(str::to_owned).map_err(|_| {
        Fault::new(
            Class::BadRequest,
            format!("the header {name} is not UTF-8, which a message cannot carry"),
        )
    })
}

fn broken(error: BodyError) -> Fault {
    let (class, detail) = match &error {
        BodyError::TooLarge { limit } => {
            (Class::TooLarge, format!("the broker takes messages of at most {limit} bytes"))
        }
        BodyError::Idle { .. } => {
            (Class::RequestTimeout, "the body of the request stopped arriving".to_owned())
        }
        BodyError::Slow { .. } => (Class::RequestTimeout, error.to_string()),
        BodyError::Broken(_) => (Class::Cancelled, "the body of the request broke off".to_owned()),
    };
    Fault::new(class, detail).because(error)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use http::{HeaderValue, Method};

    use super::*;

    fn attributes() -> Attributes {
        Attributes {
            id: "1".into(),
            source: "/here".into(),
            kind: "made".into(),
            datacontenttype: Some("text/plain".into()),
            ..Attributes::default()
        }
    }

    fn call(format: Format, context: Context) -> Call {
        let mut call = Call::new("a.b", Body::from(Bytes::from_static(b"hello")), Instant::now());
        call.format = format;
        call.event.context = context;
        call
    }

    #[tokio::test]
    async fn an_event_travels_in_the_mode_that_is_asked_for() {
        let event = |mode| Context::Event(Box::new(attributes()), mode);
        for (format, context, binary) in [
            (Format::Binary, event(Mode::Structured), true),
            (Format::Auto, event(Mode::Binary), true),
            (Format::Auto, event(Mode::Structured), false),
            (Format::Structured, event(Mode::Binary), false),
        ] {
            let message = Message::of(&mut call(format, context), 100).await.unwrap();
            assert_eq!(message.attributes.is_some(), binary);
            if binary {
                assert_eq!(message.data, "hello");
            } else {
                assert_eq!(message.header("Content-Type"), Some(cloudevents::STRUCTURED_JSON));
            }
        }
    }

    #[tokio::test]
    async fn a_document_that_nobody_has_read_is_passed_on_or_taken_apart() {
        let document =
            br#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1.10}}"#;
        let opaque = |format| {
            let mut call = call(format, Context::Opaque(Mode::Structured));
            call.event.data = Body::from(Bytes::from_static(document));
            call
        };
        let message = Message::of(&mut opaque(Format::Auto), 100).await.unwrap();
        assert_eq!(message.data, &document[..]);
        let message = Message::of(&mut opaque(Format::Binary), 100).await.unwrap();
        assert_eq!(message.attributes.unwrap().kind, "t");
        assert_eq!(message.data, r#"{"a":1.10}"#);
        let mut bad = call(Format::Binary, Context::Opaque(Mode::Structured));
        assert_eq!(Message::of(&mut bad, 100).await.unwrap_err().class, Class::BadRequest);
    }

    #[tokio::test]
    async fn a_plain_request_keeps_its_line_and_its_content_type() {
        let mut call = call(Format::Plain, Context::Plain);
        call.head.method = Method::PUT;
        call.head.uri = "/a/b?c=d".parse().unwrap();
        for (name, value) in [("content-type", "text/csv"), ("x-tenant", "t1"), ("host", "h")] {
            call.head.headers.insert(name, HeaderValue::from_static(value));
        }
        let message = Message::of(&mut call, 100).await.unwrap();
        let expected = [
            ("http-method", "PUT"),
            ("http-path", "/a/b"),
            ("http-query", "c=d"),
            ("x-tenant", "t1"),
            ("content-type", "text/csv"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(message.headers, expected);
    }

    #[tokio::test]
    async fn a_caller_cannot_write_headers_that_steer_the_broker() {
        let mut call = call(Format::Plain, Context::Plain);
        for name in ["nats-rollup", "nats-msg-id", "ce-id", "http-path"] {
            call.head.headers.insert(name, HeaderValue::from_static("all"));
        }
        assert_eq!(Message::of(&mut call, 100).await.unwrap().headers, []);
    }

    #[tokio::test]
    async fn what_a_message_cannot_carry_is_refused_and_the_call_stays_whole() {
        let mut bad = call(Format::Plain, Context::Plain);
        bad.head.headers.insert("x", HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(Message::of(&mut bad, 100).await.unwrap_err().class, Class::BadRequest);
        assert_eq!(bad.event.data.whole().unwrap(), "hello");

        let mut large = call(Format::Plain, Context::Plain);
        assert_eq!(Message::of(&mut large, 4).await.unwrap_err().class, Class::TooLarge);

        let mut batch = call(Format::Auto, Context::Opaque(Mode::Batch));
        assert_eq!(Message::of(&mut batch, 100).await.unwrap_err().class, Class::UnsupportedMedia);
    }

    #[test]
    fn data_is_shown_as_json_text_or_base64() {
        for (data, shown) in [
            (&b"{\"a\":1.10}"[..], r#"{"headers":[],"data":{"a":1.10}}"#),
            (b"hi", r#"{"headers":[],"text":"hi"}"#),
            (b"\xff", r#"{"headers":[],"data_base64":"/w=="}"#),
        ] {
            let message = Message { data: Bytes::copy_from_slice(data), ..Message::default() };
            assert_eq!(serde_json::to_string(&message).unwrap(), shown);
        }
    }

    #[test]
    fn the_message_id_differs_by_identity_upstream_and_subject() {
        let id = |identity, upstream, subject| id(&Identity([identity; 32]), upstream, subject);
        let one = id(1, "bus", "a.b");
        assert_eq!(one.len(), 64);
        assert_eq!(one, id(1, "bus", "a.b"));
        for other in [id(2, "bus", "a.b"), id(1, "bus", "a.c"), id(1, "busa", ".b")] {
            assert_ne!(one, other);
        }
    }
}
