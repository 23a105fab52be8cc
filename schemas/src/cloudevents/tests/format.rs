//! The JSON format: good and bad events, and what becomes of their data.

use super::{envelope, structured};
use crate::{
    Attributes, Context, Mode, Value,
    cloudevents::{read_batch, read_structured, write_batch, write_structured},
};
use bytes::Bytes;

/// The data's bytes and content type that an event with these members has.
#[track_caller]
fn data(members: &str) -> (String, Option<String>) {
    let (attributes, data) = structured(envelope(members)).unwrap();
    (String::from_utf8(data.to_vec()).unwrap(), attributes.datacontenttype)
}

#[test]
fn data_becomes_the_bytes_that_the_content_type_says() {
    let json = Some("application/json");
    for (members, bytes, media_type) in [
        ("", "", None),
        // Without a content type, `data` is JSON, and says so from here on.
        (r#""data": {"a" : 1}"#, r#"{"a" : 1}"#, json),
        (r#""data": "text""#, r#""text""#, json),
        (r#""data": null"#, "null", json),
        (r#""data": 1.10e-0"#, "1.10e-0", json),
        (r#""datacontenttype": null, "data": [ ]"#, "[ ]", json),
        (r#""data": true, "data_base64": null"#, "true", json),
        // Nothing is known of bytes without one.
        (r#""data_base64": "e30=""#, "{}", None),
        (r#""data_base64": """#, "", None),
        // JSON types: a string stays JSON.
        (r#""datacontenttype": "application/json", "data": "{}""#, r#""{}""#, json),
        (r#""data": "a\u0062", "datacontenttype": "text/JSON""#, r#""a\u0062""#, Some("text/JSON")),
        (
            r#""datacontenttype": "application/vnd.x+json; charset=utf-8", "data": {}"#,
            "{}",
            Some("application/vnd.x+json; charset=utf-8"),
        ),
        (r#""datacontenttype": "application/json", "data_base64": "WzEsIDJd""#, "[1, 2]", json),
        // Other types: what a string says.
        (
            r#""datacontenttype": "text/plain", "data": "a\tb \"c\" \u20ac""#,
            "a\tb \"c\" €",
            Some("text/plain"),
        ),
        (r#""datacontenttype": "text/plain", "data": """#, "", Some("text/plain")),
        (
            r#""datacontenttype": "text/xml; charset=UTF-8", "data": "<ü/>""#,
            "<ü/>",
            Some("text/xml; charset=UTF-8"),
        ),
        (
            r#""datacontenttype": "text/xml; charset=iso-8859-1", "data": "<u/>""#,
            "<u/>",
            Some("text/xml; charset=iso-8859-1"),
        ),
        (r#""datacontenttype": "text/plain", "data_base64": "aGk=""#, "hi", Some("text/plain")),
    ] {
        let expected = (bytes.to_owned(), media_type.map(str::to_owned));
        assert_eq!(data(members), expected, "{members}");
    }
}

#[test]
fn json_data_keeps_every_byte() {
    for json in [
        "123456789012345678901234567890",
        "1.10",
        "-0.0e+1",
        r#"{"b":1, "a":2,"b":3}"#,
        "{\n\t\"a\" :\r [ 1 ,2 ]\n}",
        r#""\u00e9\/\ud83d\ude00 é""#,
        r#""\ud800""#,
        "[[[[]]]]",
    ] {
        let members = format!("\"data\" : \n{json} \t");
        assert_eq!(data(&members).0, json);
        let (attributes, bytes) = structured(envelope(&members)).unwrap();
        let again = String::from_utf8(write_structured(&attributes, &bytes).to_vec()).unwrap();
        assert!(again.ends_with(&format!("\"data\":{json}}}")), "{again}");
    }
}

#[test]
fn data_is_a_slice_of_what_arrived_and_no_copy() {
    let whole = Bytes::from(envelope(r#""data": {"a": 1}"#));
    let data = read_structured(&whole).unwrap().data.whole().unwrap();
    assert!(whole.as_ptr_range().contains(&data.as_ptr()));
}

#[test]
fn only_bare_json_of_a_json_type_is_embedded() {
    for (media_type, data, member) in [
        (Some("application/json"), "{ }", r#""data":{ }"#),
        (Some("a/b+json; c=d"), "null", r#""data":null"#),
        (Some("application/json"), " {}", r#""data_base64":"IHt9""#),
        (Some("application/json"), "{}\n", r#""data_base64":"e30K""#),
        (Some("application/json"), "{", r#""data_base64":"ew==""#),
        (Some("application/json"), "{}{}", r#""data_base64":"e317fQ==""#),
        (Some("application/json"), "\u{feff}1", r#""data_base64":"77u/MQ==""#),
        (Some("text/plain"), "\"hi\"", r#""data_base64":"ImhpIg==""#),
        (Some("text/plain"), "hi", r#""data_base64":"aGk=""#),
        (None, "{}", r#""data_base64":"e30=""#),
    ] {
        let attributes = Attributes {
            id: "1".to_owned(),
            source: "/s".to_owned(),
            kind: "t".to_owned(),
            datacontenttype: media_type.map(str::to_owned),
            ..Attributes::default()
        };
        let data = Bytes::from(data);
        let written = write_structured(&attributes, &data);
        let text = str::from_utf8(&written).unwrap();
        assert!(text.ends_with(&format!(",{member}}}")), "{text}");
        assert_eq!(structured(written).unwrap(), (attributes, data));
    }
}

#[test]
fn latin1_json_is_never_embedded() {
    let (mut attributes, _) = structured(envelope("")).unwrap();
    attributes.datacontenttype = Some("application/json".to_owned());
    let data = Bytes::from_static(b"\"caf\xe9\"");
    let written = write_structured(&attributes, &data);
    assert_eq!(structured(written).unwrap(), (attributes, data));
}

#[test]
fn attributes_are_mapped_by_their_json_type() {
    let (attributes, _) = structured(envelope(
        r#" "subject": "a\u0062 \ud83d\ude00", "time" : null, "n": -2147483648, "b": false, "s": "", "zero": -0, "gone": null"#,
    ))
    .unwrap();
    assert_eq!(attributes.subject.as_deref(), Some("ab 😀"));
    assert_eq!(attributes.time, None);
    let expected = [
        ("n".to_owned(), Value::Integer(i32::MIN)),
        ("b".to_owned(), Value::Boolean(false)),
        ("s".to_owned(), Value::String(String::new())),
        ("zero".to_owned(), Value::Integer(0)),
    ];
    assert_eq!(attributes.extensions, expected);
}

#[test]
fn an_event_is_written_with_its_attributes_in_one_order() {
    let json = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"\"€\"","time":"2018-04-05T17:31:00Z","datacontenttype":"text/json","dataschema":"x:y","b":true,"a":-1,"data":[]}"#;
    let (attributes, data) = structured(json).unwrap();
    assert_eq!(write_structured(&attributes, &data), json);
}

#[test]
fn what_is_no_event_is_refused_and_named() {
    for (attribute, members) in [
        // JSON types of attributes.
        (Some("subject"), r#""subject": 5"#),
        (Some("subject"), r#""subject": true"#),
        (Some("subject"), r#""subject": ["x"]"#),
        (Some("ext"), r#""ext": {"a": 1}"#),
        (Some("ext"), r#""ext": []"#),
        (Some("ext"), r#""ext": 1.0"#),
        (Some("ext"), r#""ext": 1e2"#),
        (Some("ext"), r#""ext": 2147483648"#),
        (Some("ext"), r#""ext": -2147483649"#),
        (Some("ext"), r#""ext": 123456789012345678901234567890"#),
        // Texts.
        (Some("ext"), r#""ext": "a\nb""#),
        (Some("ext"), r#""ext": "\u0085""#),
        (Some("ext"), r#""ext": "\uffff""#),
        (Some("ext"), r#""ext": "\udead""#),
        (Some("subject"), r#""subject": """#),
        (Some("time"), r#""time": "2018-04-05T17:31Z""#),
        (Some("time"), r#""time": """#),
        (Some("dataschema"), r#""dataschema": "schema.json""#),
        (Some("dataschema"), r#""dataschema": """#),
        (Some("datacontenttype"), r#""datacontenttype": "xyz""#),
        (Some("datacontenttype"), r#""datacontenttype": """#),
        // Names.
        (Some("Ext"), r#""Ext": 1"#),
        (Some("my_ext"), r#""my_ext": null"#),
        (Some("my.ext"), r#""my.ext": 1"#),
        (None, r#""": 1"#),
        (None, r#""\u0000": 1"#),
        (None, r#""gr\u00f6\u00dfe": 1"#),
        // Names that are there twice, however they are written.
        (Some("ext"), r#""ext": 1, "ext": 1"#),
        (Some("ext"), r#""ext": null, "\u0065xt": 1"#),
        (Some("id"), r#""id": "1""#),
        (Some("data"), r#""data": 1, "data": 1"#),
        // Data.
        (None, r#""data": 1, "data_base64": "AA==""#),
        (None, r#""data": null, "data_base64": "AA==""#),
        (None, r#""data_base64": 5"#),
        (None, r#""data_base64": "AA""#),
        (None, r#""data_base64": "AA=\n=""#),
        (None, r#""data_base64": "-_8=""#),
        (None, r#""data_base64": "AB==""#),
        (None, r#""datacontenttype": "text/plain", "data": 1"#),
        (None, r#""datacontenttype": "text/plain", "data": {}"#),
        (None, r#""datacontenttype": "text/plain", "data": null"#),
        (None, r#""datacontenttype": "text/plain", "data": "\udead""#),
        (None, r#""datacontenttype": "text/plain; charset=iso-8859-1", "data": "é""#),
        (None, r#""datacontenttype": "text/plain; charset=\"UTF-16\"", "data": "e""#),
    ] {
        let malformed = structured(envelope(members)).unwrap_err();
        let attribute = attribute.filter(|name| !name.is_empty());
        if attribute.is_some() {
            assert_eq!(malformed.attribute.as_deref(), attribute, "{members}: {malformed}");
        }
        assert_eq!(malformed.index, None);
    }
}

#[test]
fn every_required_attribute_is_required() {
    for name in ["specversion", "id", "source", "type"] {
        for (member, broken) in [
            (format!("\"{name}\""), format!("\"x{name}\"")),
            (format!("\"{name}\":"), format!("\"{name}\":null,\"x\":")),
            (format!("\"{name}\":"), format!("\"{name}\":\"\",\"x\":")),
            (format!("\"{name}\":"), format!("\"{name}\":1,\"x\":")),
        ] {
            let json = envelope("").replacen(&member, &broken, 1);
            let malformed = structured(json.clone()).unwrap_err();
            assert_eq!(malformed.attribute.as_deref(), Some(name), "{json}");
        }
    }
    for version in ["0.3", "1", "1.0.0", "1.1", " 1.0"] {
        let json = envelope("").replacen("1.0", version, 1);
        assert_eq!(structured(json).unwrap_err().attribute.as_deref(), Some("specversion"));
    }
}

#[test]
fn what_is_no_json_object_is_refused_without_showing_it() {
    for body in [
        "",
        " ",
        "{",
        "null",
        "\"secret\"",
        "[]",
        "{} {}",
        "{\"id\":secret}",
        "\u{feff}{}",
        "{\"id\":\"1\",}",
    ] {
        let malformed = structured(body).unwrap_err();
        assert!(!malformed.to_string().contains("secret"), "{malformed}");
    }
    assert!(structured(&b"{\"id\":\"\xff\"}"[..]).is_err());
    assert!(read_batch(&Bytes::from_static(b"{}")).is_err());
}

#[test]
fn a_batch_may_be_empty_and_may_say_the_same_twice() {
    assert_eq!(read_batch(&Bytes::from_static(b" [ ] ")).unwrap().len(), 0);
    let one = envelope(r#""data": 1"#);
    let events = read_batch(&Bytes::from(format!("[{one}, {one}]"))).unwrap();
    assert_eq!(events.len(), 2);
    for event in events {
        assert!(matches!(event.context, Context::Event(_, Mode::Batch)));
    }
    assert_eq!(write_batch(&[]), "[]");
}

#[test]
fn an_error_in_a_batch_names_its_index() {
    let good = envelope("");
    for (bad, attribute) in [
        ("5", None),
        ("[]", None),
        ("{}", Some("specversion")),
        (&*envelope(r#""time": "x""#), Some("time")),
    ] {
        let malformed =
            read_batch(&Bytes::from(format!("[{good},{good},{bad},{{}}]"))).unwrap_err();
        assert_eq!(malformed.index, Some(2));
        assert_eq!(malformed.attribute.as_deref(), attribute);
        assert!(malformed.to_string().starts_with("event 2 of the batch: "), "{malformed}");
    }
}

#[test]
fn depth_and_number_cost_neither_stack_nor_much_time() {
    let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    assert_eq!(data(&format!("\"data\": {deep}")).0, deep);
    assert!(structured(envelope(&format!("\"ext\": {deep}"))).is_err());
    assert!(structured("[".repeat(1_000_000)).is_err());
    assert!(read_batch(&Bytes::from("[".repeat(1_000_000))).is_err());
    assert!(structured("{\"a\":".repeat(200_000)).is_err());

    let many: Vec<String> = (0..50_000).map(|n| format!("\"x{n}\":{n}")).collect();
    let (attributes, data) = structured(envelope(&many.join(","))).unwrap();
    assert_eq!(attributes.extensions.len(), 50_000);
    assert_eq!(structured(write_structured(&attributes, &data)).unwrap().0, attributes);
    let twice = format!("{},\"x77\":1", many.join(","));
    assert_eq!(structured(envelope(&twice)).unwrap_err().attribute.as_deref(), Some("x77"));
}

#[test]
fn made_attributes_are_checked_by_the_same_rules() {
    let good = structured(envelope(r#""ext": "x""#)).unwrap().0;
    assert_eq!(good.check(), Ok(()));
    let change = |change: fn(&mut Attributes)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed.check().unwrap_err().attribute
    };
    assert_eq!(change(|a| a.id.clear()).as_deref(), Some("id"));
    assert_eq!(change(|a| "a b".clone_into(&mut a.source)).as_deref(), Some("source"));
    assert_eq!(change(|a| a.subject = Some(String::new())).as_deref(), Some("subject"));
    assert_eq!(change(|a| "id".clone_into(&mut a.extensions[0].0)).as_deref(), Some("id"));
    assert_eq!(change(|a| "data".clone_into(&mut a.extensions[0].0)).as_deref(), Some("data"));
    assert_eq!(change(|a| a.extensions.push(a.extensions[0].clone())).as_deref(), Some("ext"));
    assert_eq!(Attributes::default().check().unwrap_err().attribute.as_deref(), Some("id"));
}
