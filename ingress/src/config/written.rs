//! The configuration as it is written. The comments here are the descriptions of the JSON Schema,
//! and the types are what a file is read into.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemas::{
    Ack, Address, FileRef, Format, Name, Secret,
    cloudevents::webhook::Allowed,
    units::{Percent, Size, Span},
};
use serde::Deserialize;

use super::shape::{OneOrMany, TextOr};
use crate::filters::Filter;

/// Where requests arrive: one address, or a list of named ones.
pub(super) type Listen = OneOrMany<TextOr<String, Listener>>;

/// A socket on which requests arrive.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    /// Its name, for `match.listeners`, records and metrics.
    pub(super) name: Name,
    /// Its address and port, such as `0.0.0.0:8080` or `"[::]:8080"`. Port 0 takes any free one.
    pub(super) address: String,
}

/// Where the admin API is: its address, or a mapping that says more.
pub(super) type Admin = TextOr<String, AdminForm>;

/// The admin API, and who may use it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Admin")]
pub(super) struct AdminForm {
    /// Its address and port, such as `127.0.0.1:8081`. Changing it needs a restart.
    pub(super) address: String,
    /// What a request must bring as `Authorization: Bearer`. Needed beyond loopback. A file is read
    /// again when it changes.
    pub(super) token: Option<Secret>,
}

/// One rule: which requests, and what becomes of them. It has exactly one of `to`, `to_all`,
/// `respond` and `redirect`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    /// Its name, which no other route has. It stands in records, metrics and `gusset explain`.
    pub(super) name: Name,
    /// Which requests the route serves. Left out: all that no other route serves.
    #[serde(rename = "match")]
    pub(super) matching: Option<Match>,
    /// Where requests are sent: an address, or a list of targets that share them by weight.
    pub(super) to: Option<OneOrMany<Target>>,
    /// Targets that each get every event, delivered on its own; with `ack: stored`.
    pub(super) to_all: Option<Vec<Target>>,
    /// Answers here, without any target.
    pub(super) respond: Option<Respond>,
    /// Sends the caller elsewhere.
    pub(super) redirect: Option<Redirect>,
    /// The path that an HTTP target gets. Default: the path that came.
    pub(super) rewrite: Option<Rewrite>,
    /// Takes `match.prefix` off the path that an HTTP target gets.
    pub(super) strip_prefix: Option<bool>,
    /// Gives an HTTP target the Host that came instead of the host of the upstream's URL.
    pub(super) preserve_host: Option<bool>,
    /// Changes of the headers, both ways.
    pub(super) headers: Option<Headers>,
    /// What the target gets. Default: `auto` where requests stay requests, `binary` for brokers.
    pub(super) format: Option<Format>,
    /// What becomes of the target's reply, by the same names. Default `auto`: as it came.
    pub(super) reply_format: Option<Format>,
    /// What an answer means: `replied`, the function's own answer; `published`, a broker has taken
    /// the event; `stored`, it is on disk here and will be delivered or be a dead letter. Default:
    /// as the target's kind does it, `stored` with `to_all`.
    pub(super) ack: Option<Ack>,
    /// With `ack: stored`, how the event is delivered.
    pub(super) delivery: Option<outbox::config::DeliveryWritten>,
    /// With `ack: stored`, where a copy of an event goes that was given up.
    pub(super) dead_letter: Option<TextOr<Address, LongAddress>>,
    /// With `ack: stored`, how long the caller waits for the function's answer; after that it is
    /// told where to ask for it.
    pub(super) wait: Option<Span>,
    /// With `ack: stored`, a text with placeholders: events for which it is the same are delivered
    /// one at a time and in order. Without it no order is promised.
    pub(super) order_by: Option<String>,
    /// A second target that gets a copy of some of the requests. The caller never sees its answer
    /// and never waits for it.
    pub(super) mirror: Option<Mirror>,
    /// Attributes that a plain request gets when it becomes an event, by attribute name.
    /// Placeholders may stand in each.
    pub(super) set_event: Option<BTreeMap<String, String>>,
    /// Names of request headers that travel beside an event to a broker. Default: none.
    pub(super) forward_headers: Option<Vec<String>>,
    /// Which webhooks may deliver events here. Without it the handshake by which they ask is a
    /// request like any other.
    pub(super) webhook: Option<Allowed>,
    /// What a placeholder may make of the name of a function that is code: names, or globs in which
    /// `*` stands for any text. A target with such a placeholder needs it.
    pub(super) allow: Option<Vec<String>>,
    /// Names of policies, laid one over the other in this order.
    #[serde(rename = "use")]
    pub(super) uses: Option<Vec<Name>>,
    /// What is this route's own in its policy; it wins over all others.
    pub(super) policy: Option<policy::Written>,
}

