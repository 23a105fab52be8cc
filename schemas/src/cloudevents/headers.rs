//! The binary mode of the HTTP binding (section 3.1): attributes in headers, data in the body.

use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use smallvec::SmallVec;

use super::{
    ID, Malformed, SOURCE, SPECVERSION, TYPE, attributes::Gathered, decode_value, encode_value,
};
use crate::{Attributes, Value};

/// Reads the attributes of an event in binary mode. Its Content-Type, as it is written, is its
/// `datacontenttype`.
///
/// # Errors
/// [`Malformed`] names the attribute that is missing, there twice or wrong.
pub fn read_binary(headers: &HeaderMap) -> Result<Attributes, Malformed> {
    let mut gathered = Gathered::default();
    for (header, value) in headers {
        let Some(name) = header.as_str().strip_prefix("ce-") else { continue };
        if name == "datacontenttype" {
            return Err(Malformed::of(
                name,
                "stands in Content-Type; leave ce-datacontenttype out",
            ));
        }
        let value = decode_value(value.as_bytes()).map_err(|why| Malformed::of(name, why.what))?;
        gathered.put(name, Value::String(value.into_owned()))?;
    }
    for value in headers.get_all(CONTENT_TYPE) {
        let value = str::from_utf8(value.as_bytes())
            .map_err(|_| Malformed::of("datacontenttype", "is not a media type"))?;
        gathered.put("datacontenttype", Value::String(value.to_owned()))?;
    }
    gathered.done()
}

/// Writes the attributes, which are checked, into the headers: afterwards these are the only `ce-`
/// headers, and Content-Type is the `datacontenttype` or not there.
pub fn write_binary(attributes: &Attributes, headers: &mut HeaderMap) {
    remove_binary(headers);
    headers.remove(CONTENT_TYPE);
    for (name, text) in attributes.texts() {
        let (name, text) = match name {
            // Media types are ASCII and stand as they are; only an unchecked one needs encoding.
            "datacontenttype" => match HeaderValue::from_str(&text) {
                Ok(value) => {
                    headers.insert(CONTENT_TYPE, value);
                    continue;
                }
                Err(_) => (CONTENT_TYPE, text),
            },
            "specversion" => (SPECVERSION.clone(), text),
            "id" => (ID.clone(), text),
            "source" => (SOURCE.clone(), text),
            "type" => (TYPE.clone(), text),
            // Only an unchecked extension has a name that no header can have.
            name => match HeaderName::try_from(format!("ce-{name}")) {
                Ok(name) => (name, text),
                Err(_) => continue,
            },
        };
        let value = HeaderValue::from_str(&encode_value(&text))
            .expect("an encoded value is printable ASCII");
        headers.insert(name, value);
    }
}

