//! Listeners that come, go, and change their names.

use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::support::{Client, Gateway, Peer, eventually, free_port};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn config(listeners: &[(&str, String)], routes: &str) -> String {
    let all: Vec<String> = listeners
        .iter()
        .map(|(name, address)| format!("{{ name: {name}, address: \"{address}\" }}"))
        .collect();
    format!("version: 1\nlisten: [{}]\nadmin: 127.0.0.1:0\n{routes}", all.join(", "))
}

fn any() -> String {
    "127.0.0.1:0".to_owned()
}

#[test]
fn a_listener_is_added_and_taken_away_and_who_came_through_it_is_served_to_the_end() {
    let (go, gone) = std::sync::mpsc::sync_channel::<()>(1);
    let gone = std::sync::Mutex::new(gone);
    let peer = Peer::start(move |exchange| {
        exchange.read();
        gone.lock().unwrap().recv().unwrap();
        exchange.answer(200, &[], "finished");
    });
    let routes = format!(
        "upstreams: {{ web: {{ kind: http, url: {} }} }}
routes:
  - {{ name: ping, match: {{ path: / }}, respond: {{ body: pong }} }}
  - {{ name: slow, match: {{ path: /slow }}, to: web }}\n",
        peer.url()
    );
    let gateway = Gateway::run(&config(&[("a", any())], &routes));
    let port = free_port();
    let added = SocketAddr::from(([127, 0, 0, 1], port));
    gateway.write(&config(&[("a", any()), ("b", added.to_string())], &routes));
    gateway.await_generation(2);
    let mut idle = Client::connect(added);
    assert_eq!(idle.round_trip(GET).text(), "pong");
    let mut busy = Client::connect(added);
    busy.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("the service is asked", || (peer.seen().len() == 1).then_some(()));

    gateway.write(&config(&[("a", any())], &routes));
    gateway.await_generation(3);
    assert!(TcpStream::connect(added).is_err(), "the address is free by then");
    assert!(idle.closed());
    go.send(()).unwrap();
    assert_eq!(busy.answer().text(), "finished");
    assert_eq!(gateway.get("/").text(), "pong", "the other listener is not concerned");
    // And it can be had again.
    gateway.write(&config(&[("a", any()), ("b", added.to_string())], &routes));
    gateway.await_generation(4);
    assert_eq!(Client::connect(added).round_trip(GET).text(), "pong");
}

#[test]
fn an_address_that_is_taken_refuses_the_whole_reload() {
    let one = "routes: [{ name: only, respond: { body: one } }]\n";
    let two = "routes: [{ name: only, respond: { body: two } }]\n";
    let gateway = Gateway::run(&config(&[("a", any())], one));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = format!("127.0.0.1:{}", free_port());
    let address = taken.local_addr().unwrap().to_string();
    gateway.write(&config(&[("b", free.clone()), ("c", address.clone())], two));
    let refused = gateway.await_refusal();
    let problem = &refused["problems"][0];
    assert!(problem["message"].as_str().unwrap().contains(&address), "{problem}");
    assert_eq!((&problem["path"], &problem["line"]), (&"listen".into(), &2.into()));
    assert_eq!(gateway.get("/").text(), "one");
    assert!(TcpStream::connect(&free).is_err(), "what was bound for it is closed again");
}

#[test]
fn a_listener_with_a_new_name_keeps_its_socket_and_is_known_by_the_new_name() {
    let address = format!("127.0.0.1:{}", free_port());
    let by_name = |name: &str| {
        let routes = format!(
            "routes: [{{ name: only, match: {{ listeners: {name} }}, respond: {{ body: {name} }} }}]\n"
        );
        config(&[(name, address.clone())], &routes)
    };
    let gateway = Gateway::run(&by_name("before"));
    assert_eq!(gateway.get("/").text(), "before");
    // Whoever connects meanwhile is served under the one name or the other.
    let at = gateway.address();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let knocking = std::thread::spawn(move || {
        let mut count = 0;
        while stopped.try_recv().is_err() {
            assert_eq!(Client::connect(at).round_trip(GET).status, 200);
            count += 1;
        }
        count
    });
    gateway.write(&by_name("after"));
    gateway.await_generation(2);
    assert_eq!(gateway.get("/").text(), "after");
    stop.send(()).unwrap();
    assert!(knocking.join().unwrap() > 10);
}
