//! Which gateway has which partition. A lease is a message that the server itself forgets unless it
//! is renewed, and that is written only by whoever knows its last number. A gateway that is there
//! says so in the same way, so that all know how many share the partitions.

use std::{sync::Arc, time::Duration};

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use super::{
    Shared,
    api::{Changed, Refused},
    hands::Lease,
    names::{PARTITIONS, last_number},
    pull,
};

/// How long the server keeps a lease that is not renewed.
const SERVER_KEEPS: Duration = Duration::from_secs(6);

/// How long a lease is lived by, from when its renewal was sent. It ends well before the server's,
/// whose clock began later.
const VALID: Duration = Duration::from_secs(5);

/// Between two rounds.
const ROUND: Duration = Duration::from_millis(1000);

/// Renews what this gateway has, takes what is free, and gives up what is more than its share.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut preparing = JoinSet::new();
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = rounds.tick() => {}
            () = shared.hurry.notified() => {}
        }
        while preparing.try_join_next().is_some() {}
        if shared.hands().closed {
            return;
        }
        shared.hands().lapse(Instant::now().into_std());
        if !shared.api.is_up() {
            continue;
        }
        // What cannot be asked now is asked in the next round; until then the leases run on.
        if let Ok(taken) = round(&shared).await {
            for (partition, epoch) in taken {
                preparing.spawn(pull::prepare(Arc::clone(&shared), partition, epoch));
            }
        }
    }
}

async fn round(shared: &Arc<Shared>) -> Result<Vec<(u16, u64)>, Refused> {
    let api = &shared.api;
    let (member, _) = tokio::join!(
        api.publish(api.names.member(&shared.name), for_a_while(), Bytes::new()),
        renew(shared),
    );
    member?;
    let (_, live) = api.amount(&api.names.state(), Some(&api.names.live())).await?;
    let members = live.keys().filter(|subject| subject.contains(".live.member.")).count().max(1);
    let leased: Vec<u16> = live
        .keys()
        .filter(|subject| subject.contains(".live.lease."))
        .filter_map(|subject| u16::try_from(last_number(subject)?).ok())
        .collect();
    let fair = usize::from(PARTITIONS).div_ceil(members);
    let own = shared.hands().leases();
    let staying: Vec<u16> =
        own.iter().filter(|(_, lease)| !lease.leaving).map(|(at, _)| *at).collect();
    for partition in staying.iter().skip(fair) {
        shared.hands().leave(*partition);
    }
    for (partition, lease) in own.iter().filter(|(_, lease)| lease.leaving) {
        if shared.hands().under_way(*partition) == 0 {
            release(shared, *partition, lease.seq).await;
        }
    }
    // Not all gateways begin at the same one.
    let start = shared.name.bytes().fold(0, |sum: u16, byte| sum.wrapping_add(byte.into()));
    let free = (0..PARTITIONS)
        .map(|at| (at + start % PARTITIONS) % PARTITIONS)
        // A lease that ran out here while the connection was gone may be there still, and be its own.
        .filter(|at| !leased.contains(at) || shared.hands().lapsed.contains(at));
    let mut taken = Vec::new();
    for partition in free {
        if staying.len() + taken.len() >= fair || shared.hands().stopped {
            break;
        }
        if own.iter().any(|(at, _)| *at == partition) {
            continue;
        }
        if let Some(epoch) = take(shared, partition).await? {
            taken.push((partition, epoch));
        }
    }
    Ok(taken)
}

fn for_a_while() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-TTL", format!("{}s", SERVER_KEEPS.as_secs()));
    headers
}

/// Renews every lease that runs.
async fn renew(shared: &Shared) {
    let own = shared.hands().leases();
    join_all(own.into_iter().map(async |(partition, lease)| {
        let sent = Instant::now().into_std();
        match write(shared, partition, lease.seq).await {
            Ok(Ok(seq)) => shared.hands().change(partition, lease.epoch, |lease| {
                (lease.seq, lease.until) = (seq, sent + VALID);
            }),
            Ok(Err(Changed)) => match mine(shared, partition).await {
                // An earlier renewal was stored whose answer was lost; the next round renews it.
                Ok(Some(seq)) => {
                    shared.hands().change(partition, lease.epoch, |lease| lease.seq = seq);
                }
                Ok(None) => shared.hands().lose(partition),
                Err(_) => {}
            },
            Err(_) => {}
        }
    }))
    .await;
}

/// Takes a partition, if nobody else has it. Returns the number by which it was taken.
async fn take(shared: &Shared, partition: u16) -> Result<Option<u64>, Refused> {
    let sent = Instant::now().into_std();
    let taken = match write(shared, partition, 0).await? {
        Ok(seq) => Some(seq),
        Err(Changed) => match mine(shared, partition).await? {
            Some(seq) => write(shared, partition, seq).await?.ok(),
            None => None,
        },
    };
    shared.hands().lapsed.remove(&partition);
    let Some(seq) = taken else { return Ok(None) };
    let until = sent + VALID;
    let lease = Lease { epoch: seq, seq, until, leaving: false, ready: false };
    shared.hands().hold(partition, lease);
    Ok(Some(seq))
}

async fn write(
    shared: &Shared,
    partition: u16,
    last: u64,
) -> Result<Result<u64, Changed>, Refused> {
    let subject = shared.api.names.lease(partition);
    let owner = Bytes::from(shared.name.clone());
    shared.api.swap(subject, last, for_a_while(), owner).await
}

/// The number of a partition's lease, if it is this gateway's.
async fn mine(shared: &Shared, partition: u16) -> Result<Option<u64>, Refused> {
    let api = &shared.api;
    let last = api.last_for_sure(&api.names.state(), &api.names.lease(partition)).await?;
    Ok(last.filter(|kept| kept.data == shared.name.as_bytes()).map(|kept| kept.seq))
}

/// Gives a partition to whoever takes it first.
async fn release(shared: &Shared, partition: u16, seq: u64) {
    shared.hands().lose(partition);
    // If this is not heard, the server forgets the lease by itself.
    shared.api.delete(&shared.api.names.state(), seq).await.ok();
}

/// Gives up everything at once: a gateway that stops in good order.
pub(super) async fn release_all(shared: &Shared) {
    let own = shared.hands().leases();
    join_all(own.into_iter().map(|(partition, lease)| release(shared, partition, lease.seq))).await;
    let names = &shared.api.names;
    shared.api.purge(&names.state(), &names.member(&shared.name)).await.ok();
}
