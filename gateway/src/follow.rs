//! Listens to a topic of an upstream, whichever kind it is.

use std::{sync::Arc, time::Duration};

use admin::topics::{Arrived, Followed, Told};
use futures_util::{StreamExt as _, stream};
use ingress::Upstream;
use invokers::{
    Target, Tools, amqp,
    embedded::{Heard, NotFollowed},
    message::Message,
    nats,
};
use schemas::{Class, Fault};
use tokio::time::timeout;

/// How long it may take to start listening. Every server of a cluster gets its share of it.
const WITHIN: Duration = Duration::from_secs(10);

/// Listens to a topic. Once this returns, everything that is published from then on is heard.
///
/// # Errors
/// If the upstream has no topics, cannot be reached, or the topic is none.
pub(crate) async fn follow(
    upstream: Arc<Upstream>,
    topic: String,
    tools: Tools,
) -> Result<Followed, Fault> {
    match &upstream.target {
        Target::Embedded(target) => {
            let follower = target.bus.follow(&topic).map_err(|why| {
                let class = match why {
                    NotFollowed::Topic => Class::BadRequest,
                    NotFollowed::Full => Class::Overloaded,
                };
                Fault::new(class, why.to_string())
            })?;
            let heard = stream::unfold(follower, async |mut follower| {
                let told = match follower.next().await? {
                    Heard::Message(published) => {
                        Told::Arrived(arrived(published.topic.clone(), published.message.clone()))
                    }
                    Heard::Missed(count) => Told::Missed(count),
                };
                Some((Ok(told), follower))
            });
            Ok(heard.boxed())
        }
        Target::Nats(target) => {
            let following = timeout(WITHIN, nats::follow(target, &tools, &topic))
                .await
                .map_err(|_| Fault::new(Class::Timeout, "the NATS server took too long"))??;
            let heard = stream::unfold(following, async |mut following| {
                Some((following.next().await?.map(told), following))
            });
            Ok(heard.boxed())
        }
        Target::Amqp(target) => {
            let following = timeout(WITHIN, amqp::follow(target, &tools, &topic))
                .await
                .map_err(|_| Fault::new(Class::Timeout, "the AMQP broker took too long"))??;
            let heard = stream::unfold(following, async |mut following| {
                Some((following.next().await?.map(told), following))
            });
            Ok(heard.boxed())
        }
        Target::Http(_)
        | Target::Grpc(_)
        | Target::Lambda(_)
        | Target::OpenFaas(_)
        | Target::Azure(_)
        | Target::Knative(_)
        | Target::Google(_) => Err(Fault::new(
            Class::BadRequest,
            format!(
                "`{}` is of kind {}, which has no topics to listen to",
                upstream.name,
                upstream.target.kind()
            ),
        )),
    }
}

fn told((topic, message): (String, Message)) -> Told {
    Told::Arrived(arrived(topic, message))
}

fn arrived(topic: String, message: Message) -> Arrived {
    Arrived::new(topic, message.attributes.as_ref(), message.headers, &message.data)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use invokers::embedded::{self, Bus};
    use schemas::secret::NoSecrets;

    use super::*;

    fn upstream(target: Target) -> Arc<Upstream> {
        let name = "bus".parse().unwrap();
        let guarding = ingress::table::Guarding::default();
        let written = serde_json::Value::Null;
        Arc::new(Upstream { name, index: 0, target, guarding, digest: 0, written })
    }

    #[tokio::test]
    async fn what_is_published_to_the_bus_in_memory_is_told() {
        let bus = Arc::new(Bus::default());
        let tools = Tools { secrets: Arc::new(NoSecrets), outbox: Default::default() };
        let name = "bus".parse().unwrap();
        let target = embedded::Target { name, bus: Arc::clone(&bus), sources: Box::default() };
        let upstream = upstream(Target::Embedded(Arc::new(target)));
        let mut heard =
            follow(Arc::clone(&upstream), "a.*".to_owned(), tools.clone()).await.unwrap();
        let data = Bytes::from_static(b"hi");
        bus.publish("a.b", Message { data, ..Message::default() });
        let told = heard.next().await.unwrap().unwrap();
        assert_eq!(told, Told::Arrived(Arrived::new("a.b", None, Vec::new(), b"hi")));
        let refused = follow(upstream, "a..b".to_owned(), tools).await;
        assert_eq!(refused.err().unwrap().class, Class::BadRequest);
    }
}
