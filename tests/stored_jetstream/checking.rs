//! What `gusset check --live` says of an outbox on JetStream.

use super::{STORES, config, gateway, server, server_with, sink, store};
use crate::support::{eventually, free_port, nats::Server, shell};

/// What `gusset check --live` says of a file.
fn check(text: &str) -> shell::Ran {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, format!("version: 1\n{text}")).unwrap();
    shell::gusset_run(&["check", "--live", "-c", file.to_str().unwrap()])
}

fn monitored(server: &Server, web: &str, port: u16) -> String {
    let text = config(server, web, STORES);
    text.replace(
        "max_size: 64MiB",
        &format!("max_size: 64MiB, monitor: \"http://127.0.0.1:{port}\""),
    )
}

#[test]
fn the_live_check_says_whether_what_is_acknowledged_is_synced() {
    let (peer, _) = sink();
    let port = free_port();
    let Some(server) = server_with(&format!("http: 127.0.0.1:{port}")) else { return };
    let ran = check(&monitored(&server, &peer.url(), port)).ends(0);
    assert!(ran.out.contains("it is made when it is needed, sync: 2m; warning:"), "{}", ran.out);
    assert!(ran.out.contains("`sync_interval: always`"), "{}", ran.out);
    let ran = check(&config(&server, &peer.url(), STORES)).ends(0);
    assert!(ran.out.contains("sync: unknown; warning: unless"), "{}", ran.out);
    // A look makes nothing.
    let info = server.connect().request("$JS.API.STREAM.INFO.GUSSET_OUTBOX", "");
    assert!(info.text().contains("not found"), "{}", info.text());
}

#[test]
fn with_a_server_that_always_syncs_the_receipt_says_disk_synced() {
    let (peer, _) = sink();
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = format!(
        "http: 127.0.0.1:{port}\njetstream {{ store_dir: {:?}, sync_interval: always }}",
        folder.path().display().to_string()
    );
    let Some(server) = server_with(&config) else { return };
    let text = monitored(&server, &peer.url(), port);
    let gateway = crate::support::Gateway::start(&text);
    super::ready(&gateway);
    let mut number = 0;
    let receipt = eventually("the monitor is asked", || {
        number += 1;
        let receipt = store(&gateway, "k", &number.to_string());
        (receipt["receipt"]["sync"] == "always").then_some(receipt)
    });
    assert_eq!(receipt["guarantee"], "disk-synced");
    let ran = check(&text).ends(0);
    assert!(ran.out.contains("sync: always") && !ran.out.contains("warning"), "{}", ran.out);
}

#[test]
fn the_live_check_fails_where_the_stream_has_another_shape_or_nobody_answers() {
    let Some(mut server) = server() else { return };
    let (peer, _) = sink();
    drop(gateway(&server, &peer.url(), STORES));
    let text = config(&server, &peer.url(), STORES);
    let ran = check(&text).ends(0);
    assert!(ran.out.contains("0 events wait"), "{}", ran.out);
    let ran = check(&text.replace("64MiB", "32MiB")).ends(2);
    assert!(
        ran.out.contains("has max_bytes: 67108864, and this outbox needs 33554432"),
        "{}",
        ran.out
    );
    server.kill();
    let ran = check(&text).ends(2);
    assert!(ran.out.contains("outbox (jetstream)") && ran.out.contains("failed"), "{}", ran.out);
}
