//! A call as an AMQP 0.9.1 message: where it goes, its properties and headers, and its data.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};
use schemas::{Call, Class, Fault, cloudevents, template::SHORT_MAX};

use super::config::Target;
use crate::message::{self, Message};

/// The largest body that is sent: what RabbitMQ takes at most unless it is told otherwise. One that
/// takes less refuses what is over by itself.
const MESSAGE_MAX: usize = 128 * 1024 * 1024;

/// The number of the next message.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// The delivery mode of a message that a durable queue writes to its disk.
const PERSISTENT: u8 = 2;

/// What the frame of the properties needs beside the headers: every other property at its longest.
const PROPERTIES_MAX: usize = 4096;

/// What is published.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) exchange: ShortString,
    pub(super) key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) data: Bytes,
    /// No other message of this program has it. It is the `correlation-id`.
    pub(super) number: u64,
}

impl Outgoing {
    /// Makes the message of a call. Nothing has been sent if it cannot be made.
    pub(super) async fn of(
        call: &mut Call,
        target: &Target,
        frame_max: usize,
    ) -> Result<Self, Fault> {
        let (exchange, key) = split(&call.function).ok_or_else(no_address)?;
        let (exchange, key) = (short(exchange), short(key));
        let message = Message::of(call, MESSAGE_MAX).await?;
        let Message { attributes, headers, data } = message;
        let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let mut table = Table { fields: FieldTable::default(), bytes: 0 };
        let mut kind = None;
        if let Some(attributes) = &attributes {
            for (name, value) in cloudevents::amqp_headers(attributes) {
                table.put(&name, value)?;
            }
            kind.clone_from(&attributes.datacontenttype);
            let time = attributes.time.as_deref().and_then(|time| time.parse().ok());
            let second =
                time.and_then(|time: jiff::Timestamp| u64::try_from(time.as_second()).ok());
            if let Some(second) = second {
                properties = properties.with_timestamp(second);
            }
        }
        for (name, value) in headers {
            if name == CONTENT_TYPE.as_str() {
                kind = Some(value);
            } else {
                table.put(&name, value)?;
            }
        }
        if let Some(kind) = kind {
            let kind = ShortString::try_new(kind).map_err(|_| unfit(CONTENT_TYPE.as_str()))?;
            properties = properties.with_content_type(kind);
        }
        if let Some(identity) = &call.identity {
            properties = properties.with_message_id(short(&message::id(
                identity,
                &target.name,
                &call.function,
            )));
        }
        if table.bytes + PROPERTIES_MAX > frame_max {
            return Err(Fault::new(
                Class::TooLarge,
                "the headers of the message do not fit into one frame of the AMQP broker",
            ));
        }
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let properties =
            properties.with_headers(table.fields).with_correlation_id(short(&number.to_string()));
        Ok(Self { exchange, key, properties, data, number })
    }

    /// The exchange and the key, for people.
    pub(super) fn place(&self) -> (String, String) {
        (self.exchange.to_string(), self.key.to_string())
    }

    /// Asks for a reply on the channel that this is published on.
    pub(super) fn asking(&mut self, within_ms: u128) {
        let properties = std::mem::take(&mut self.properties);
        self.properties = properties
            .with_reply_to(short(REPLY_TO))
            .with_expiration(short(&within_ms.max(1).to_string()));
    }
}

/// RabbitMQ's own queue of replies to a channel.
pub(super) const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// The headers of a message and how long they are.
struct Table {
    fields: FieldTable,
    bytes: usize,
}

impl Table {
    /// A header that is there twice becomes one, as HTTP's do (RFC 9110, section 5.3).
    fn put(&mut self, name: &str, value: String) -> Result<(), Fault> {
        let value = match self.fields.inner().get(name) {
            Some(AMQPValue::LongString(first)) => format!("{first}, {value}"),
            _ => value,
        };
        self.bytes += name.len() + value.len() + 6;
        let name = ShortString::try_new(name).map_err(|_| unfit(name))?;
        self.fields.insert(name, AMQPValue::LongString(value.into()));
        Ok(())
    }
}

