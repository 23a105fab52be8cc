//! What the gateway declares: exchanges, queues and bindings that are written for it, and nothing
//! else. What is there already with the same properties stays as it is.

use std::collections::BTreeMap;

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{refusal, wire::short};
use crate::link::Why;

/// What is declared on each connection, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Declare {
    /// The exchanges.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exchanges: Vec<Exchange>,
    /// The queues and streams.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<Queue>,
    /// What takes queues to exchanges.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<Binding>,
}

/// An exchange.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// How it routes.
    #[serde(rename = "type")]
    pub kind: Routing,
    /// Whether it outlives a restart of the broker. Default true.
    pub durable: Option<bool>,
    /// Its `x-` arguments.
    pub arguments: Option<Arguments>,
}

/// How an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Routing {
    /// To the queues whose binding has the message's key.
    Direct,
    /// To all queues that are bound.
    Fanout,
    /// To the queues whose binding's pattern fits the key: `*` is one word, `#` any number.
    Topic,
    /// By the message's headers.
    Headers,
}

/// A queue or a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// What it is. Default `classic`.
    #[serde(rename = "type")]
    pub kind: Option<QueueKind>,
    /// Whether it outlives a restart of the broker. Default true; a quorum queue and a stream always
    /// do.
    pub durable: Option<bool>,
    /// Its `x-` arguments.
    pub arguments: Option<Arguments>,
}

/// What a queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QueueKind {
    /// On one node.
    #[default]
    Classic,
    /// On several nodes, by consensus.
    Quorum,
    /// A log that is read again and again.
    Stream,
}

/// What takes a queue to an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The exchange's name.
    pub exchange: String,
    /// The queue's name.
    pub queue: String,
    /// The key or pattern. Default empty.
    pub key: Option<String>,
    /// What an exchange by headers looks for, `x-match` among it.
    pub arguments: Option<Arguments>,
}

/// Arguments by their names.
pub type Arguments = BTreeMap<String, Argument>;

/// The value of an argument, with its type: a text, a whole number, `true` or `false`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Argument {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
}

impl Declare {
    /// Says what is wrong, by its path below the upstream.
    pub(super) fn check(&self, wrong: &mut Vec<(String, String)>) {
        let mut say = |path: String, what: &str| wrong.push((path, what.to_owned()));
        for (at, exchange) in self.exchanges.iter().enumerate() {
            let path = format!("declare.exchanges[{at}]");
            check_name(&format!("{path}.name"), &exchange.name, true, &mut say);
            check_arguments(&path, exchange.arguments.as_ref(), &mut say);
        }
        for (at, queue) in self.queues.iter().enumerate() {
            let path = format!("declare.queues[{at}]");
            check_name(&format!("{path}.name"), &queue.name, true, &mut say);
            check_arguments(&path, queue.arguments.as_ref(), &mut say);
            if queue.durable == Some(false) && queue.kind.unwrap_or_default() != QueueKind::Classic
            {
                say(format!("{path}.durable"), "is false, and this type always is; leave it out");
            }
            if queue.arguments.as_ref().is_some_and(|all| all.contains_key("x-queue-type")) {
                say(format!("{path}.arguments"), "has x-queue-type; write `type` instead");
            }
        }
        for (at, binding) in self.bindings.iter().enumerate() {
            let path = format!("declare.bindings[{at}]");
            check_name(&format!("{path}.exchange"), &binding.exchange, false, &mut say);
            check_name(&format!("{path}.queue"), &binding.queue, false, &mut say);
            check_arguments(&path, binding.arguments.as_ref(), &mut say);
            if binding.key.as_ref().is_some_and(|key| key.len() > 255) {
                say(format!("{path}.key"), "has more than 255 bytes; write a shorter one");
            }
        }
    }

