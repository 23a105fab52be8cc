//! `gusset subscribe`: print what arrives on a topic.

mod sse;

use std::time::Duration;

use admin::{
    invoke::upstream,
    topics::{Arrived, Told},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use http::Method;
use invokers::Tools;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use schemas::Body;
use tokio::time::timeout;

use self::sse::Parser;
use crate::{
    cli::{
        Done, Stop,
        arguments::{Format, Source},
        print, words,
    },
    client::{Admin, block_on},
    files, follow,
    secrets::Secrets,
};

const EXAMPLES: &str = "\
Examples:
  gusset subscribe bus/hello                        what the running gateway's `bus` carries
  gusset subscribe 'bus/orders.>' -n 10             ten messages, then end
  gusset subscribe bus/hello -c gateway.yaml        straight from the NATS server of a file
  gusset subscribe bus/hello -o json | jq .event.id

* stands for one token of a topic, > at the end for all that follow; of an AMQP exchange # stands
for any words of a key, as in 'rabbit/orders/#'. Only what arrives from now on
is seen: nothing is taken away from anybody else.";

/// How long the gateway may take to start listening.
const WITHIN: Duration = Duration::from_secs(15);
const PROBLEM_BYTES_MAX: usize = 1 << 20;

/// Print what arrives on a topic
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to listen to: upstream/topic, such as bus/hello
    address: String,
    /// End after so many messages
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    n: Option<u64>,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    source: Source,
}

/// What is heard, from wherever.
type Heard = BoxStream<'static, Result<Told, Stop>>;

/// Prints until there were enough, or nobody reads any more.
pub(crate) fn run(args: &Args) -> Done {
    let (name, topic) = args
        .address
        .split_once('/')
        .filter(|(_, topic)| !topic.is_empty())
        .ok_or_else(|| Stop::unusable("write upstream/topic, such as bus/hello"))?;
    block_on(async {
        let mut heard = match &args.source.config {
            Some(path) => {
                let (loaded, folder) = files::load_any(path)?;
                let upstream = upstream(&loaded.table, name)
                    .map_err(|problem| Stop::failed(problem.detail()))?;
                if upstream.target.kind() == "embedded" {
                    return Err(Stop::failed(format!(
                        "`{name}` is a bus in the memory of `gusset dev`; leave -c out to ask that"
                    )));
                }
                let tools = Tools {
                    secrets: std::sync::Arc::new(Secrets::new(folder)),
                    outbox: Default::default(),
                };
                let followed = follow::follow(upstream, topic.to_owned(), tools)
                    .await
                    .map_err(|fault| Stop::failed(fault.chain()))?;
                followed.map(|told| told.map_err(|fault| Stop::failed(fault.chain()))).boxed()
            }
            None => over(&Admin::new(&args.source.admin)?, name, topic).await?,
        };
        print::error(&format!("gusset: listening to {} (Ctrl-C ends it)", args.address));
        let mut left = args.n;
        while let Some(told) = heard.next().await {
            match told? {
                Told::Missed(count) => {
                    print::error(&format!("gusset: {count} messages went by too fast to be shown"));
                }
                Told::Arrived(arrived) => {
                    print::line(&args.show(&arrived))?;
                    left = left.map(|left| left - 1);
                    if left == Some(0) {
                        return Ok(());
                    }
                }
            }
        }
        Err(Stop::failed("the gateway has ended the stream; is it stopping?"))
    })?
}

/// Listens through a running gateway.
async fn over(admin: &Admin, upstream: &str, topic: &str) -> Result<Heard, Stop> {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let path = format!("/api/v1/topics/{}/events?upstream={}", encode(topic), encode(upstream));
    let late = |_| Stop::failed("the gateway took longer than 15s to listen to the topic");
    let response =
        timeout(WITHIN, admin.open(Method::GET, &path, Bytes::new())).await.map_err(late)??;
    let ok = response.status().is_success();
    let body = Body::incoming(response.into_body());
    if !ok {
        let body = timeout(WITHIN, body.collect(PROBLEM_BYTES_MAX)).await.map_err(late)?;
        let answer = crate::client::Answer { ok, body: body.unwrap_or_default() };
        return Err(Stop::failed(answer.refusal().detail));
    }
    Ok(Parser::stream(body).boxed())
}

impl Args {
    fn show(&self, arrived: &Arrived) -> String {
        match self.output {
            Format::Json => serde_json::to_string(arrived).unwrap_or_default(),
            Format::Text => in_words(arrived),
        }
    }
}

/// A message for people: where it arrived, its attributes and headers, then its data.
fn in_words(arrived: &Arrived) -> String {
    let mut lines = vec![format!("── {}", arrived.topic)];
    let attributes = arrived.event.iter().map(|(name, value)| (name.as_str(), words::value(value)));
    let headers = arrived.headers.iter().map(|(name, value)| (name.as_str(), value.clone()));
    lines.extend(words::pairs(&attributes.chain(headers).collect::<Vec<_>>()));
    lines.push(words::data(&arrived.data));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use admin::data::Data;

    use super::*;

    #[test]
    fn a_message_is_shown_with_its_attributes_and_cannot_steer_the_terminal() {
        let arrived = Arrived {
            topic: "hello".into(),
            event: serde_json::json!({"id": "1", "type": "a.b"}).as_object().unwrap().clone(),
            headers: vec![("x-trace".into(), "t".into())],
            data: Data::from(&b"hi\x1b[2J"[..]),
        };
        assert_eq!(in_words(&arrived), "── hello\nid       1\ntype     a.b\nx-trace  t\n\nhi·[2J");
    }
}
