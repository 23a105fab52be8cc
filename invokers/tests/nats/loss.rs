//! What callers are told when a connection or a server is lost, and what comes after.

use std::{collections::HashSet, time::Duration};

use async_nats::Client;
use bytes::Bytes;
use futures_util::StreamExt as _;
use schemas::{Class, Fault, Invoker as _, Ran, Reply};
use serde_json::json;

use crate::{
    stream::{JETSTREAM, make},
    support::{Cable, Server, all, on_core, plain_lane, publish, request, stream_lane, until_ok},
};

/// What callers were told of their messages, by number.
#[derive(Default)]
struct Told {
    stored: HashSet<usize>,
    maybe: HashSet<usize>,
    no: HashSet<usize>,
}

impl Told {
    fn of(outcomes: Vec<Result<Reply, Fault>>, first: usize) -> Self {
        let mut told = Self::default();
        for (n, outcome) in outcomes.into_iter().enumerate() {
            let n = n + first;
            match outcome {
                Ok(_) => told.stored.insert(n),
                Err(fault) => {
                    assert_eq!(fault.class, Class::Unavailable, "{fault:?}");
                    assert_eq!(fault.unsent.is_some(), fault.ran == Ran::No);
                    match fault.ran {
                        Ran::No => told.no.insert(n),
                        Ran::Maybe => told.maybe.insert(n),
                    }
                }
            };
        }
        told
    }

    /// Every confirmed message has arrived, and none that surely was not sent.
    fn hold(&self, arrived: &HashSet<usize>) {
        let lost: Vec<_> = self.stored.difference(arrived).collect();
        assert!(lost.is_empty(), "confirmed and lost: {lost:?}");
        let ghosts: Vec<_> = self.no.intersection(arrived).collect();
        assert!(ghosts.is_empty(), "told that they were not sent, and they were: {ghosts:?}");
    }
}

fn number(payload: &Bytes) -> usize {
    std::str::from_utf8(payload).unwrap().parse().unwrap()
}

/// Publishes in waves of 200 until the messages of several have failed.
async fn waves(
    lane: &std::rc::Rc<invokers::nats::Lane>,
    subject: &str,
    outcomes: &mut Vec<Result<Reply, Fault>>,
) {
    let mut failed = 0;
    while failed < 3 {
        let first = outcomes.len();
        let wave = all(lane, (first..first + 200).map(|n| publish(subject, n.to_string()))).await;
        failed += usize::from(wave.iter().any(Result::is_err));
        outcomes.extend(wave);
    }
}

#[test]
fn while_nobody_is_there_callers_are_told_at_once_and_get_the_call_back() {
    let mut server = Server::start("");
    server.kill();
    on_core(async {
        let lane = plain_lane(&server.url());
        let fault = lane.call(publish("t", "x")).await.unwrap_err();
        assert_eq!((fault.class, fault.ran), (Class::Unavailable, Ran::No));
        assert!(fault.retry_after.is_some());
        let again = fault.unsent.expect("the call");
        assert_eq!(again.event.data.whole().unwrap(), "x");
        assert_eq!(lane.state(), "down");
        // From now on nobody waits for a connection.
        let refused = all(&lane, (0..1000).map(|_| publish("t", "x")));
        let refused = tokio::time::timeout(Duration::from_secs(1), refused).await.expect("at once");
        assert!(refused.iter().all(Result::is_err));
        server.restart();
        until_ok(&lane, || publish("t", "x")).await;
    });
}

#[test]
fn when_the_cable_is_cut_what_was_confirmed_has_arrived_and_nothing_comes_later() {
    let server = Server::start("");
    on_core(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        let mut heard = client.subscribe("t").await.unwrap();
        client.flush().await.unwrap();
        let mut cable = Cable::lay(&server).await;
        let lane = plain_lane(&cable.url());
        let mut all_told = Vec::new();
        for _ in 0..5 {
            let work = waves(&lane, "t", &mut all_told);
            let cut = async {
                tokio::time::sleep(Duration::from_millis(30)).await;
                cable.cut().await;
            };
            tokio::join!(work, cut);
            cable.mend().await;
            until_ok(&lane, || publish("mended", "")).await;
        }
        let told = Told::of(all_told, 0);
        assert!(told.stored.len() > 500, "{} confirmed", told.stored.len());
        assert!(!told.no.is_empty());
        // Behind this nothing of before can come.
        lane.call(publish("t", "1000000000")).await.unwrap();
        let mut arrived = HashSet::new();
        loop {
            let n = number(&heard.next().await.unwrap().payload);
            if n == 1_000_000_000 {
                break;
            }
            assert!(arrived.insert(n), "{n} came twice");
        }
        told.hold(&arrived);
    });
}

#[test]
fn what_a_stream_acknowledged_is_in_it_after_the_server_went_and_came_back() {
    let mut server = Server::start(JETSTREAM);
    on_core(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        make(&client, json!({"name": "S", "subjects": ["t"], "storage": "file"})).await;
        let lane = stream_lane(&server.url(), json!(true));
        let mut all_told = Vec::new();
        for round in 0..4 {
            let work = waves(&lane, "t", &mut all_told);
            let stop = async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                // A kill may take what this version of the server has acknowledged and not yet
                // written, which is not the gateway's to promise; see docs/nats.md.
                if round % 2 == 0 { server.stop() } else { server.kill() }
            };
            tokio::join!(work, stop);
            let known_lost = round % 2 == 1;
            server.restart();
            until_ok(&lane, || publish("t", "1000000000")).await;
            if known_lost {
                continue;
            }
            Told::of(std::mem::take(&mut all_told), 0).hold(&stored(&server).await);
            purge(&server).await;
        }
    });
}

/// The numbers of the messages in the stream.
async fn stored(server: &Server) -> HashSet<usize> {
    let client: Client = async_nats::connect(server.url()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    let mut stream = context.get_stream("S").await.unwrap();
    let info = stream.info().await.unwrap();
    let (first, last) = (info.state.first_sequence, info.state.last_sequence);
    let mut numbers = HashSet::new();
    for sequence in first..=last {
        numbers.insert(number(&stream.get_raw_message(sequence).await.unwrap().payload));
    }
    numbers
}

async fn purge(server: &Server) {
    let client = async_nats::connect(server.url()).await.unwrap();
    client.request("$JS.API.STREAM.PURGE.S", "".into()).await.unwrap();
}

#[test]
fn a_request_under_way_may_have_run_when_the_connection_is_lost() {
    let server = Server::start("");
    on_core(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        let mut heard = client.subscribe("slow").await.unwrap();
        client.flush().await.unwrap();
        let mut cable = Cable::lay(&server).await;
        let lane = plain_lane(&cable.url());
        let cut = async {
            heard.next().await.unwrap();
            cable.cut().await;
        };
        let (outcome, ()) = tokio::join!(lane.call(request("slow", "x")), cut);
        let fault = outcome.unwrap_err();
        assert_eq!((fault.class, fault.ran), (Class::Unavailable, Ran::Maybe));
        assert!(fault.unsent.is_none());
    });
}

#[test]
fn a_list_of_servers_is_tried_until_one_is_there() {
    let (mut gone, server) = (Server::start(""), Server::start(""));
    gone.kill();
    on_core(async {
        for urls in [[gone.url(), server.url()], [server.url(), gone.url()]] {
            let written = json!({ "url": urls });
            let lane = crate::support::lane(written, crate::support::Secrets::tools(&[]));
            lane.call(publish("t", "x")).await.unwrap();
        }
    });
}