    /// Declares it all, in order.
    pub(super) async fn make(&self, channel: &Channel) -> Result<(), Why> {
        for exchange in &self.exchanges {
            let kind = match exchange.kind {
                Routing::Direct => ExchangeKind::Direct,
                Routing::Fanout => ExchangeKind::Fanout,
                Routing::Topic => ExchangeKind::Topic,
                Routing::Headers => ExchangeKind::Headers,
            };
            let durable = exchange.durable.unwrap_or(true);
            let options = ExchangeDeclareOptions { durable, ..ExchangeDeclareOptions::default() };
            let arguments = table(exchange.arguments.as_ref());
            channel
                .exchange_declare(short(&exchange.name), kind, options, arguments)
                .await
                .map_err(|error| refusal::undeclared("exchange", &exchange.name, &error))?;
        }
        for queue in &self.queues {
            let options = QueueDeclareOptions {
                durable: queue.is_durable(),
                ..QueueDeclareOptions::default()
            };
            let mut arguments = table(queue.arguments.as_ref());
            let kind = match queue.kind.unwrap_or_default() {
                // The default is not written, so that a queue made without it is the same.
                QueueKind::Classic => None,
                QueueKind::Quorum => Some("quorum"),
                QueueKind::Stream => Some("stream"),
            };
            if let Some(kind) = kind {
                arguments.insert(short("x-queue-type"), AMQPValue::LongString(kind.into()));
            }
            channel
                .queue_declare(short(&queue.name), options, arguments)
                .await
                .map_err(|error| refusal::undeclared("queue", &queue.name, &error))?;
        }
        for binding in &self.bindings {
            let key = short(binding.key.as_deref().unwrap_or_default());
            channel
                .queue_bind(
                    short(&binding.queue),
                    short(&binding.exchange),
                    key,
                    QueueBindOptions::default(),
                    table(binding.arguments.as_ref()),
                )
                .await
                .map_err(|error| refusal::undeclared("binding of", &binding.queue, &error))?;
        }
        Ok(())
    }

    /// Whether a message to this exchange with this key goes to a durable queue that is declared
    /// here. Where it goes besides is not known, and nor is what others have made.
    pub(super) fn is_durable(&self, exchange: &str, key: &str) -> bool {
        let durable =
            |name: &str| self.queues.iter().any(|queue| queue.name == name && queue.is_durable());
        if exchange.is_empty() {
            return durable(key);
        }
        let routing = match self.exchanges.iter().find(|known| known.name == exchange) {
            Some(exchange) => exchange.kind,
            None => match exchange {
                "amq.direct" => Routing::Direct,
                "amq.fanout" => Routing::Fanout,
                "amq.topic" => Routing::Topic,
                _ => return false,
            },
        };
        self.bindings.iter().any(|binding| {
            let bound = binding.key.as_deref().unwrap_or_default();
            let fits = match routing {
                Routing::Direct => bound == key,
                Routing::Fanout => true,
                Routing::Topic => fits(bound, key),
                Routing::Headers => false,
            };
            binding.exchange == exchange && fits && durable(&binding.queue)
        })
    }
}

impl Queue {
    fn is_durable(&self) -> bool {
        self.durable.unwrap_or(true)
    }

    /// After how many deliveries the broker gives up a message that was not acknowledged, if that is
    /// written.
    #[must_use]
    pub fn delivery_limit(&self) -> Option<i64> {
        match self.arguments.as_ref()?.get("x-delivery-limit")? {
            Argument::Integer(limit) if *limit >= 0 => Some(*limit),
            _ => None,
        }
    }
}

/// Whether a topic binding's pattern fits a key.
fn fits(pattern: &str, key: &str) -> bool {
    fn words(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern, key) {
            ([], []) => true,
            (["#", rest @ ..], key) => (0..=key.len()).any(|skip| words(rest, &key[skip..])),
            (["*", rest @ ..], [_, key @ ..]) => words(rest, key),
            ([word, rest @ ..], [this, key @ ..]) => word == this && words(rest, key),
            _ => false,
        }
    }
    // More of them would take long, and the weaker claim is no lie.
    if pattern.split('.').filter(|word| *word == "#").count() > 2 {
        return false;
    }
    words(&split(pattern), &split(key))
}

/// The words of a key; an empty one has none.
fn split(key: &str) -> Vec<&str> {
    if key.is_empty() { Vec::new() } else { key.split('.').collect() }
}

