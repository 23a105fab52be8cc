//! Events and requests on a real RabbitMQ.

mod breaking;
mod consuming;
mod publishing;
mod replying;
mod secured;

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    message::Delivery,
    options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use tokio::runtime::Runtime;

use crate::support::{
    Gateway, eventually,
    rabbit::{self, PASSWORD, Rabbit, USER},
};

/// A gateway with the broker as `rabbit`, of which it declares this, and these routes.
fn gateway(rabbit: &Rabbit, declare: &str, routes: &str) -> Gateway {
    let config = format!(
        "version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstreams:
  rabbit:
    kind: amqp
    url: {}
    username: {USER}
    password: {{ file: secret }}
    declare: {{ {declare} }}
routes:
{routes}",
        rabbit.url()
    );
    Gateway::run_with(&config, |folder| {
        std::fs::write(folder.join("secret"), format!("{PASSWORD}\n")).unwrap();
    })
}

/// A client of a broker, which does one thing after the other.
struct Client {
    runtime: Runtime,
    channel: Channel,
    _connection: Connection,
}

impl Client {
    fn connect(rabbit: &Rabbit) -> Self {
        // The client library works on after a call has returned.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (channel, connection) = runtime.block_on(async {
            let url = rabbit.url_of_user();
            let properties = ConnectionProperties::default();
            let connection = Connection::connect(&url, properties).await.unwrap();
            (connection.create_channel().await.unwrap(), connection)
        });
        Self { runtime, channel, _connection: connection }
    }

    /// Makes a durable queue.
    fn queue(&self, name: &str) {
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let made = self.channel.queue_declare(name.into(), durable, FieldTable::default());
        self.runtime.block_on(made).unwrap();
    }

    /// The next message of a queue, taken out of it, if there is one.
    fn get(&self, queue: &str) -> Option<Delivery> {
        let options = BasicGetOptions { no_ack: true };
        let got = self.runtime.block_on(self.channel.basic_get(queue.into(), options)).unwrap();
        got.map(|message| message.delivery)
    }

    /// The next message of a queue, when it is there.
    fn next(&self, queue: &str) -> Delivery {
        eventually("a message comes", || self.get(queue))
    }

    /// Replies to a request.
    fn reply(&self, asked: &Delivery, headers: &[(&str, &str)], body: &str) {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), AMQPValue::LongString((*value).into()));
        }
        let properties = BasicProperties::default()
            .with_correlation_id(asked.properties.correlation_id().clone().unwrap())
            .with_headers(table);
        let to = asked.properties.reply_to().clone().unwrap();
        let options = BasicPublishOptions::default();
        let published =
            self.channel.basic_publish("".into(), to, options, body.as_bytes(), properties);
        drop(self.runtime.block_on(published).unwrap());
    }
}

/// The text of a header of a message.
fn header(message: &Delivery, name: &str) -> Option<String> {
    match message.properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Answers the first request of a queue of the shared broker with 42.
pub(crate) fn answer_once(queue: &'static str) {
    std::thread::spawn(move || {
        let client = Client::connect(rabbit::shared());
        client.queue(queue);
        let asked = client.next(queue);
        client.reply(&asked, &[], "42");
    });
}
