//! A file that changes, well or badly.

use std::fs;

use crate::support::{Gateway, Peer, eventually, shell};

fn responding(text: &str) -> String {
    format!("routes: [{{ name: only, respond: {{ body: {text} }} }}]\n")
}

#[test]
fn a_change_of_the_file_is_served_and_its_version_told() {
    let gateway = Gateway::start(&responding("one"));
    let first = gateway.config();
    assert_eq!((&first["generation"], &first["by"]), (&1.into(), &"start".into()));
    gateway.edit(&responding("two"));
    let second = gateway.await_generation(2);
    assert_eq!(second["by"], "file");
    assert_ne!(second["version"], first["version"]);
    assert_eq!(gateway.get("/").text(), "two", "it serves what it says that it serves");
    let files = gateway.ask_admin("/api/v1/config/files").json();
    assert!(files[0]["text"].as_str().unwrap().contains("body: two"), "{files}");
    assert!(gateway.ask_admin("/metrics").text().contains("gusset_config_generation 2\n"));
}

#[test]
fn a_bad_edit_changes_nothing_and_is_told_with_its_place_until_it_is_mended() {
    let gateway = Gateway::start(&responding("one"));
    let version = gateway.config()["version"].clone();
    gateway.edit("routes: [{ name: only, respond: { body: two }, too: x }]\n");
    let refused = gateway.await_refusal();
    let problem = &refused["problems"][0];
    assert_eq!((&problem["line"], &problem["column"]), (&4.into(), &48.into()), "{problem}");
    assert_eq!(problem["path"], "routes[0]");
    assert!(problem["remedy"].as_str().unwrap().contains("did you mean `to`"), "{problem}");
    assert_eq!(gateway.get("/").text(), "one");
    let config = gateway.config();
    assert_eq!((&config["version"], &config["stale"]), (&version, &true.into()));
    let metrics = gateway.ask_admin("/metrics").text().to_owned();
    for line in ["gusset_config_stale 1\n", "gusset_config_failures_total 1\n"] {
        assert!(metrics.contains(line), "{metrics}");
    }
    let said = gateway.stderr();
    assert!(said.iter().any(|line| line.contains("gateway.yaml:4:48: ")), "{said:?}");
    gateway.edit(&responding("three"));
    let config = gateway.await_generation(2);
    assert_eq!((&config["stale"], &config["refused"]), (&false.into(), &().into()));
    assert_eq!(gateway.get("/").text(), "three");
}

#[test]
fn a_file_that_is_taken_away_changes_nothing() {
    let gateway = Gateway::start(&responding("one"));
    fs::remove_file(gateway.folder().join("gateway.yaml")).unwrap();
    let refused = gateway.await_refusal();
    assert!(refused["problems"][0]["message"].as_str().unwrap().contains("there is no file"));
    assert_eq!(gateway.get("/").text(), "one");
    // The same text again is what is live; nothing is stale any more.
    gateway.edit(&responding("one"));
    eventually("the file is back", || (gateway.config()["stale"] == false).then_some(()));
    assert_eq!(gateway.config()["generation"], 1);
}

#[test]
fn sighup_reads_the_file_though_nothing_has_changed() {
    let gateway = Gateway::start(&responding("one"));
    shell::signal("HUP", gateway.id());
    let config = gateway.await_generation(2);
    assert_eq!(config["by"], "signal");
    assert_eq!(gateway.get("/").text(), "one");
}

#[test]
fn a_folder_is_followed_and_all_its_files_count() {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("conf.d");
    fs::create_dir(&conf).unwrap();
    let head = "version: 1\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\n";
    fs::write(conf.join("a.yaml"), head).unwrap();
    let gateway = Gateway::run_in(folder, &["-c", "conf.d"]);
    assert_eq!(gateway.get("/").status, 404);
    let conf = gateway.folder().join("conf.d");
    fs::write(conf.join("b.yaml"), responding("b")).unwrap();
    gateway.await_generation(2);
    assert_eq!(gateway.get("/").text(), "b");
    fs::remove_file(conf.join("b.yaml")).unwrap();
    gateway.await_generation(3);
    assert_eq!(gateway.get("/").status, 404);
}