fn table(arguments: Option<&Arguments>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments.into_iter().flatten() {
        let value = match value {
            Argument::Boolean(yes) => AMQPValue::Boolean(*yes),
            Argument::Integer(number) => AMQPValue::LongLongInt(*number),
            Argument::Text(text) => AMQPValue::LongString(text.as_str().into()),
        };
        table.insert(short(name), value);
    }
    table
}

fn check_name(path: &str, name: &str, ours: bool, say: &mut impl FnMut(String, &str)) {
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        say(path.to_owned(), "is no name; write 1 to 255 bytes without control characters");
    } else if ours && name.starts_with("amq.") {
        say(path.to_owned(), "begins with `amq.`, which is the broker's own; write another name");
    }
}

fn check_arguments(path: &str, arguments: Option<&Arguments>, say: &mut impl FnMut(String, &str)) {
    if arguments.into_iter().flatten().any(|(name, _)| name.is_empty() || name.len() > 128) {
        let what = "has a name that no argument can have; write 1 to 128 bytes";
        say(format!("{path}.arguments"), what);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn declare(json: serde_json::Value) -> Declare {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_cannot_be_declared_is_named() {
        let declare = declare(json!({
            "exchanges": [{"name": "amq.mine", "type": "topic"}],
            "queues": [
                {"name": "", "arguments": {"": 1}},
                {"name": "s", "type": "stream", "durable": false},
                {"name": "q", "arguments": {"x-queue-type": "quorum"}},
            ],
            "bindings": [{"exchange": "amq.topic", "queue": "q", "key": "k".repeat(256)}]
        }));
        let mut wrong = Vec::new();
        declare.check(&mut wrong);
        let paths: Vec<_> = wrong.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "declare.exchanges[0].name",
                "declare.queues[0].name",
                "declare.queues[0].arguments",
                "declare.queues[1].durable",
                "declare.queues[2].arguments",
                "declare.bindings[0].key",
            ]
        );
    }

    #[test]
    fn an_argument_keeps_its_type_and_what_has_none_is_refused() {
        let queue = |arguments: serde_json::Value| {
            serde_json::from_value::<Queue>(json!({"name": "q", "arguments": arguments}))
        };
        let arguments = queue(json!({"a": true, "b": 7, "c": "7"})).unwrap().arguments.unwrap();
        let table = table(Some(&arguments));
        assert_eq!(table.inner()["a"], AMQPValue::Boolean(true));
        assert_eq!(table.inner()["b"], AMQPValue::LongLongInt(7));
        assert_eq!(table.inner()["c"], AMQPValue::LongString("7".into()));
        for bad in [json!({"a": 1.5}), json!({"a": null}), json!({"a": [1]})] {
            assert!(queue(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_is_declared_durable_is_said_to_be() {
        let declare = declare(json!({
            "exchanges": [
                {"name": "topic", "type": "topic"}, {"name": "direct", "type": "direct"},
                {"name": "headers", "type": "headers"},
            ],
            "queues": [{"name": "kept"}, {"name": "gone", "durable": false}],
            "bindings": [
                {"exchange": "topic", "queue": "kept", "key": "a.*.#"},
                {"exchange": "topic", "queue": "gone", "key": "#"},
                {"exchange": "direct", "queue": "kept", "key": "k"},
                {"exchange": "amq.fanout", "queue": "kept"},
                {"exchange": "headers", "queue": "kept"},
            ]
        }));
        for (exchange, key, durable) in [
            ("", "kept", true),
            ("", "gone", false),
            ("", "others", false),
            ("topic", "a.b", true),
            ("topic", "a.b.c.d", true),
            ("topic", "a", false),
            ("topic", "b.c", false),
            ("direct", "k", true),
            ("direct", "l", false),
            ("amq.fanout", "x", true),
            ("amq.direct", "k", false),
            ("headers", "", false),
            ("unknown", "k", false),
        ] {
            assert_eq!(declare.is_durable(exchange, key), durable, "{exchange}/{key}");
        }
    }
}
