//! When a server syncs what it has acknowledged, as receipts and `gusset check --live` tell it.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use invokers::nats;
use schemas::Invoker as _;
use serde_json::{Value, json};

use super::stream::make;
use crate::support::{Secrets, Server, lane, on_core, publish, receipt, target};

/// Whether the server knows `sync_interval` and tells it.
#[expect(clippy::print_stdout, reason = "what is skipped says so")]
fn tells() -> bool {
    let said = Command::new("nats-server").arg("--version").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let mut numbers = said.trim().rsplit('v').next().unwrap().split('.');
    let mut next = || numbers.next().unwrap().parse::<u32>().unwrap();
    let version = (next(), next());
    if version < (2, 10) {
        println!("skipped: nats-server {version:?} does not tell when it syncs; 2.10 or newer");
    }
    version >= (2, 10)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server that syncs like this, and the URL of its monitor.
fn server(sync: &str, rest: &str) -> (Server, String) {
    let port = free_port();
    let config =
        format!("http: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"DIR/js\"{sync} }}\n{rest}");
    (Server::start(&config), format!("http://127.0.0.1:{port}"))
}

/// What a receipt says once it says `guarantee`.
async fn told(written: Value, guarantee: &str) -> Value {
    let lane = lane(written, Secrets::tools(&[]));
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let told = receipt(lane.call(publish("orders.a", "x")).await);
        // The monitor is asked after the storage.
        let asked = guarantee != "broker-disk" || told["receipt"]["sync"] != "unknown";
        if (told["guarantee"] == guarantee && asked) || Instant::now() > until {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn orders(server: &Server) {
    let client = async_nats::connect(server.url()).await.unwrap();
    make(&client, json!({"name": "S", "subjects": ["orders.>"], "storage": "file"})).await;
}

#[test]
fn a_server_that_syncs_every_write_is_told_of_as_synced() {
    if !tells() {
        return;
    }
    let (server, monitor) = server(", sync_interval: always", "");
    on_core(async {
        orders(&server).await;
        let written = json!({"url": server.url(), "jetstream": true, "monitor": monitor});
        let told = told(written, "disk-synced").await;
        assert_eq!(
            (&told["guarantee"], &told["receipt"]["sync"]),
            (&json!("disk-synced"), &json!("always"))
        );
    });
}

#[test]
fn a_server_that_syncs_now_and_then_is_told_of_with_its_interval() {
    if !tells() {
        return;
    }
    for (sync, said) in [("", "2m"), (", sync_interval: 10s", "10s")] {
        let (server, monitor) = server(sync, "");
        on_core(async {
            orders(&server).await;
            let written = json!({"url": server.url(), "jetstream": true, "monitor": monitor});
            let told = told(written, "broker-disk").await;
            assert_eq!(told["guarantee"], "broker-disk");
            assert_eq!(told["receipt"]["sync"], said);
        });
    }
}

#[test]
fn an_account_that_may_ask_the_system_needs_no_monitor() {
    if !tells() {
        return;
    }
    let rest = r#"accounts {
        SYS {
          users: [ { user: sys, password: sys } ]
          exports: [ { service: "$SYS.REQ.SERVER.PING.JSZ", response_type: stream } ]
        }
        A {
          jetstream: enabled
          users: [ { user: a, password: a } ]
          imports: [ { service: { account: SYS, subject: "$SYS.REQ.SERVER.PING.JSZ" } } ]
        }
      }
      system_account: SYS
      no_auth_user: a"#;
    let (server, _) = server(", sync_interval: always", rest);
    on_core(async {
        orders(&server).await;
        let written = json!({"url": server.url(), "jetstream": true});
        let told = told(written, "disk-synced").await;
        assert_eq!(told["receipt"]["sync"], "always", "{told}");
    });
}

#[test]
fn what_nobody_says_is_unknown_and_never_called_synced() {
    let server = Server::start(r#"jetstream { store_dir: "DIR/js" }"#);
    let nobody = format!("http://127.0.0.1:{}", free_port());
    on_core(async {
        orders(&server).await;
        for monitor in [json!(null), json!(nobody), json!(format!("{}/other", nobody))] {
            let written = json!({"url": server.url(), "jetstream": true, "monitor": monitor});
            let lane = lane(written, Secrets::tools(&[]));
            let mut seen = 0;
            while seen < 20 {
                let told = receipt(lane.call(publish("orders.a", "x")).await);
                assert_eq!(told["receipt"]["sync"], "unknown");
                assert_ne!(told["guarantee"], "disk-synced");
                seen += u32::from(told["guarantee"] == "broker-disk");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
}

#[test]
fn a_look_tells_of_streams_and_of_subjects_that_none_takes() {
    let (server, monitor) = server("", "");
    on_core(async {
        orders(&server).await;
        let client = async_nats::connect(server.url()).await.unwrap();
        make(&client, json!({"name": "M", "subjects": ["memory"], "storage": "memory"})).await;
        let target = target(json!({"url": server.url(), "jetstream": true, "monitor": monitor}));
        let subjects = ["orders.new", "orders.>", "memory", "nowhere"].map(str::to_owned);
        let looked =
            nats::look(&target, &Secrets::tools(&[]), &BTreeSet::from(subjects), &[]).await;
        let said: Vec<_> = looked
            .into_iter()
            .map(|one| match one.outcome {
                Ok(said) => format!("{}: {said}", one.at),
                Err(fault) => format!("{}! {}", one.at, fault.detail),
            })
            .collect();
        assert_eq!(said.len(), 3, "{said:?}");
        assert_eq!(said[0], "subject nowhere! no stream takes nowhere; create one on the server");
        assert!(said[1].starts_with("stream M: in memory, replicas: 1; warning:"), "{said:?}");
        let sync = if tells() { "2m" } else { "unknown" };
        let expected = format!("stream S: on disk, replicas: 1, sync: {sync}; warning: ");
        assert!(said[2].starts_with(&expected), "{said:?}");
    });
}