/// The exchange and the key of a function; nothing if it has no such parts.
pub(super) fn split(function: &str) -> Option<(&str, &str)> {
    let (exchange, key) = function.split_once('/')?;
    let fits = |text: &str| text.len() <= SHORT_MAX && !text.chars().any(char::is_control);
    let names_a_queue = !exchange.is_empty() || !key.is_empty();
    (fits(exchange) && fits(key) && names_a_queue).then_some((exchange, key))
}

/// A text whose length has been checked.
pub(super) fn short(text: &str) -> ShortString {
    ShortString::try_new(text).unwrap_or_default()
}

pub(super) fn no_address() -> Fault {
    Fault::new(
        Class::BadRequest,
        "this is not an exchange and a key of at most 255 bytes each; write exchange/key, or /queue \
         for the default exchange",
    )
}

fn unfit(name: &str) -> Fault {
    Fault::new(
        Class::BadRequest,
        format!("the header {name:.40} cannot be carried by an AMQP message: it is too long"),
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use schemas::{Ack, Attributes, Body, Context, Format, Identity, Mode};

    use super::*;

    fn target() -> Target {
        let written = serde_json::json!({
            "url": "amqp://127.0.0.1", "username": "u", "password": {"env": "P"}
        });
        Target::build(&"rabbit".parse().unwrap(), serde_json::from_value(written).unwrap()).unwrap()
    }

    fn call(function: &str) -> Call {
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut call = Call::new(function, Body::from(Bytes::from_static(b"x")), deadline);
        call.ack = Ack::Published;
        call.format = Format::Plain;
        call
    }

    #[test]
    fn a_function_is_an_exchange_and_a_key_that_keeps_its_slashes() {
        for (function, parts) in [
            ("orders/created", Some(("orders", "created"))),
            ("orders/a/b", Some(("orders", "a/b"))),
            ("/queue", Some(("", "queue"))),
            ("logs/", Some(("logs", ""))),
            ("orders", None),
            ("/", None),
            ("o/a\nb", None),
        ] {
            assert_eq!(split(function), parts, "{function}");
        }
        assert_eq!(split(&format!("e/{}", "k".repeat(256))), None);
        assert!(split(&format!("e/{}", "k".repeat(255))).is_some());
    }

    #[tokio::test]
    async fn an_event_becomes_properties_and_headers() {
        let mut call = call("orders/created");
        call.format = Format::Binary;
        call.identity = Some(Identity([7; 32]));
        let attributes = Attributes {
            id: "1".into(),
            source: "/s".into(),
            kind: "a b".into(),
            time: Some("1970-01-01T00:01:00+00:00".into()),
            datacontenttype: Some("text/plain".into()),
            ..Attributes::default()
        };
        call.event.context = Context::Event(Box::new(attributes), Mode::Binary);
        let sent = Outgoing::of(&mut call, &target(), 131_072).await.unwrap();
        let properties = sent.properties;
        assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "text/plain");
        assert_eq!(*properties.delivery_mode(), Some(2));
        assert_eq!(*properties.timestamp(), Some(60));
        assert_eq!(properties.message_id().as_ref().unwrap().as_str().len(), 64);
        let headers = properties.headers().as_ref().unwrap().inner();
        assert_eq!(headers["ce-type"], AMQPValue::LongString("a b".into()));
        assert!(!headers.contains_key("ce-datacontenttype"));
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_before_it_is_sent() {
        let mut long_name = call("e/k");
        let name: http::HeaderName = "x".repeat(256).parse().unwrap();
        long_name.head.headers.insert(name, "1".parse().unwrap());
        let mut long_kind = call("e/k");
        long_kind.head.headers.insert(CONTENT_TYPE, "x".repeat(256).parse().unwrap());
        let (mut nowhere, mut large) = (call("nothing"), call("e/k"));
        large.head.headers.insert("x", "x".repeat(5000).parse().unwrap());
        for (call, frame_max, class) in [
            (&mut long_name, 131_072, Class::BadRequest),
            (&mut long_kind, 131_072, Class::BadRequest),
            (&mut large, 8192, Class::TooLarge),
            (&mut nowhere, 131_072, Class::BadRequest),
        ] {
            let fault = Outgoing::of(call, &target(), frame_max).await.unwrap_err();
            assert_eq!(fault.class, class, "{fault:?}");
        }
    }
}
