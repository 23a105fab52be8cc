//! How records come into hand: for each partition that is this gateway's, and each target that has
//! records there, a consumer of its own, so that a target that is down holds up no other.
//!
//! The consumers of a partition are made anew for each lease, and whenever something that one has
//! given out may have been lost, so that everything that is not acknowledged comes again, at once
//! and in its order.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::{task::JoinSet, time::MissedTickBehavior};

use super::{
    Shared, Trouble,
    api::{Get, Refused},
    hands::Pulled,
    names::last_number,
};
use crate::{Id, entry::Progress, record::Hex};

/// How long the server waits for word of a record in hand.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// How often it gets word.
const WORD: Duration = Duration::from_secs(10);

/// How many records of a target are in hand at most, for each partition.
const IN_HAND_MAX: i64 = 1024;

/// How many are asked for at once.
const TOGETHER: usize = 64;

/// How often it is looked for new targets.
const LOOK: Duration = Duration::from_secs(1);

/// At every so many of these looks it is looked whether the dead letters are still there that keys
/// wait for.
const LETTERS: u32 = 60;

/// A consumer that nobody pulls from is forgotten by the server.
const FORGOTTEN: Duration = Duration::from_secs(300);

/// Asked for together when a partition is taken.
const AT_ONCE: usize = 64;

/// Looks for records of this gateway's partitions, and sees to it that all of them are pulled.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut pulling: JoinSet<(u16, u64, String)> = JoinSet::new();
    let mut known: HashSet<(u16, u64, String)> = HashSet::new();
    let mut rounds: u32 = 0;
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = shared.look.notified() => {}
        }
        while let Some(ended) = pulling.try_join_next() {
            if let Ok(ended) = ended {
                known.remove(&ended);
            }
        }
        if shared.hands().closed {
            return;
        }
        shared.look_for_letters(rounds.is_multiple_of(LETTERS)).await;
        rounds += 1;
        // What cannot be asked now is asked the next time.
        let there = shared.measure().await.unwrap_or_default();
        for (partition, target) in there {
            let Some(lease) = shared.hands().lease(partition) else { continue };
            let key = (partition, lease.epoch, target);
            if lease.ready && !lease.leaving && known.insert(key.clone()) {
                let shared = Arc::clone(&shared);
                pulling.spawn(async move {
                    pull(&shared, &key).await;
                    key
                });
            }
        }
    }
}

/// Tells the server again and again that what is in hand is worked on.
pub(super) async fn extend(shared: Arc<Shared>) {
    let mut words = tokio::time::interval(WORD);
    words.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        words.tick().await;
        let replies = shared.hands().replies();
        if !shared.api.is_up() {
            continue;
        }
        for reply in replies {
            let word = Bytes::from_static(b"+WPI");
            // What is not heard comes again, and is known again.
            shared.api.client.publish(reply, word).await.ok();
        }
    }
}

