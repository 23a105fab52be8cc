//! The life of a gateway: it starts without anybody's help, fails clearly, and drains.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

use crate::support::{Client, Gateway, Peer, eventually, free_port, shell};

#[test]
fn no_upstream_is_needed_to_start() {
    let gateway = Gateway::start(&format!(
        "upstreams:
  web: {{ kind: http, url: \"http://no-such-host.invalid:1\" }}
  bus: {{ kind: nats, url: nats://127.0.0.1:{} }}
routes:
  - {{ name: ping, match: {{ path: /ping }}, respond: {{ body: pong }} }}
  - {{ name: web, match: {{ path: /web }}, to: web }}
  - {{ name: bus, match: {{ path: /bus }}, to: bus/x }}
",
        free_port()
    ));
    assert_eq!(gateway.get("/ping").text(), "pong");
    assert_eq!(gateway.ask_admin("/readyz").status, 200);
}

#[test]
fn a_second_gateway_on_the_same_port_fails_and_takes_nothing_from_the_first() {
    let first = Gateway::start("routes: [{ name: first, respond: { body: first } }]\n");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    let taken = first.address();
    let text = format!(
        "version: 1\nlisten: {taken}\nadmin: 127.0.0.1:0\nroutes: [{{ name: second, respond: {{ body: second }} }}]\n"
    );
    fs::write(&file, text).unwrap();
    let ran = shell::gusset_run(&["run", "-c", file.to_str().unwrap()]);
    assert_ne!(ran.code, Some(0));
    assert!(ran.err.contains(&taken.to_string()), "the address is not named: {}", ran.err);
    for _ in 0..20 {
        assert_eq!(first.get("/").text(), "first");
    }
}

#[test]
fn a_file_with_errors_does_not_start_and_tells_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    fs::write(&file, "version: 1\nlisten: nowhere\nroutes: [{ name: a, to: missing }]\n").unwrap();
    let ran = shell::gusset_run(&["run", "-c", file.to_str().unwrap()]);
    assert_ne!(ran.code, Some(0));
    assert!(ran.err.contains("gateway.yaml:2:"), "{}", ran.err);
    assert!(ran.err.contains("gateway.yaml:3:"), "{}", ran.err);
}

#[test]
fn a_request_under_way_is_finished_before_the_end() {
    let (go, gone) = mpsc::sync_channel::<()>(1);
    let gone = std::sync::Mutex::new(gone);
    let peer = Peer::start(move |exchange| {
        exchange.read();
        gone.lock().unwrap().recv().unwrap();
        exchange.answer(200, &[], "finished");
    });
    let mut gateway = Gateway::start(&format!(
        "upstreams: {{ web: {{ kind: http, url: {} }} }}\nroutes: [{{ name: all, to: web }}]\n",
        peer.url()
    ));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("the service is asked", || (peer.seen().len() == 1).then_some(()));
    gateway.terminate();
    let address = gateway.address();
    eventually("the listener closes", || {
        std::net::TcpStream::connect(address).is_err().then_some(())
    });
    go.send(()).unwrap();
    assert_eq!(client.answer().text(), "finished");
    assert!(gateway.wait().success());
}

#[test]
fn idle_connections_do_not_hold_the_end_up() {
    let mut gateway = Gateway::start("routes: [{ name: ping, respond: { body: pong } }]\n");
    let mut clients: Vec<_> = (0..10).map(|_| gateway.client()).collect();
    for client in &mut clients {
        assert_eq!(client.round_trip("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").text(), "pong");
    }
    gateway.terminate();
    assert!(gateway.wait().success());
    assert!(clients.iter_mut().all(Client::closed));
}

#[test]
fn ctrl_c_ends_it_without_a_failure() {
    let mut gateway = Gateway::start("routes: [{ name: ping, respond: { body: pong } }]\n");
    assert_eq!(gateway.ask_admin("/healthz").status, 200);
    shell::signal("INT", gateway.id());
    assert!(gateway.wait().success(), "Ctrl-C is no failure");
}

#[test]
fn load_on_all_cores_while_it_ends_gets_whole_answers_or_none() {
    let mut gateway = Gateway::start("routes: [{ name: ping, respond: { body: pong } }]\n");
    let address = gateway.address();
    let answered = Arc::new(AtomicU32::new(0));
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let answered = Arc::clone(&answered);
            thread::spawn(move || {
                while let Ok(socket) = std::net::TcpStream::connect(address) {
                    let mut client = Client::over(socket);
                    while client.try_send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n") {
                        let Some(head) = client.try_head() else { break };
                        assert_eq!(client.answer_below(head).text(), "pong");
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    eventually("load is there", || (answered.load(Ordering::Relaxed) > 100).then_some(()));
    gateway.terminate();
    assert!(gateway.wait().success());
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

#[test]
fn metrics_count_by_route_and_class() {
    let gateway = Gateway::start(
        "routes: [{ name: ping, match: { path: /ping }, respond: { body: pong } }]\n",
    );
    for _ in 0..3 {
        gateway.get("/ping");
    }
    gateway.get("/nothing");
    // A request counts when its last byte has gone, which is just after its caller has it.
    eventually("all of them are counted", || {
        let metrics = gateway.ask_admin("/metrics").text().to_owned();
        let pings =
            metrics.lines().any(|line| line.contains("route=\"ping\"") && line.ends_with(" 3"));
        (pings && metrics.contains("not_found")).then_some(())
    });
}