#[test]
fn the_admin_address_needs_a_restart_and_the_rest_of_such_an_edit_is_not_served() {
    let gateway = Gateway::start(&responding("one"));
    let two = responding("two");
    gateway.write(&format!("version: 1\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:9\n{two}"));
    let refused = gateway.await_refusal();
    assert_eq!(refused["problems"][0]["path"], "admin");
    assert_eq!(refused["problems"][0]["line"], 3);
    assert_eq!(gateway.get("/").text(), "one");
}

#[test]
fn the_last_good_configuration_survives_a_restart_with_a_broken_file() {
    let folder = tempfile::tempdir().unwrap();
    let head = "version: 1\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\n";
    fs::write(folder.path().join("gateway.yaml"), format!("{head}{}", responding("good"))).unwrap();
    let args = ["-c", "gateway.yaml", "--last-good", "kept"];
    let gateway = Gateway::run_in(folder, &args);
    gateway.edit("routes: nonsense\n");
    gateway.await_refusal();
    let folder = gateway.crash();

    let without = shell::gusset_in(folder.path(), &["run", "-c", "gateway.yaml"], &[]);
    without.ends(1);
    let gateway = Gateway::run_in(folder, &args);
    assert_eq!(gateway.get("/").text(), "good");
    let config = gateway.config();
    assert_eq!((&config["by"], &config["stale"]), (&"last_good".into(), &true.into()));
    assert_eq!(config["refused"]["problems"][0]["path"], "routes");
    let said = gateway.stderr().join("\n");
    assert!(said.contains("THE CONFIGURATION IS BROKEN"), "{said}");
    assert!(gateway.ask_admin("/metrics").text().contains("gusset_config_stale 1\n"));
    gateway.edit(&responding("mended"));
    gateway.await_generation(2);
    assert_eq!(gateway.get("/").text(), "mended");
    assert_eq!(gateway.config()["stale"], false);
}

#[test]
fn what_stays_goes_on_counting_and_what_goes_is_still_told() {
    let gateway = Gateway::start(
        "routes: [{ name: a, match: { path: /a }, respond: {} }, { name: b, match: { path: /b }, respond: {} }]\n",
    );
    gateway.get("/a");
    gateway.get("/b");
    gateway.edit("routes: [{ name: b, match: { path: /b }, respond: { body: new } }]\n");
    gateway.await_generation(2);
    gateway.get("/b");
    for (route, count) in [("a", 1), ("b", 2)] {
        let line = format!(
            "gusset_requests_total{{route=\"{route}\",upstream=\"\",function=\"\",status=\"2xx\"}} {count}\n"
        );
        eventually(&line, || gateway.ask_admin("/metrics").text().contains(&line).then_some(()));
    }
}

#[test]
fn an_upstream_that_stays_the_same_keeps_its_connections() {
    let (kept, changed) = (Peer::answering("kept"), Peer::answering("changed"));
    let config = |timeout: &str, more: &str| {
        format!(
            "upstreams:
  kept: {{ kind: http, url: {} }}
  changed: {{ kind: http, url: {}, connect_timeout: {timeout} }}
routes:
  - {{ name: kept, match: {{ prefix: /kept }}, to: kept }}
  - {{ name: changed, match: {{ prefix: /changed }}, to: changed }}
{more}",
            kept.url(),
            changed.url()
        )
    };
    // One core, so that there is one pool.
    let folder = tempfile::tempdir().unwrap();
    let head = "version: 1\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\n";
    fs::write(folder.path().join("gateway.yaml"), format!("{head}{}", config("1s", ""))).unwrap();
    let gateway = Gateway::run_in(folder, &["-c", "gateway.yaml", "--cores", "1"]);
    let ask = || {
        assert_eq!(gateway.get("/kept").text(), "kept");
        assert_eq!(gateway.get("/changed").text(), "changed");
        (kept.connections(), changed.connections())
    };
    assert_eq!(ask(), (1, 1));
    gateway.edit(&config("1s", "  - { name: more, match: { path: /more }, respond: {} }\n"));
    gateway.await_generation(2);
    assert_eq!(ask(), (1, 1));
    gateway.edit(&config("2s", ""));
    gateway.await_generation(3);
    assert_eq!(ask(), (1, 2));
}