/// Makes a partition that was just taken ready: the consumers of whoever had it before go, and how
/// far its records have come is read.
pub(super) async fn prepare(shared: Arc<Shared>, partition: u16, epoch: u64) {
    loop {
        let is_ours = shared.hands().lease(partition).is_some_and(|lease| lease.epoch == epoch);
        if !is_ours {
            return;
        }
        let done = async {
            sweep(&shared, partition, epoch).await?;
            let waiting = shared.keys_that_wait(partition).await?;
            Ok::<_, Refused>((progress(&shared, partition).await?, waiting))
        };
        match done.await {
            Ok((progress, waiting)) => {
                shared.came().insert(partition, progress);
                let mut hands = shared.hands();
                if hands.lease(partition).is_none_or(|lease| lease.epoch != epoch) {
                    return;
                }
                for (dead, waits) in waiting {
                    hands.wait_for(partition, dead, &waits.target, &waits.order);
                }
                hands.change(partition, epoch, |lease| lease.ready = true);
                drop(hands);
                shared.look.notify_one();
                return;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Removes the consumers that an earlier lease has made.
async fn sweep(shared: &Shared, partition: u16, epoch: u64) -> Result<(), Refused> {
    #[derive(Deserialize)]
    struct Consumers {
        #[serde(default)]
        consumers: Option<Vec<String>>,
        #[serde(default)]
        total: usize,
    }
    let stream = shared.api.names.work();
    let mut found = Vec::new();
    loop {
        let what = format!("CONSUMER.NAMES.{stream}");
        let page: Consumers = shared.api.call(&what, &json!({ "offset": found.len() })).await?;
        let page_names = page.consumers.unwrap_or_default();
        let empty = page_names.is_empty();
        found.extend(page_names);
        if empty || found.len() >= page.total {
            break;
        }
    }
    let (of, own) = (format!("{partition}-"), format!("-{epoch}"));
    for name in found.iter().filter(|name| name.starts_with(&of) && !name.ends_with(&own)) {
        remove(shared, stream, name).await?;
    }
    Ok(())
}

/// Removes a consumer, if it is there.
async fn remove(shared: &Shared, stream: &str, name: &str) -> Result<(), Refused> {
    let what = format!("CONSUMER.DELETE.{stream}.{name}");
    match shared.api.call::<serde_json::Value>(&what, &json!({})).await {
        Ok(_) | Err(Refused::Said { err_code: 10_014, .. }) => Ok(()),
        Err(other) => Err(other),
    }
}

/// How far the records of a partition have come. What is said of records that are gone is removed.
async fn progress(shared: &Shared, partition: u16) -> Result<HashMap<Id, Progress>, Refused> {
    let (api, names) = (&shared.api, &shared.api.names);
    let (stream, filter) = (names.state(), names.progress_of(partition));
    let (_, subjects) = api.amount(&stream, Some(&filter)).await?;
    let stream = &stream;
    let read = stream::iter(subjects.into_keys()).map(async |subject| {
        let Some(id) = last_number(&subject).map(Id) else { return Ok(None) };
        if api.get(names.work(), Get::Number(id.0)).await?.is_none() {
            api.purge(stream, &subject).await?;
            return Ok(None);
        }
        let kept = api.get(stream, Get::LastOf(&subject)).await?;
        let progress = kept.and_then(|kept| serde_json::from_slice(&kept.data).ok());
        Ok::<_, Refused>(progress.map(|progress| (id, progress)))
    });
    let mut read = std::pin::pin!(read.buffer_unordered(AT_ONCE));
    let mut all = HashMap::new();
    while let Some(one) = read.next().await {
        all.extend(one?);
    }
    Ok(all)
}

/// Pulls the records of a target until the lease is over. Whatever ends it early, the next look
/// begins it again.
async fn pull(shared: &Arc<Shared>, key: &(u16, u64, String)) {
    let (partition, epoch, target) = key;
    let of = (*partition, *epoch);
    let mut up = shared.api.up.clone();
    let Some(consumer) = consumer(shared, of, target).await else { return };
    let asked = consumer.stream().max_messages_per_batch(TOGETHER).expires(ACK_WAIT);
    let Ok(mut messages) = asked.heartbeat(WORD).messages().await else { return };
    let mut given = 0;
    loop {
        let next = tokio::select! {
            biased;
            _ = up.wait_for(|up| !*up) => return,
            next = messages.next() => next,
        };
        let Some(Ok(message)) = next else { return };
        let Ok(info) = message.info() else { continue };
        let id = Id(info.stream_sequence);
        given += 1;
        // One before it was lost on its way: the consumer would give that out again only after
        // `ACK_WAIT`, behind those of its key that follow it.
        if info.consumer_sequence != given {
            return;
        }
        let Some(reply) = message.message.reply.clone() else { continue };
        let data = &message.message.payload;
        let progress = shared.came().get_mut(partition).and_then(|came| came.remove(&id));
        let pulled = shared.hands().pulled(of, id, reply.clone(), data, progress);
        match pulled {
            Pulled::Taken => shared.changed.notify_waiters(),
            Pulled::AckAgain => {
                if shared.api.ack(reply).await.is_ok() {
                    shared.hands().confirmed(id);
                }
            }
            Pulled::Damaged => shared.settings.tell.tell(Trouble::Damaged(id)),
            Pulled::NotOurs => {
                let is_over = shared
                    .hands()
                    .lease(*partition)
                    .is_none_or(|lease| lease.epoch != *epoch || lease.leaving);
                if is_over {
                    return;
                }
            }
        }
    }
}

/// A new consumer, in the place of the one that was there.
async fn consumer(shared: &Shared, of: (u16, u64), target: &str) -> Option<PullConsumer> {
    let (partition, epoch) = of;
    let names = &shared.api.names;
    let digest = Sha256::digest(target);
    let short = Hex::of(digest.get(..16).unwrap_or_default());
    let name = format!("{partition}-{short}-{epoch}");
    remove(shared, names.work(), &name).await.ok()?;
    let config = pull::Config {
        durable_name: Some(name),
        description: Some(format!("gusset: {}", target.escape_default())),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        filter_subject: names.record(partition, target),
        max_ack_pending: IN_HAND_MAX,
        inactive_threshold: FORGOTTEN,
        ..pull::Config::default()
    };
    let stream = shared.api.jetstream.get_stream_no_info(names.work()).await.ok()?;
    match stream.create_consumer(config).await {
        Ok(consumer) => Some(consumer),
        Err(_) => {
            // Whoever had the partition before may have made one at the last moment.
            sweep(shared, partition, epoch).await.ok();
            None
        }
    }
}
