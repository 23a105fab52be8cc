//! The official SDK (`cloudevents-sdk` 0.9) beside ours: where both agree, and every case found where
//! it breaks the specification. docs/decisions/0001-own-event-type.md tells the same as a table.

use bytes::Bytes;
use cloudevents::Event as Theirs;
use proptest::prelude::*;

use super::{envelope, parts, round_trip, structured};
use crate::{Attributes, Context, Event, Mode, Value};

/// What the SDK makes of an event with these members, written by it and read by us.
fn through_theirs(members: &str) -> (Attributes, Bytes) {
    let theirs: Theirs = serde_json::from_str(&envelope(members)).unwrap();
    structured(serde_json::to_string(&theirs).unwrap()).unwrap()
}

fn theirs(members: &str) -> Option<Theirs> {
    serde_json::from_str(&envelope(members)).ok()
}

fn ours(members: &str) -> Option<(Attributes, Bytes)> {
    structured(envelope(members)).ok()
}

#[test]
fn both_agree_on_common_events() {
    for members in [
        "",
        r#""subject": "a € b""#,
        r#""time": "2018-04-05T17:31:00Z""#,
        r#""dataschema": "https://example.com/schema""#,
        r#""datacontenttype": "text/plain", "data": "text""#,
        r#""datacontenttype": "application/xml", "data_base64": "PGEvPg==""#,
        r#""datacontenttype": "application/json", "data": {"a":[1,"b",null,true]}"#,
        r#""data": {"a":1}"#,
        r#""i": -5, "b": true, "s": "x", "gone": null"#,
    ] {
        let by_us = ours(members).unwrap();
        let by_them = Event::try_from(theirs(members).unwrap()).map(parts).unwrap();
        let sorted = |(mut attributes, data): (Attributes, Bytes)| {
            attributes.extensions.sort_by(|(a, _): &(String, Value), (b, _)| a.cmp(b));
            (attributes, data)
        };
        assert_eq!(sorted(by_them), sorted(by_us), "{members}");
    }
    for members in [
        r#""time": "lunchtime""#,
        r#""time": "2018-04-05T17:31Z""#,
        r#""dataschema": "relative""#,
        r#""subject": 5"#,
        r#""ext": 1.5"#,
        r#""ext": {}"#,
        r#""data": 1, "data_base64": "AA==""#,
        r#""data_base64": "AA""#,
        r#""datacontenttype": "text/plain", "data": {}"#,
        r#""ext": "\udead""#,
    ] {
        assert!(theirs(members).is_none() && ours(members).is_none(), "{members}");
    }
}

