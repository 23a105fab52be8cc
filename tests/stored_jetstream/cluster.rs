//! A cluster of three servers and three gateways, of each of which one dies.

use std::collections::BTreeSet;

use super::{ORDERED, STORES, await_all, offer, ready, server_is_new, sink};
use crate::support::{Gateway, eventually, free_port, nats::Server};

/// Three servers of one cluster.
fn cluster() -> Vec<Server> {
    let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let routes: Vec<String> = ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
    let one = |(at, port): (usize, &u16)| {
        format!(
            "server_name: n{at}\ncluster {{ name: c, listen: \"127.0.0.1:{port}\", routes: {routes:?} }}"
        )
    };
    Server::start_all(&ports.iter().enumerate().map(one).collect::<Vec<_>>())
}

fn config(servers: &[Server], web: &str, routes: &str) -> String {
    let urls: Vec<String> = servers.iter().map(Server::url).collect();
    format!(
        "outbox: {{ kind: jetstream, url: {urls:?}, replicas: 3, max_size: 64MiB }}
upstreams:
  web: {{ kind: http, url: \"{web}\" }}
routes:
{routes}"
    )
}

/// Offers an event until it is stored.
fn store(gateway: &Gateway, key: &str, id: &str) {
    eventually("it is stored", || (offer(gateway, key, id, id).status == 202).then_some(()));
}

#[test]
fn a_server_of_a_cluster_may_die_and_come_back_and_then_another() {
    if !server_is_new() {
        return;
    }
    let mut servers = cluster();
    let (peer, arrived) = sink();
    let gateway = Gateway::start(&config(&servers, &peer.url(), ORDERED));
    ready(&gateway);
    let mut ids = BTreeSet::new();
    let mut send = |from: u32| {
        for n in from..from + 40 {
            let id = format!("{n:04}");
            store(&gateway, &format!("k{}", n % 5), &id);
            ids.insert(id);
        }
    };
    send(0);
    for (round, dies) in [(1, 0), (2, 1), (3, 2)] {
        servers[dies].kill();
        send(round * 100);
        servers[dies].restart();
        send(round * 100 + 50);
    }
    await_all(&arrived, &ids);
}

#[test]
fn three_gateways_share_the_work_and_take_over_that_of_one_that_is_killed() {
    if !server_is_new() {
        return;
    }
    let server = Server::start();
    let (peer, arrived) = sink();
    let text = super::config(&server, &peer.url(), STORES);
    let start = || {
        let gateway = Gateway::start(&text);
        ready(&gateway);
        gateway
    };
    let (one, two, three) = (start(), start(), start());
    let delivered = |gateway: &Gateway| {
        gateway.metric("gusset_deliveries_total{target=\"web\",outcome=\"delivered\"}")
    };
    let mut ids = BTreeSet::new();
    let send = |gateway: &Gateway, ids: &mut BTreeSet<String>| {
        let id = ids.len().to_string();
        store(gateway, &id, &id);
        ids.insert(id);
    };
    eventually("all three deliver", || {
        for gateway in [&one, &two, &three] {
            send(gateway, &mut ids);
        }
        [&one, &two, &three].iter().all(|gateway| delivered(gateway) > 0).then_some(())
    });
    for _ in 0..30 {
        send(&one, &mut ids);
    }
    drop(one.crash());
    let before = (delivered(&two), delivered(&three));
    await_all(&arrived, &ids);
    eventually("both that are left deliver", || {
        send(&two, &mut ids);
        (delivered(&two) > before.0 && delivered(&three) > before.1).then_some(())
    });
    await_all(&arrived, &ids);
}
