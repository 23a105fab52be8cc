//! Every event through every pair of modes, and noise into every decoder.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{parts, structured};
use crate::{
    Attributes, Value,
    cloudevents::{
        arrival, check, decode_value, message_headers, read_batch, read_binary, read_message,
        read_structured, write_batch, write_binary, write_structured,
    },
};

/// One way to send an event and to read it again.
#[derive(Clone, Copy, Debug)]
enum Way {
    Binary,
    Structured,
    Batch,
    Message,
}

const WAYS: [Way; 4] = [Way::Binary, Way::Structured, Way::Batch, Way::Message];

impl Way {
    fn through(self, attributes: &Attributes, data: &Bytes) -> (Attributes, Bytes) {
        match self {
            Self::Binary => {
                let mut headers = HeaderMap::new();
                write_binary(attributes, &mut headers);
                assert_eq!(arrival(&headers), crate::cloudevents::Arrival::Binary);
                (read_binary(&headers).unwrap(), data.clone())
            }
            Self::Structured => structured(write_structured(attributes, data)).unwrap(),
            Self::Batch => {
                let batch = write_batch(&[(attributes, data), (attributes, data)]);
                let mut events = read_batch(&batch).unwrap();
                assert_eq!(events.len(), 2);
                parts(events.remove(1))
            }
            Self::Message => {
                let headers = message_headers(attributes);
                let lines = headers.iter().map(|(name, value)| (&**name, &**value));
                (read_message(lines).unwrap().unwrap(), data.clone())
            }
        }
    }
}

/// The attributes with all values as texts, which is all that headers keep of a type.
fn as_texts(mut attributes: Attributes) -> Attributes {
    for (_, value) in &mut attributes.extensions {
        *value = Value::String(value.text().into_owned());
    }
    attributes.extensions.sort_by(|(a, _), (b, _)| a.cmp(b));
    attributes
}

fn text() -> impl Strategy<Value = String> {
    let free = any::<String>().prop_map(|text| {
        text.chars().filter(|c| check::string(c.encode_utf8(&mut [0; 4]))).collect()
    });
    prop_oneof![free, "[ -~]{0,20}", "(%[0-9A-F]{2}|\"|\\\\|€| ){0,6}"]
}

fn some_text() -> impl Strategy<Value = String> {
    text().prop_map(|text: String| if text.is_empty() { "x".to_owned() } else { text })
}

pub(super) fn attributes() -> impl Strategy<Value = Attributes> {
    let source = "(https://[a-z.]{1,9}:80)?/[a-z:@%A-F]{0,9}(\\?[a-z/=]{0,5})?(#[a-z]{0,5})?|urn:[a-z%2-5]{1,9}|[a-z.]{1,5}"
        .prop_filter("a URI reference", |text| check::uri_reference(text));
    let media_types = select(vec![
        "application/json",
        "application/json; charset=utf-8",
        "a/B+JSON",
        "text/plain",
        "text/plain; charset=iso-8859-1",
        "multipart/mixed; boundary=\"a \\\" b\"",
        "application/octet-stream",
    ]);
    let times = select(vec![
        "2018-04-05T17:31:00Z",
        "2018-04-05t17:31:00.10+02:00",
        "1990-12-31T23:59:60z",
    ]);
    let value = prop_oneof![
        text().prop_map(Value::String),
        any::<i32>().prop_map(Value::Integer),
        any::<bool>().prop_map(Value::Boolean)
    ];
    let extensions = vec(("x[a-z0-9]{0,8}", value), 0..5).prop_map(|mut extensions| {
        extensions.sort_by(|(a, _): &(String, Value), (b, _)| a.cmp(b));
        extensions.dedup_by(|(a, _), (b, _)| a == b);
        extensions
    });
    let optional = (
        option::of(some_text()),
        option::of(times.prop_map(str::to_owned)),
        option::of(media_types.prop_map(str::to_owned)),
        option::of("[a-z]{1,5}:[a-z/]{0,9}(#[a-z/]{0,5})?"),
    );
    (some_text(), source, some_text(), optional, extensions).prop_map(
        |(id, source, kind, (subject, time, datacontenttype, dataschema), extensions)| Attributes {
            id,
            source,
            kind,
            subject,
            time,
            datacontenttype,
            dataschema,
            extensions,
        },
    )
}

