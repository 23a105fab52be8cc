use std::time::Instant;

use http::HeaderName;
use schemas::Value;

use super::*;

fn attributes() -> Attributes {
    Attributes {
        id: "1".into(),
        source: "/s".into(),
        kind: "t".into(),
        datacontenttype: Some("text/plain".into()),
        extensions: vec![("x".into(), Value::Boolean(true))],
        ..Attributes::default()
    }
}

fn event(mode: Mode) -> Context {
    Context::Event(Box::new(attributes()), mode)
}

/// A call as it came: `headers` and `body` speak of the event in the mode of its context.
fn call(format: Format, context: Context, headers: &[(&str, &str)], body: &'static str) -> Call {
    let mut call = Call::new("", Body::from(Bytes::from_static(body.as_bytes())), Instant::now());
    call.format = format;
    call.event.context = context;
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        call.head.headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    call
}

fn header<'c>(call: &'c Call, name: &str) -> Option<&'c str> {
    call.head.headers.get(name).map(|value| value.to_str().unwrap())
}

fn data(call: &Call) -> Bytes {
    call.event.data.whole().unwrap()
}

const BINARY: [(&str, &str); 6] = [
    ("ce-specversion", "1.0"),
    ("ce-id", "1"),
    ("ce-source", "/s"),
    ("ce-type", "t"),
    ("content-type", "text/plain"),
    ("content-length", "4"),
];
const DOCUMENT: [(&str, &str); 2] = [("content-type", STRUCTURED_JSON), ("content-length", "99")];

#[test]
fn what_needs_no_change_is_not_touched() {
    for (format, context) in [
        (Format::Auto, Context::Plain),
        (Format::Auto, Context::Opaque(Mode::Structured)),
        (Format::Auto, Context::Opaque(Mode::Batch)),
        (Format::Auto, event(Mode::Binary)),
        (Format::Structured, Context::Opaque(Mode::Structured)),
    ] {
        let mut call = call(format, context, &BINARY, "data");
        let before = call.head.headers.clone();
        let written = write(&mut call).unwrap();
        assert_eq!((&call.head.headers, data(&call)), (&before, "data".into()));
        assert!(written.0.is_none());
    }
}

#[test]
fn an_event_is_written_as_one_document_and_comes_back_as_it_was() {
    for (format, mode) in [
        (Format::Auto, Mode::Structured),
        (Format::Auto, Mode::Batch),
        (Format::Structured, Mode::Structured),
        (Format::Structured, Mode::Binary),
    ] {
        let mut call = call(format, event(mode), &BINARY, "data");
        let written = write(&mut call).unwrap();
        assert_eq!(header(&call, "content-type"), Some(STRUCTURED_JSON));
        assert_eq!(header(&call, "content-length"), None);
        assert_eq!(header(&call, "ce-id"), None);
        let document = cloudevents::write_structured(&attributes(), &Bytes::from_static(b"data"));
        assert_eq!(data(&call), document);
        assert_eq!(data(&written.undo(call)), "data");
    }
}

#[test]
fn an_event_is_written_into_headers() {
    for (mode, headers) in
        [(Mode::Binary, &BINARY[..]), (Mode::Structured, &DOCUMENT[..]), (Mode::Batch, &DOCUMENT)]
    {
        let mut call = call(Format::Binary, event(mode), headers, "data");
        assert!(write(&mut call).unwrap().0.is_none());
        assert_eq!(header(&call, "ce-id"), Some("1"));
        assert_eq!(header(&call, "ce-type"), Some("t"));
        assert_eq!(header(&call, "content-type"), Some("text/plain"));
        assert_ne!(header(&call, "content-length"), Some("99"));
        assert_eq!(data(&call), "data");
    }
}

#[test]
fn data_alone_has_no_attributes() {
    for (context, headers) in [
        (Context::Plain, &BINARY[..]),
        (event(Mode::Binary), &BINARY[..]),
        (event(Mode::Structured), &DOCUMENT[..]),
    ] {
        let mut call = call(Format::Plain, context, headers, "data");
        write(&mut call).unwrap();
        assert!(call.head.headers.keys().all(|name| !name.as_str().starts_with("ce-")));
        assert_eq!(header(&call, "content-type"), Some("text/plain"));
        assert_ne!(header(&call, "content-length"), Some("99"));
        assert_eq!(data(&call), "data");
    }
}

#[test]
fn what_was_not_read_cannot_be_written_in_another_form() {
    for (format, context) in [
        (Format::Binary, Context::Plain),
        (Format::Structured, Context::Plain),
        (Format::Binary, Context::Opaque(Mode::Structured)),
        (Format::Plain, Context::Opaque(Mode::Structured)),
        (Format::Structured, Context::Opaque(Mode::Batch)),
    ] {
        let fault = write(&mut call(format, context, &[], "")).unwrap_err();
        assert_eq!(fault.class, Class::Internal);
    }
}
