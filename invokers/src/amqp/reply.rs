//! A service's reply, as the answer of an HTTP function.

use bytes::Bytes;
use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable},
};
use schemas::{Fault, Reply, cloudevents};

use crate::answer;

/// The ways in which senders mark attributes: the RabbitMQ binding, and the two of AMQP 1.0, whose
/// application properties RabbitMQ hands on as headers.
const ATTRIBUTE: [&str; 3] = ["ce-", "cloudevents_", "cloudevents:"];

/// Makes the answer of a reply.
pub(super) fn read(reply: Delivery) -> Result<Reply, Fault> {
    answer::of(&headers(&reply.properties), Bytes::from(reply.data), None)
}

/// The headers of a message, its content type among them, as HTTP has them.
pub(super) fn headers(properties: &BasicProperties) -> Vec<(String, String)> {
    let kind = properties.content_type().as_ref();
    let kind = kind.map(|kind| ("content-type".to_owned(), kind.to_string()));
    kind.into_iter().chain(pairs(properties.headers().as_ref())).collect()
}

/// The headers that are texts, numbers or truths, attributes as HTTP has them.
fn pairs(headers: Option<&FieldTable>) -> impl Iterator<Item = (String, String)> {
    let fields = headers.into_iter().flat_map(|headers| headers.inner());
    fields.filter_map(|(name, value)| {
        let value = text(value)?;
        let lower = name.as_str().to_ascii_lowercase();
        let attribute = ATTRIBUTE.iter().find_map(|start| lower.strip_prefix(start));
        Some(match attribute {
            Some(attribute) => {
                (format!("ce-{attribute}"), cloudevents::encode_value(&value).into_owned())
            }
            None => (name.to_string(), value),
        })
    })
}

fn text(value: &AMQPValue) -> Option<String> {
    Some(match value {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok()?,
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::Boolean(yes) => yes.to_string(),
        AMQPValue::ShortShortInt(number) => number.to_string(),
        AMQPValue::ShortShortUInt(number) => number.to_string(),
        AMQPValue::ShortInt(number) => number.to_string(),
        AMQPValue::ShortUInt(number) => number.to_string(),
        AMQPValue::LongInt(number) => number.to_string(),
        AMQPValue::LongUInt(number) => number.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use schemas::Ran;

    use super::*;
    use crate::amqp::wire::short;

    fn delivery(headers: &[(&str, AMQPValue)]) -> Delivery {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert(short(name), value.clone());
        }
        let properties =
            BasicProperties::default().with_content_type(short("text/csv")).with_headers(table);
        let mut delivery = Delivery::mock(1, short(""), short("q"), false, b"a,b".to_vec());
        delivery.properties = properties;
        delivery
    }

    fn long(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    #[tokio::test]
    async fn status_headers_and_attributes_come_from_the_reply() {
        let reply = read(delivery(&[
            ("http-status", AMQPValue::LongInt(201)),
            ("http-header-Location", long("/x")),
            ("ce-id", long("7")),
            ("cloudEvents_subject", long("a b")),
            ("cloudEvents:source", long("/s")),
            ("cloudEvents_flag", AMQPValue::Boolean(true)),
            ("other", long("not passed on")),
        ]))
        .unwrap();
        assert_eq!(reply.head.status, 201);
        let header = |name: &str| reply.head.headers[name].to_str().unwrap().to_owned();
        assert_eq!(header("location"), "/x");
        assert_eq!(header("content-type"), "text/csv");
        assert_eq!((header("ce-id"), header("ce-subject")), ("7".into(), "a%20b".into()));
        assert_eq!((header("ce-source"), header("ce-flag")), ("/s".into(), "true".into()));
        assert!(!reply.head.headers.contains_key("other"));
        assert_eq!(reply.data.collect(10).await.unwrap(), "a,b");
    }

    #[test]
    fn what_cannot_be_an_answer_is_a_fault() {
        let fault = read(delivery(&[("http-status", long("abc"))])).unwrap_err();
        assert_eq!((fault.name(), fault.ran), ("bad_reply", Ran::Maybe));
    }
}