/// Who gets a copy of some of a route's requests. A body over `limits.event` is not copied, and nor
/// is a request while there is no room for its copy.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Mirror {
    /// The target: an address.
    pub(super) to: TextOr<Address, LongAddress>,
    /// How many of a hundred requests are copied; fractions down to 0.01. Default 100.
    pub(super) percent: Option<f64>,
    /// What the target gets. Default: as its kind does it.
    pub(super) format: Option<Format>,
    /// Copies go to a function too, which then runs twice for what was asked once. Without it a
    /// target that runs code is refused. Default false.
    pub(super) allow_side_effects: Option<bool>,
}

/// Which requests a route serves. All conditions must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Match {
    /// The listener that the request arrives at, or a list of them. Default: all.
    pub(super) listeners: Option<OneOrMany<Name>>,
    /// Hosts, exact or `"*.example.com"`. Default: all.
    pub(super) hosts: Option<Vec<String>>,
    /// The whole path. `{name}` takes one segment, `{name*}` at the end takes all that is left.
    pub(super) path: Option<String>,
    /// The path or one below it: `/shop` serves `/shop` and `/shop/x`, not `/shopping`.
    pub(super) prefix: Option<String>,
    /// The whole path by a regular expression.
    pub(super) regex: Option<String>,
    /// Methods. Default: all; POST where the route stands at `events_path`.
    pub(super) methods: Option<Vec<String>>,
    /// Conditions on headers by their names: a text that the value must be, or another condition.
    pub(super) headers: Option<BTreeMap<String, TextOr<String, Condition>>>,
    /// Conditions on query parameters by their names, as for `headers`.
    pub(super) query: Option<BTreeMap<String, TextOr<String, Condition>>>,
    /// Conditions on the CloudEvent. A route with them and without a path stands at `events_path`.
    pub(super) event: Option<EventMatch>,
    /// Decides between routes that are otherwise equal; the higher wins. Default 0.
    pub(super) priority: Option<i32>,
    /// The source whose events the route takes. It takes no requests then, and its only other
    /// conditions are `event` and `priority`.
    pub(super) source: Option<Name>,
}

/// A condition on a text: exactly one of its fields.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Condition {
    /// It is this.
    pub(super) exact: Option<String>,
    /// It starts with this.
    pub(super) prefix: Option<String>,
    /// The whole of it fits this regular expression.
    pub(super) regex: Option<String>,
    /// It is there, whatever it is; `false`: it is not there.
    pub(super) present: Option<bool>,
}

/// Conditions on a CloudEvent. Without any, every event fits.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventMatch {
    /// The event's type, exact or with one `*` at its end: `"com.acme.order.*"`.
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    /// Filters of the CloudEvents Subscriptions API; all must hold.
    pub(super) filters: Option<Vec<Filter>>,
}

/// A target: an address, or a mapping that says more.
pub(super) type Target = TextOr<Address, TargetForm>;