/// Events that the specification forbids and the SDK takes.
const TAKEN: [(&str, &str); 20] = [
    ("an empty subject", r#""subject": """#),
    ("an empty content type", r#""datacontenttype": """#),
    ("a content type that is none", r#""datacontenttype": "xyz""#),
    ("an upper-case name", r#""Ext": 1"#),
    ("a name with punctuation", r#""my_ext": 1"#),
    ("a name beyond ASCII", r#""größe": 1"#),
    ("an empty name", r#""": 1"#),
    ("an integer of more than 32 bits", r#""ext": 9999999999"#),
    ("a control character in an extension", r#""ext": "a\nb""#),
    ("a control character in the subject", r#""subject": "\u0085""#),
    ("a noncharacter", r#""ext": "\uffff""#),
    ("an attribute twice", r#""ext": 1, "ext": 2"#),
    ("data twice", r#""data": 1, "data": 2"#),
    ("a blank between date and time", r#""time": "2018-04-05 17:31:00Z""#),
    ("a leap second at noon", r#""time": "2018-04-05T12:00:60Z""#),
    ("a schema with a blank", r#""dataschema": "https://example.com/a b""#),
    ("a schema beyond ASCII", r#""dataschema": "https://example.com/ü""#),
    ("a schema with blanks around", r#""dataschema": " https://example.com/ ""#),
    ("a schema with a broken percent-encoding", r#""dataschema": "https://example.com/%zz""#),
    ("a schema with backslashes", r#""dataschema": "https:\\\\example.com\\x""#),
];

/// Events that the specification allows and the SDK refuses.
const REFUSED: [(&str, &str); 7] = [
    (
        "JSON by suffix with a parameter",
        r#""datacontenttype": "a/b+json; charset=utf-8", "data": {}"#,
    ),
    ("JSON in capitals", r#""datacontenttype": "Application/JSON", "data": {}"#),
    ("JSON of another top-level type", r#""datacontenttype": "x/json", "data": {}"#),
    ("half a surrogate pair inside data", r#""data": "\ud800""#),
    ("a number beyond a double", r#""data": 1e999"#),
    ("data_base64 that is unset", r#""data_base64": null"#),
    ("a schema that is a URI and no URL", r#""dataschema": "http:""#),
];

/// Events that come out of the SDK as others than went in. Whether it keeps the order of keys inside
/// data depends on which features of `serde_json` a program has, so that is not here.
const CHANGED: [(&str, &str); 13] = [
    ("a large whole number", r#""data": 123456789012345678901234567890"#),
    ("a long fraction", r#""data": 0.12345678901234567890123"#),
    ("a closing zero", r#""data": 1.10"#),
    ("an exponent", r#""data": 1E2"#),
    ("a key twice inside data", r#""data": {"a":1,"a":2}"#),
    ("blanks inside data", r#""data": { "a" : 1 }"#),
    ("escapes inside data", r#""data": "\u0041\/""#),
    (
        "bytes without a content type that look like JSON",
        r#""data_base64": "eyAieHl6IjogMTIzIH0=""#,
    ),
    ("bytes of a JSON type", r#""datacontenttype": "application/json", "data_base64": "WzEsIDJd""#),
    ("the offset of a time", r#""time": "2018-04-05T17:31:00+02:00""#),
    ("the digits of a time", r#""time": "2018-04-05T17:31:00.000Z""#),
    ("a schema without slashes", r#""dataschema": "https:example.com""#),
    ("a schema without a path", r#""dataschema": "https://example.com""#),
];

#[test]
fn the_sdk_takes_events_that_the_specification_forbids() {
    let mut others = TAKEN.to_vec();
    others.retain(|(_, members)| theirs(members).is_none() || ours(members).is_some());
    assert_eq!(others, []);
    for (name, value) in [("id", "1"), ("source", "/s"), ("type", "t")] {
        let json =
            envelope("").replace(&format!(r#""{name}":"{value}""#), &format!(r#""{name}":"""#));
        assert!(serde_json::from_str::<Theirs>(&json).is_ok(), "an empty {name}: theirs");
        assert!(structured(json).is_err(), "an empty {name}: ours");
    }
    for source in ["a b", "http://[x", "%", "1a:b", "€"] {
        let json = envelope("").replace("/s", source);
        assert!(serde_json::from_str::<Theirs>(&json).is_ok(), "the source {source:?}: theirs");
        assert!(structured(json).is_err(), "the source {source:?}: ours");
    }
}

#[test]
fn the_sdk_refuses_events_that_the_specification_allows() {
    let mut others = REFUSED.to_vec();
    others.retain(|(_, members)| theirs(members).is_some() || ours(members).is_none());
    assert_eq!(others, []);
    let deep = format!(r#""data": {}{}"#, "[".repeat(200), "]".repeat(200));
    assert!(theirs(&deep).is_none() && ours(&deep).is_some(), "data of depth 200");
}

#[test]
fn the_sdk_changes_events_on_their_way() {
    let mut others = CHANGED.to_vec();
    others.retain(|(_, members)| through_theirs(members) == ours(members).unwrap());
    assert_eq!(others, []);
    for (what, members) in CHANGED {
        let (attributes, data) = ours(members).unwrap();
        let again = structured(crate::cloudevents::write_structured(&attributes, &data)).unwrap();
        assert_eq!(again, (attributes, data), "{what}");
    }
}

proptest! {
    #[test]
    fn an_event_goes_to_the_sdk_and_back(attributes in round_trip::attributes(), data in round_trip::data()) {
        let event = Event {
            context: Context::Event(Box::new(attributes.clone()), Mode::Binary),
            data: data.clone().into(),
        };
        if let Ok(theirs) = Theirs::try_from(event) {
            let (back, bytes) = Event::try_from(theirs).map(parts).unwrap();
            prop_assert_eq!(bytes, data);
            prop_assert_eq!(back.time.is_some(), attributes.time.is_some());
            prop_assert_eq!(back.dataschema.is_some(), attributes.dataschema.is_some());
            // The forms of these two are the SDK's own.
            let mut expected = Attributes { time: back.time.clone(), dataschema: back.dataschema.clone(), ..attributes };
            expected.extensions.sort_by(|(a, _), (b, _)| a.cmp(b));
            prop_assert_eq!(back, expected);
        }
    }
}

#[test]
fn what_the_sdk_holds_against_the_rules_is_refused_on_its_way_in() {
    for members in [r#""subject": """#, r#""my_ext": 1"#, r#""ext": 9999999999"#] {
        assert!(Event::try_from(theirs(members).unwrap()).is_err(), "{members}");
    }
    let old = envelope("").replace("1.0", "0.3");
    let old: Theirs = serde_json::from_str(&old).unwrap();
    let malformed = Event::try_from(old).unwrap_err();
    assert_eq!(malformed.attribute.as_deref(), Some("specversion"));
}

#[test]
fn what_the_sdk_cannot_hold_is_refused_on_its_way_out() {
    assert!(Theirs::try_from(Event::default()).is_err());
    let (attributes, _) = ours(r#""dataschema": "http:""#).unwrap();
    let context = Context::Event(Box::new(attributes), Mode::Binary);
    let malformed = Theirs::try_from(Event { context, data: crate::Body::empty() }).unwrap_err();
    assert_eq!(malformed.attribute.as_deref(), Some("dataschema"));
}