pub(super) fn data() -> impl Strategy<Value = Bytes> {
    let json = select(vec![
        "null",
        "{ \"b\" : 1.10, \"a\": 123456789012345678901234567890 }",
        " 1",
        "1\n",
        "\"\\ud800\"",
        "\"hi\"",
        "[]",
        "",
    ]);
    prop_oneof![
        vec(any::<u8>(), 0..40).prop_map(Bytes::from),
        json.prop_map(Bytes::from),
        any::<String>().prop_map(Bytes::from),
    ]
}

proptest! {
    #[test]
    fn an_event_is_the_same_after_every_pair_of_ways(attributes in attributes(), data in data()) {
        prop_assert_eq!(attributes.check(), Ok(()));
        for first in WAYS {
            let (one, bytes) = first.through(&attributes, &data);
            for second in WAYS {
                let (two, bytes) = second.through(&one, &bytes);
                prop_assert_eq!(&as_texts(two), &as_texts(attributes.clone()), "{:?} {:?}", first, second);
                prop_assert_eq!(&bytes, &data, "{:?} {:?}", first, second);
            }
        }
        let (typed, _) = Way::Structured.through(&attributes, &data);
        prop_assert_eq!(typed, attributes);
    }

    #[test]
    fn no_body_panics_and_what_is_read_can_be_written(noise in vec(any::<u8>(), 0..200)) {
        decoded(&Bytes::from(noise));
    }

    #[test]
    fn no_nearly_good_body_panics(
        name in "(id|data|data_base64|datacontenttype|time|x|[\"\\\\a-z]{0,3})",
        value in "(\"[ -~é]{0,9}\"|-?[0-9.e]{1,5}|null|true|\\{[\"a:1,]{0,6}\\}|\\[[1,\" ]{0,5}\\])",
        at in 0_usize..80,
        by in any::<u8>(),
    ) {
        let json = super::envelope(&format!("\"{name}\":{value}"));
        decoded(&Bytes::from(json.clone()));
        decoded(&Bytes::from(format!("[{json}]")));
        let mut broken = json.into_bytes();
        if let Some(byte) = broken.get_mut(at) {
            *byte = by;
        }
        decoded(&Bytes::from(broken));
    }

    #[test]
    fn no_header_panics(lines in vec(("(ce-[a-z_]{0,4}|ce-(id|type|source|specversion|time)|content-type)", vec(any::<u8>(), 0..20)), 0..12)) {
        let mut headers = HeaderMap::new();
        for (name, value) in &lines {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(HeaderName::try_from(name).unwrap(), value);
            }
        }
        drop(arrival(&headers));
        if let Ok(attributes) = read_binary(&headers) {
            prop_assert_eq!(attributes.check(), Ok(()));
        }
        let texts: Vec<_> = lines.iter().map(|(name, value)| (&**name, String::from_utf8_lossy(value))).collect();
        if let Ok(Some(attributes)) = read_message(texts.iter().map(|(name, value)| (*name, &**value))) {
            prop_assert_eq!(attributes.check(), Ok(()));
        }
        for (_, value) in &lines {
            drop(decode_value(value));
        }
    }
}

/// Gives the bytes to both decoders of bodies; what they accept must come back from the encoder.
fn decoded(bytes: &Bytes) {
    let one = read_structured(bytes).into_iter();
    for event in one.chain(read_batch(bytes).into_iter().flatten()) {
        let (attributes, data) = parts(event);
        assert_eq!(attributes.check(), Ok(()));
        assert_eq!(Way::Structured.through(&attributes, &data), (attributes, data));
    }
}