/// Removes every `ce-` header. What else is there stays.
pub fn remove_binary(headers: &mut HeaderMap) {
    let names: SmallVec<[HeaderName; 8]> =
        headers.keys().filter(|name| name.as_str().starts_with("ce-")).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudevents::{Arrival, arrival};

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    const GOOD: [(&str, &str); 4] =
        [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];

    /// A good event with these headers too, or in place of its own.
    fn with(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut all = headers(&GOOD);
        for (name, value) in lines {
            all.insert(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        all
    }

    #[test]
    fn the_head_alone_tells_what_arrives() {
        let unknown = |media: &str| Arrival::Unknown(media.to_owned());
        for (media, expected) in [
            ("application/cloudevents+json", Arrival::Structured),
            ("Application/CloudEvents+JSON ; charset=UTF-8", Arrival::Structured),
            ("application/cloudevents-batch+json", Arrival::Batch),
            ("APPLICATION/CLOUDEVENTS-BATCH+JSON;charset=utf-8", Arrival::Batch),
            ("application/cloudevents+avro", unknown("application/cloudevents+avro")),
            ("application/cloudevents", unknown("application/cloudevents")),
            (
                "application/cloudevents-batch+protobuf; a=b",
                unknown("application/cloudevents-batch+protobuf"),
            ),
            ("application/json", Arrival::Plain),
            ("text/plain; x=application/cloudevents+json", Arrival::Plain),
            ("application/cloud", Arrival::Plain),
            ("", Arrival::Plain),
        ] {
            assert_eq!(arrival(&headers(&[("content-type", media)])), expected, "{media}");
        }
        assert_eq!(arrival(&HeaderMap::new()), Arrival::Plain);
        assert_eq!(
            arrival(&headers(&[("ce-subject", "x"), ("idempotency-key", "1")])),
            Arrival::Plain
        );
    }

    #[test]
    fn one_required_attribute_makes_an_event_of_a_request_and_the_content_type_goes_first() {
        for (name, _) in GOOD {
            assert_eq!(arrival(&headers(&[(name, "x")])), Arrival::Binary);
        }
        let both = with(&[("content-type", "application/cloudevents+json")]);
        assert_eq!(arrival(&both), Arrival::Structured);
    }

    #[test]
    fn every_header_becomes_its_attribute() {
        let read = read_binary(&with(&[
            ("ce-subject", "Euro%20%E2%82%AC"),
            ("ce-time", "2018-04-05T17:31:00.00+02:00"),
            ("ce-dataschema", "https://example.com/s"),
            ("ce-retries", "5"),
            ("ce-note", ""),
            ("content-type", "Text/Plain; charset=\"utf-8\""),
            ("x-request-id", "ignored"),
        ]))
        .unwrap();
        assert_eq!((&*read.id, &*read.source, &*read.kind), ("1", "/s", "t"));
        assert_eq!(read.subject.as_deref(), Some("Euro €"));
        assert_eq!(read.time.as_deref(), Some("2018-04-05T17:31:00.00+02:00"));
        assert_eq!(read.dataschema.as_deref(), Some("https://example.com/s"));
        assert_eq!(read.datacontenttype.as_deref(), Some("Text/Plain; charset=\"utf-8\""));
        assert_eq!(read.extension("retries"), Some(&Value::String("5".to_owned())));
        assert_eq!(read.extension("note"), Some(&Value::String(String::new())));
    }

    #[test]
    fn what_breaks_a_rule_is_refused_and_named() {
        for (name, header) in [
            ("specversion", ("ce-specversion", "0.3")),
            ("specversion", ("ce-specversion", "1.0.2")),
            ("specversion", ("ce-specversion", "")),
            ("id", ("ce-id", "")),
            ("id", ("ce-id", "%0A")),
            ("id", ("ce-id", "%EF%BF%BF")),
            ("source", ("ce-source", "")),
            ("source", ("ce-source", "/a%20b")),
            ("type", ("ce-type", "\"")),
            ("subject", ("ce-subject", "")),
            ("subject", ("ce-subject", "%C0%A0")),
            ("subject", ("ce-subject", "caf%E9")),
            ("time", ("ce-time", "yesterday")),
            ("dataschema", ("ce-dataschema", "/relative")),
            ("datacontenttype", ("content-type", "nonsense")),
            ("datacontenttype", ("content-type", "")),
            ("datacontenttype", ("content-type", "text/plain;\tcharset=utf-8")),
            ("datacontenttype", ("ce-datacontenttype", "text/plain")),
            ("data", ("ce-data", "x")),
            ("my_ext", ("ce-my_ext", "x")),
            ("my-ext", ("ce-my-ext", "x")),
            ("", ("ce-", "x")),
        ] {
            let malformed = read_binary(&with(&[header])).unwrap_err();
            assert_eq!(malformed.attribute.as_deref(), Some(name), "{header:?}: {malformed}");
        }
        for (name, _) in GOOD {
            let mut headers = with(&[]);
            headers.remove(name);
            let malformed = read_binary(&headers).unwrap_err();
            assert_eq!(malformed.attribute.as_deref(), name.strip_prefix("ce-"));
        }
    }

    #[test]
    fn a_header_that_is_there_twice_is_refused_even_if_it_says_the_same() {
        for name in ["ce-id", "ce-subject", "ce-ext", "content-type"] {
            let mut headers =
                with(&[("ce-subject", "x"), ("ce-ext", "x"), ("content-type", "a/b")]);
            headers.append(name, headers[name].clone());
            let malformed = read_binary(&headers).unwrap_err();
            let expected = name.strip_prefix("ce-").unwrap_or("datacontenttype");
            assert_eq!(malformed.attribute.as_deref(), Some(expected));
        }
    }

    #[test]
    fn writing_leaves_no_attribute_of_another_event_behind() {
        let mut target = headers(&[
            ("ce-old", "x"),
            ("ce-datacontenttype", "x/y"),
            ("content-type", "a/b"),
            ("accept", "*/*"),
        ]);
        let attributes = read_binary(&with(&[("ce-subject", "a b")])).unwrap();
        write_binary(&attributes, &mut target);
        assert_eq!(target, with(&[("ce-subject", "a%20b"), ("accept", "*/*")]));
        remove_binary(&mut target);
        assert_eq!(target, headers(&[("accept", "*/*")]));
    }

    #[test]
    fn unchecked_attributes_are_written_without_a_panic() {
        let attributes = Attributes {
            id: "\n".to_owned(),
            datacontenttype: Some("€\n".to_owned()),
            extensions: vec![("a b\n".to_owned(), Value::Integer(1))],
            ..Attributes::default()
        };
        let mut headers = HeaderMap::new();
        write_binary(&attributes, &mut headers);
        assert_eq!(headers["ce-id"], "%0A");
        assert_eq!(headers["content-type"], "%E2%82%AC%0A");
        assert!(read_binary(&headers).is_err());
    }
}