#[test]
fn an_answer_that_streams_ends_whole_though_its_route_and_upstream_are_gone() {
    let (go, gone) = std::sync::mpsc::sync_channel::<()>(1);
    let gone = std::sync::Mutex::new(gone);
    let peer = Peer::start(move |exchange| {
        exchange.read();
        exchange.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
        gone.lock().unwrap().recv().unwrap();
        exchange.wire.send("3\r\ntwo\r\n0\r\n\r\n");
    });
    let gateway = Gateway::start(&format!(
        "upstreams: {{ web: {{ kind: http, url: {} }} }}\nroutes: [{{ name: all, to: web }}]\n",
        peer.url()
    ));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let head = client.head();
    assert_eq!(client.chunk().flatten().unwrap(), b"one");
    gateway.edit("routes: []\n");
    gateway.await_generation(2);
    assert_eq!(gateway.get("/").status, 404);
    go.send(()).unwrap();
    assert_eq!(client.body(&head).unwrap().0, b"two");
}

#[test]
fn metrics_and_records_are_told_while_it_drains() {
    let (go, gone) = std::sync::mpsc::sync_channel::<()>(1);
    let gone = std::sync::Mutex::new(gone);
    let peer = Peer::start(move |exchange| {
        exchange.read();
        gone.lock().unwrap().recv().unwrap();
        exchange.answer(200, &[], "finished");
    });
    let mut gateway = Gateway::start(&format!(
        "upstreams: {{ web: {{ kind: http, url: {} }} }}
routes: [{{ name: all, to: web }}, {{ name: ping, match: {{ path: /ping }}, respond: {{}} }}]\n",
        peer.url()
    ));
    gateway.get("/ping");
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("the service is asked", || (peer.seen().len() == 1).then_some(()));
    gateway.terminate();
    eventually("it drains", || (gateway.ask_admin("/readyz").status == 503).then_some(()));
    eventually("what is under way is told", || {
        let metrics = gateway.ask_admin("/metrics").text().to_owned();
        let told = metrics.contains("gusset_requests_in_flight 1\n");
        (told && metrics.contains("route=\"ping\"")).then_some(())
    });
    assert_eq!(gateway.ask_admin("/api/v1/records").json()[0]["route"], "ping");
    go.send(()).unwrap();
    assert_eq!(client.answer().text(), "finished");
    assert!(gateway.wait().success());
}

#[test]
fn an_outbox_that_is_open_stays_what_it_is_until_a_restart() {
    let peer = Peer::answering("x");
    let with = |outbox: &str, text: &str| {
        format!(
            "{outbox}upstreams: {{ web: {{ kind: http, url: {} }} }}\nroutes:\n  - {{ name: in, match: \
             {{ path: /in }}, to: web, ack: stored }}\n  - {{ name: other, respond: {{ body: {text} }} \
             }}\n",
            peer.url()
        )
    };
    let gateway = Gateway::start(&with("", "one"));
    gateway.edit(&with("outbox: { max_size: 2GiB }\n", "two"));
    let refused = gateway.await_refusal();
    let problem = &refused["problems"][0];
    assert_eq!((&problem["path"], &problem["line"]), (&"outbox".into(), &4.into()), "{problem}");
    assert!(problem["remedy"].as_str().unwrap().contains("restart the gateway"), "{problem}");
    assert_eq!(gateway.get("/").text(), "one");
    let ready = gateway.ask_admin("/readyz").json();
    assert_eq!(ready["outbox"]["state"], "ready", "{ready}");
    // What it has, in other words, is no change of it.
    gateway.edit(&with("outbox: { max_size: 1024MiB }\n", "three"));
    gateway.await_generation(2);
    assert_eq!(gateway.get("/").text(), "three");
}

#[test]
fn an_outbox_that_nothing_has_needed_yet_may_still_change() {
    let gateway = Gateway::start(&responding("one"));
    gateway.edit(&format!("outbox: {{ max_size: 2GiB }}\n{}", responding("two")));
    gateway.await_generation(2);
    assert_eq!(gateway.ask_admin("/readyz").json()["outbox"], serde_json::Value::Null);
}
