//! The binary mode of broker messages (NATS binding, section 3.1): like HTTP's, but every attribute
//! is a `ce-` header, `datacontenttype` among them.

use smallvec::SmallVec;

use super::{Malformed, attributes::Gathered, by_content_type, decode_value, encode_value};
use crate::{Attributes, Value};

/// The headers that carry these attributes, which are checked, on a message.
#[must_use]
pub fn message_headers(attributes: &Attributes) -> Vec<(String, String)> {
    attributes
        .texts()
        .map(|(name, text)| (format!("ce-{name}"), encode_value(&text).into_owned()))
        .collect()
}

/// The headers that carry these attributes, which are checked, on an AMQP 0.9.1 message (the RabbitMQ
/// binding of Knative, section 3.1.3): texts as they are. The `datacontenttype` is not among them: it
/// is the message's own property.
#[must_use]
pub fn amqp_headers(attributes: &Attributes) -> Vec<(String, String)> {
    attributes
        .texts()
        .filter(|(name, _)| *name != "datacontenttype")
        .map(|(name, text)| (format!("ce-{name}"), text.into_owned()))
        .collect()
}

/// Reads the attributes of a message in binary mode; `None` if it is no such event: it has none of
/// the four required attributes, or its Content-Type says that the event is in its data
/// ([`by_content_type`]). Names are compared without regard to case. Some senders write the
/// `datacontenttype` as `Content-Type`, so that is read where the attribute is not there.
///
/// # Errors
/// [`Malformed`] names the attribute that is missing, there twice or wrong.
pub fn read_message<'h>(
    headers: impl Iterator<Item = (&'h str, &'h str)>,
) -> Result<Option<Attributes>, Malformed> {
    let mut content_type = None;
    let mut found = SmallVec::<[(String, &str); 8]>::new();
    for (header, value) in headers {
        if header.eq_ignore_ascii_case("content-type") {
            content_type.get_or_insert(value);
        } else if let Some((prefix, name)) = header.split_at_checked(3)
            && prefix.eq_ignore_ascii_case("ce-")
        {
            found.push((name.to_ascii_lowercase(), value));
        }
    }
    let in_its_data = content_type.and_then(|value| by_content_type(value.as_bytes())).is_some();
    let required = |name: &str| matches!(name, "specversion" | "id" | "source" | "type");
    if in_its_data || !found.iter().any(|(name, _)| required(name)) {
        return Ok(None);
    }

    let mut gathered = Gathered::default();
    for (name, value) in found {
        let value = decode_value(value.as_bytes()).map_err(|why| Malformed::of(&name, why.what))?;
        gathered.put(&name, Value::String(value.into_owned()))?;
    }
    if let Some(value) = content_type
        && !gathered.has("datacontenttype")
    {
        gathered.put("datacontenttype", Value::String(value.to_owned()))?;
    }
    gathered.done().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 4] =
        [("ce-specversion", "1.0"), ("CE-Id", "1"), ("Ce-Source", "/s"), ("ce-type", "t")];

    fn with<'h>(lines: &[(&'h str, &'h str)]) -> Result<Option<Attributes>, Malformed> {
        read_message(GOOD.into_iter().chain(lines.iter().copied()))
    }

    #[test]
    fn every_attribute_is_a_header_of_the_message() {
        let attributes = Attributes {
            id: "1".to_owned(),
            source: "/s".to_owned(),
            kind: "t".to_owned(),
            subject: Some("a b".to_owned()),
            datacontenttype: Some("text/plain; charset=utf-8".to_owned()),
            extensions: vec![("count".to_owned(), Value::Integer(-5))],
            ..Attributes::default()
        };
        let headers = message_headers(&attributes);
        let lines: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(
            lines,
            [
                ("ce-specversion", "1.0"),
                ("ce-id", "1"),
                ("ce-source", "/s"),
                ("ce-type", "t"),
                ("ce-subject", "a%20b"),
                ("ce-datacontenttype", "text/plain;%20charset=utf-8"),
                ("ce-count", "-5"),
            ]
        );
        let read = read_message(lines.into_iter()).unwrap().unwrap();
        assert_eq!(read.datacontenttype, attributes.datacontenttype);
    }

    #[test]
    fn on_amqp_texts_stay_as_they_are_and_the_content_type_is_a_property() {
        let attributes = Attributes {
            id: "1".to_owned(),
            source: "/s".to_owned(),
            kind: "t".to_owned(),
            subject: Some("a b".to_owned()),
            datacontenttype: Some("text/plain".to_owned()),
            ..Attributes::default()
        };
        let headers = amqp_headers(&attributes);
        let lines: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let basic =
            [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];
        assert_eq!(lines[..4], basic);
        assert_eq!(lines[4..], [("ce-subject", "a b")]);
    }

    #[test]
    fn a_message_without_required_attributes_is_no_event() {
        assert_eq!(read_message([].into_iter()), Ok(None));
        assert_eq!(read_message([("ce-note", "100%"), ("Nats-Msg-Id", "1")].into_iter()), Ok(None));
        assert_eq!(with(&[("Content-Type", "application/CloudEvents+json")]), Ok(None));
    }

    #[test]
    fn the_content_type_of_other_senders_is_read_where_the_attribute_is_missing() {
        let read = with(&[("content-type", "text/xml")]).unwrap().unwrap();
        assert_eq!(read.datacontenttype.as_deref(), Some("text/xml"));
        let read = with(&[("content-type", "x"), ("ce-datacontenttype", "a/b")]).unwrap().unwrap();
        assert_eq!(read.datacontenttype.as_deref(), Some("a/b"));
    }

    #[test]
    fn a_broken_event_is_refused_and_names_its_attribute() {
        for (name, line) in [
            ("id", ("ce-id", "2")),
            ("subject", ("ce-subject", "100%")),
            ("my-ext", ("ce-my-ext", "")),
            ("datacontenttype", ("content-type", "nonsense")),
        ] {
            let malformed = with(&[line]).unwrap_err();
            assert_eq!(malformed.attribute.as_deref(), Some(name));
        }
        let malformed = read_message([("ce-id", "100%")].into_iter()).unwrap_err();
        assert_eq!(malformed.attribute.as_deref(), Some("id"));
    }
}
