//! Lanes to a broker, and a client that looks at what has become of messages.

use std::{
    collections::HashSet,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use invokers::{Tools, amqp};
use lapin::{
    Channel, Connection, ConnectionProperties, ExchangeKind,
    message::BasicGetMessage,
    options::{
        BasicGetOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions,
        QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};
use schemas::{Fault, Reply};
use serde_json::{Value, json};

pub(crate) use crate::{
    core::{Cable, Secrets, all, event, on_core, publish, receipt, request, until_ok},
    rabbit::{MESSAGE_MAX, PASSWORD, Rabbit, USER, breakable, shared},
};

/// An upstream as it would be written, with the user and these fields.
pub(crate) fn written(url: &str, more: Value) -> Value {
    let mut all = json!({ "url": url, "username": USER, "password": {"env": "P"} });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

pub(crate) fn tools() -> Tools {
    Secrets::tools(&[("P", PASSWORD)])
}

pub(crate) fn target(written: Value) -> Arc<amqp::Target> {
    let written = serde_json::from_value(written).unwrap();
    Arc::new(amqp::Target::build(&"rabbit".parse().unwrap(), written).unwrap())
}

pub(crate) fn lane(written: Value) -> Rc<amqp::Lane> {
    Rc::new(amqp::Lane::new(target(written), tools()))
}

/// A lane to a broker at this URL, as its user.
pub(crate) fn plain_lane(url: &str) -> Rc<amqp::Lane> {
    lane(written(url, json!({})))
}

/// A client of the broker on a channel of its own.
pub(crate) struct Client {
    pub(crate) channel: Channel,
    _connection: Connection,
}

impl Client {
    pub(crate) async fn connect(rabbit: &Rabbit) -> Self {
        let url = rabbit.url_of_user();
        let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        Self { channel, _connection: connection }
    }

    /// A durable queue with a name of its own.
    pub(crate) async fn queue(&self) -> String {
        self.queue_with(&[]).await
    }

    /// A durable queue with these arguments.
    pub(crate) async fn queue_with(&self, arguments: &[(&str, AMQPValue)]) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("q{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        // What a test before has left in the same folder is another test's.
        let delete = QueueDeleteOptions::default();
        self.channel.queue_delete(name.as_str().into(), delete).await.unwrap();
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(name.as_str().into(), durable, table).await.unwrap();
        name
    }

    /// A topic exchange with a name of its own, with nothing bound to it.
    pub(crate) async fn exchange(&self) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("e{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.delete_exchange(&name).await;
        let (options, table) = (ExchangeDeclareOptions::default(), FieldTable::default());
        let made = self.channel.exchange_declare(
            name.as_str().into(),
            ExchangeKind::Topic,
            options,
            table,
        );
        made.await.unwrap();
        name
    }

    pub(crate) async fn delete_exchange(&self, name: &str) {
        let options = ExchangeDeleteOptions::default();
        self.channel.exchange_delete(name.into(), options).await.unwrap();
    }

    /// Has a queue get what is published to an exchange with this key.
    pub(crate) async fn bind(&self, exchange: &str, key: &str, queue: &str) {
        let (options, table) = (QueueBindOptions::default(), FieldTable::default());
        let bound =
            self.channel.queue_bind(queue.into(), exchange.into(), key.into(), options, table);
        bound.await.unwrap();
    }

    pub(crate) async fn unbind(&self, exchange: &str, key: &str, queue: &str) {
        let table = FieldTable::default();
        self.channel.queue_unbind(queue.into(), exchange.into(), key.into(), table).await.unwrap();
    }

    /// The next message of a queue, taken out of it.
    pub(crate) async fn get(&self, queue: &str) -> Option<BasicGetMessage> {
        let options = BasicGetOptions { no_ack: true };
        self.channel.basic_get(queue.into(), options).await.unwrap()
    }

    /// How many messages a queue holds.
    pub(crate) async fn count(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let table = FieldTable::default();
        self.channel.queue_declare(queue.into(), passive, table).await.unwrap().message_count()
    }

    /// The numbers that a queue holds, all taken out of it. None may be there twice.
    pub(crate) async fn numbers(&self, queue: &str) -> HashSet<usize> {
        let mut numbers = HashSet::new();
        while let Some(message) = self.get(queue).await {
            let number = std::str::from_utf8(&message.delivery.data).unwrap().parse().unwrap();
            assert!(numbers.insert(number), "{number} is there twice");
        }
        numbers
    }
}

/// What a call was refused with.
pub(crate) fn refused(outcome: Result<Reply, Fault>) -> Fault {
    match outcome {
        Ok(reply) => panic!("it was not refused: {:?}", reply.receipt),
        Err(fault) => fault,
    }
}