/// A target that says more than its address: the long form of an address (`upstream` and what its
/// kind calls a function), or `to` with an address; either with the fields that are this target's
/// own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetForm {
    /// Its address.
    pub(super) to: Option<TextOr<Address, LongAddress>>,
    /// The upstream's name, instead of `to`.
    pub(super) upstream: Option<Name>,
    /// The subject, beside an `upstream` of kind nats.
    pub(super) subject: Option<String>,
    /// The exchange, beside an `upstream` of kind amqp. Default: the default exchange.
    pub(super) exchange: Option<String>,
    /// The routing key, beside an `upstream` of kind amqp.
    pub(super) key: Option<String>,
    /// The topic, beside an `upstream` of kind embedded.
    pub(super) topic: Option<String>,
    /// The method, `package.Service/Method`, beside an `upstream` of kind grpc. Default: all.
    pub(super) method: Option<String>,
    /// The function, beside an `upstream` of a function platform.
    pub(super) function: Option<String>,
    /// Its share among the route's targets. Default 1; 0 gets nothing.
    pub(super) weight: Option<u32>,
    /// As the route's `rewrite`.
    pub(super) rewrite: Option<Rewrite>,
    /// As the route's `strip_prefix`.
    pub(super) strip_prefix: Option<bool>,
    /// As the route's `preserve_host`.
    pub(super) preserve_host: Option<bool>,
    /// Changes of the headers, after the route's own.
    pub(super) headers: Option<Headers>,
    /// As the route's `format`.
    pub(super) format: Option<Format>,
    /// As the route's `reply_format`.
    pub(super) reply_format: Option<Format>,
    /// A bound on the whole call to this target, at most the route's `timeout`.
    pub(super) timeout: Option<Span>,
    /// As the route's `allow`.
    pub(super) allow: Option<Vec<String>>,
    /// kind grpc: what fields of the message are set to, by their paths, such as
    /// `order.kind: "{event.type}"`; it wins over the body and the path.
    pub(super) fields: Option<BTreeMap<String, String>>,
}

/// The long form of an address.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LongAddress {
    /// The upstream's name.
    pub(super) upstream: Name,
    /// The subject, for an upstream of kind nats.
    pub(super) subject: Option<String>,
    /// The exchange, for an upstream of kind amqp. Default: the default exchange.
    pub(super) exchange: Option<String>,
    /// The routing key, for an upstream of kind amqp.
    pub(super) key: Option<String>,
    /// The topic, for an upstream of kind embedded.
    pub(super) topic: Option<String>,
    /// The method, `package.Service/Method`, for an upstream of kind grpc. Default: all.
    pub(super) method: Option<String>,
    /// The function, for an upstream of a function platform.
    pub(super) function: Option<String>,
}

impl LongAddress {
    /// What is said of the function, by the names of the fields.
    pub(super) fn words(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("subject", &self.subject),
            ("exchange", &self.exchange),
            ("key", &self.key),
            ("topic", &self.topic),
            ("method", &self.method),
            ("function", &self.function),
        ];
        all.into_iter().filter_map(|(field, text)| Some((field, text.as_deref()?)))
    }
}

/// The path that an HTTP target gets. The path of the upstream's URL goes in front.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rewrite {
    /// The new path, with placeholders: `"/v2/{rest}"`.
    pub(super) path: String,
    /// Whether the query goes along. Default `keep`.
    pub(super) query: Option<Query>,
}

/// Whether the query goes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Query {
    /// As it came.
    Keep,
    /// Without it.
    Drop,
}

/// Changes of the headers, both ways.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Headers {
    /// On the way to the target.
    pub(super) request: Option<HeaderChanges>,
    /// On the way back.
    pub(super) response: Option<HeaderChanges>,
}

/// Changes of headers, in this order: remove, set, add.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderChanges {
    /// Puts these in place of what is there. Placeholders may stand in each value.
    pub(super) set: Option<BTreeMap<String, String>>,
    /// Puts these beside what is there. Placeholders may stand in each value.
    pub(super) add: Option<BTreeMap<String, String>>,
    /// Takes these out.
    pub(super) remove: Option<Vec<String>>,
}

/// An answer that is given here.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Respond {
    /// The status, from 200 to 599. Default 200.
    #[schemars(range(min = 200, max = 599))]
    pub(super) status: Option<u16>,
    /// The headers. Default: a Content-Type of `text/plain; charset=utf-8` where there is a body.
    pub(super) headers: Option<BTreeMap<String, String>>,
    /// The body, as it is. Default: empty.
    pub(super) body: Option<String>,
}

/// Sends the caller elsewhere.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Redirect {
    /// The Location: an `http://` or `https://` URL, or a path. Placeholders may stand behind the
    /// host.
    pub(super) to: String,
    /// 301, 302, 303, 307 or 308. Default 307, which keeps the method and is not remembered.
    #[schemars(extend("enum" = [301, 302, 303, 307, 308]))]
    pub(super) status: Option<u16>,
}

/// Consumes topics and gives their events to the routes that name it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    /// What it consumes: a topic of an upstream of kind embedded (`local/orders`) or a subject of
    /// one of kind nats (`js/orders.created`), in both of which `*` and a last `>` may stand for
    /// tokens; or a queue of one of kind amqp (`rabbit//orders`).
    pub(super) from: Address,
    /// How many of its events are delivered at once, from 1 to 1024. Default 16.
    pub(super) concurrency: Option<u32>,
    /// By which name the NATS server remembers what was consumed: that of the durable consumer, or
    /// on core NATS of the queue group. Default `gusset-` and the source's name.
    pub(super) durable: Option<String>,
}

/// An outbox on NATS JetStream, which several gateways share.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OutboxOnJetstream {
    /// The NATS server, or a list of servers of one cluster.
    pub(super) url: invokers::Urls,
    /// The stream; the names of the others that it needs begin with it. Default GUSSET_OUTBOX.
    pub(super) stream: Option<String>,
    /// On how many servers each stream is kept: 1 to 5. Default 1.
    pub(super) replicas: Option<u8>,
    /// Where the server says when it syncs what it has stored: the URL of its monitor, or a list
    /// with that of each server. Default: nobody is asked.
    pub(super) monitor: Option<invokers::Urls>,
    /// How much pending events may take. Default 1GiB.
    pub(super) max_size: Option<Size>,
    /// How much of that one target may take, so that one that is down leaves room for the others.
    /// Default 50%.
    pub(super) per_target: Option<Percent>,
    /// How much of what was given up is kept.
    pub(super) dead_letters: Option<outbox::config::DeadLettersWritten>,
    /// The user name; with `password`.
    pub(super) username: Option<String>,
    /// The password.
    pub(super) password: Option<Secret>,
    /// A token.
    pub(super) token: Option<Secret>,
    /// The seed of an nkey (`SU…`).
    pub(super) nkey: Option<Secret>,
    /// A credentials file (`.creds`) with a JWT and a seed.
    pub(super) credentials: Option<FileRef>,
    /// TLS settings. A `tls://` URL asks for TLS by itself.
    pub(super) tls: Option<invokers::tls::Tls>,
    /// How long connecting may take. Default 5s.
    pub(super) connect_timeout: Option<Span>,
    /// Lets a credential go over plain text to an address that is not loopback.
    pub(super) allow_plaintext_credentials: Option<bool>,
}

impl OutboxOnJetstream {
    /// What an upstream of the same server would be.
    pub(super) fn nats(self) -> invokers::nats::Written {
        invokers::nats::Written {
            url: self.url,
            jetstream: Some(invokers::nats::JetStream::On(true)),
            monitor: self.monitor,
            username: self.username,
            password: self.password,
            token: self.token,
            nkey: self.nkey,
            credentials: self.credentials,
            tls: self.tls,
            connect_timeout: self.connect_timeout,
            allow_plaintext_credentials: self.allow_plaintext_credentials,
        }
    }
}

/// How many gateways run one configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Replicas {
    /// One.
    #[default]
    One,
    /// Several, that share nothing but an outbox on JetStream.
    Many,
}

/// An upstream of kind embedded: topics in the gateway's own outbox.
#[derive(Clone, Debug, Default, Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Embedded {}
