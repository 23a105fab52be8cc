//! The rules that every kind keeps, each run against each kind that it is for.
//!
//! A kind is a row of [`HTTP`] (it calls functions over HTTP, and every rule is for it) or of
//! [`ALL`]; a rule is a test. docs/adding-an-invoker.md has the rules in words.

use crate::support::{Gateway, Peer, eventually, free_port, noise};

/// A secret that every kind which takes one is given, and that must be seen nowhere but on the wire.
const SECRET: &str = "hunter2-of-the-contract";

/// A kind that calls functions over HTTP.
struct Kind {
    name: &'static str,
    /// The upstream, with `URL` for where its peer is.
    upstream: &'static str,
    /// The function.
    address: &'static str,
    /// What stands in front of the request's path on the wire.
    prefix: &'static str,
    /// What makes an answer the function's own.
    own: &'static [&'static str],
}

const HTTP: [Kind; 5] = [
    Kind {
        name: "http",
        upstream: "{ kind: http, url: URL }",
        address: "up",
        prefix: "",
        own: &[],
    },
    Kind {
        name: "openfaas",
        upstream: "{ kind: openfaas, url: URL, username: admin, password: { file: secret } }",
        address: "up/echo",
        prefix: "/function/echo",
        own: &["X-Duration-Seconds: 0.1"],
    },
    Kind {
        name: "azure-functions",
        upstream: "{ kind: azure-functions, url: URL, key: { file: secret }, master_key: { file: secret } }",
        address: "up/echo",
        prefix: "/api/echo",
        own: &[],
    },
    Kind {
        name: "knative",
        upstream: "{ kind: knative, services: { echo: URL } }",
        address: "up/echo",
        prefix: "",
        own: &[],
    },
    Kind {
        name: "google-functions",
        upstream: "{ kind: google-functions, functions: { echo: URL }, auth: none }",
        address: "up/echo",
        prefix: "",
        own: &[],
    },
];

/// Every kind with a peer: the upstream, the address, and the scheme of its URL.
const ALL: [(&str, &str, &str, &str); 7] = [
    ("http", HTTP[0].upstream, HTTP[0].address, "http"),
    ("openfaas", HTTP[1].upstream, HTTP[1].address, "http"),
    ("azure-functions", HTTP[2].upstream, HTTP[2].address, "http"),
    ("google-functions", HTTP[4].upstream, HTTP[4].address, "http"),
    ("knative", HTTP[3].upstream, HTTP[3].address, "http"),
    ("nats", "{ kind: nats, url: URL, token: { file: secret } }", "up/a", "nats"),
    ("amqp", "{ kind: amqp, url: URL, username: u, password: { file: secret } }", "up//a", "amqp"),
];

/// Lambda, whose calls are signed documents: what of the rules is about requests that pass unchanged
/// is in tests/lambda/ in its own terms, and its probe is a dry run, which is a request.
const LAMBDA: (&str, &str, &str, &str) = (
    "lambda",
    "{ kind: lambda, region: x-1, endpoint: URL, credentials: { access_key: { file: secret }, secret_key: { file: secret } } }",
    "up/a",
    "http",
);

/// A gRPC service, which is asked for its methods while the gateway runs; what it keeps of the rest is
/// in tests/grpc/, for its peers speak HTTP/2.
const GRPC: (&str, &str, &str, &str) = ("grpc", "{ kind: grpc, url: URL }", "up/a.B/C", "http");

fn gateway(upstream: &str, address: &str, url: &str, more: &str) -> Gateway {
    let upstream = upstream.replace("URL", url);
    let text = format!(
        "version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
trusted_proxies: [127.0.0.0/8]
upstreams: {{ up: {upstream} }}
routes: [{{ name: all, match: {{ prefix: / }}, to: {address}{more} }}]
"
    );
    Gateway::run_with(&text, |folder| std::fs::write(folder.join("secret"), SECRET).unwrap())
}

impl Kind {
    fn before(&self, peer: &Peer) -> Gateway {
        self.before_with(peer, "")
    }

    fn before_with(&self, peer: &Peer, more: &str) -> Gateway {
        gateway(self.upstream, self.address, &peer.url(), more)
    }
}

#[test]
fn a_request_and_its_answer_pass_unchanged() {
    for kind in HTTP {
        let bytes = noise(100_000);
        let (echoed, own) = (bytes.clone(), kind.own);
        let peer = Peer::start(move |exchange| {
            let seen = exchange.read();
            assert_eq!(seen.body, echoed);
            let headers = [&["Set-Cookie: a=1", "Set-Cookie: b=2", "X-Own: 1"], own].concat();
            exchange.answer(207, &headers, seen.body);
        });
        let gateway = kind.before(&peer);
        let answer = gateway.post("/a%20b/c?d=%20&d=e", &["X-Of-Caller: 1"], &bytes);
        assert_eq!(answer.status, 207, "{}", kind.name);
        assert_eq!(answer.head.all("set-cookie"), ["a=1", "b=2"], "{}", kind.name);
        assert!(answer.body == bytes, "{}: other bytes came back", kind.name);
        let seen = peer.only();
        assert_eq!(seen.target(), format!("{}/a%20b/c?d=%20&d=e", kind.prefix));
        assert_eq!(seen.header("x-of-caller"), Some("1"), "{}", kind.name);
    }
}

#[test]
fn what_is_known_of_an_event_arrives() {
    let event = [
        ("ce-specversion", "1.0"),
        ("ce-id", "7"),
        ("ce-source", "/shop"),
        ("ce-type", "com.acme.paid"),
        ("ce-subject", "order%2F7"),
        ("ce-time", "2026-11-28T05:00:00Z"),
        ("ce-tenant", "a"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    for kind in HTTP {
        let peer = Peer::echo();
        let gateway = kind.before(&peer);
        let lines: Vec<_> = event.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(gateway.post("/", &lines, "{\"a\": 1 }").status, 200, "{}", kind.name);
        let seen = peer.only();
        for (name, value) in event {
            assert_eq!(seen.header(name), Some(value), "{}: {name}", kind.name);
        }
        assert_eq!(seen.body, b"{\"a\": 1 }", "{}: data is not printed anew", kind.name);
    }
}

#[test]
fn an_error_without_a_body_keeps_its_trailers() {
    for kind in HTTP {
        let own = kind.own;
        let peer = Peer::start(move |exchange| {
            exchange.read();
            let own = own.join("\r\n");
            let own = if own.is_empty() { own } else { own + "\r\n" };
            exchange.send(format!(
                "HTTP/1.1 409 Conflict\r\n{own}Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                 0\r\nX-Sum: 7\r\n\r\n"
            ));
        });
        let gateway = kind.before(&peer);
        let asks = "GET / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: TE\r\n\r\n";
        let answer = gateway.client().round_trip(asks);
        assert_eq!((answer.status, answer.text()), (409, ""), "{}", kind.name);
        let names: Vec<_> = answer.trailers.iter().map(|(name, _)| name.to_lowercase()).collect();
        assert_eq!(names, ["x-sum"], "{}", kind.name);
    }
}

#[test]
fn a_functions_own_error_stays_its_answer() {
    for kind in HTTP {
        for status in [400, 404, 500, 503] {
            let own = kind.own;
            let peer = Peer::start(move |exchange| {
                exchange.read();
                exchange.answer(status, &[&["X-Own: 1"], own].concat(), "its own words");
            });
            let gateway = kind.before(&peer);
            let answer = gateway.post("/", &[], "x");
            let told = (answer.status, answer.text(), answer.header("x-own"));
            assert_eq!(told, (status, "its own words", Some("1")), "{}", kind.name);
        }
    }
}

#[test]
fn where_nobody_listens_nothing_has_run() {
    for (name, upstream, address, scheme) in ALL.into_iter().chain([LAMBDA, GRPC]) {
        let url = format!("{scheme}://127.0.0.1:{}", free_port());
        let gateway = gateway(upstream, address, &url, "");
        let answer = gateway.post("/", &[], "x");
        assert!(matches!(answer.status, 502 | 503), "{name}: {}", answer.text());
        let problem = answer.json();
        assert_eq!(problem["ran"], "no", "{name}: {problem}");
        assert!(!problem.to_string().contains("127.0.0.1"), "{name}: {problem}");
    }
}

#[test]
fn silence_after_the_send_may_be_a_run_and_the_call_is_given_up() {
    for kind in HTTP {
        let peer = Peer::start(|exchange| {
            exchange.read();
            exchange.await_leaving();
        });
        let gateway = kind.before_with(&peer, ", policy: { timeout: 300ms }");
        let problem = gateway.post("/", &[], "x").problem(504, "timeout");
        assert_eq!(problem["ran"], "maybe", "{}", kind.name);
        peer.await_cancelled(1);
    }
}

#[test]
fn half_an_answer_is_no_answer() {
    for kind in HTTP {
        let peer = Peer::start(|exchange| {
            exchange.read();
            exchange.send("HTTP/1.1 200 OK\r\nContent-Le");
            exchange.close();
        });
        let problem = kind.before(&peer).post("/", &[], "x").problem(502, "upstream_protocol");
        assert_eq!(problem["ran"], "maybe", "{}", kind.name);
    }
}

#[test]
fn an_answer_streams() {
    for kind in HTTP {
        let peer = Peer::start(|exchange| {
            exchange.read();
            exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
            exchange.await_leaving();
        });
        let gateway = kind.before(&peer);
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.head().status(), 200, "{}", kind.name);
        assert_eq!(client.chunk(), Some(Some(b"a".to_vec())), "{}", kind.name);
        // The caller goes, and the function sees it.
        drop(client);
        peer.await_cancelled(1);
    }
}

#[test]
fn a_call_stops_when_its_caller_goes() {
    for kind in HTTP {
        let peer = Peer::start(|exchange| {
            exchange.read();
            exchange.await_leaving();
        });
        let gateway = kind.before(&peer);
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        eventually("the call is under way", || (!peer.seen().is_empty()).then_some(()));
        drop(client);
        peer.await_cancelled(1);
    }
}

#[test]
fn building_opens_no_connection_and_a_probe_runs_no_function() {
    for (name, upstream, address, scheme) in ALL.into_iter().chain([LAMBDA]) {
        let peer = Peer::echo();
        let url = format!("{scheme}://{}", peer.address());
        let gateway = gateway(upstream, address, &url, "");
        assert_eq!(gateway.ask_admin("/readyz").status, 200);
        gateway.gusset(&["check", "-c", "gateway.yaml"]).ends(0);
        assert_eq!(peer.connections(), 0, "{name}");
        if scheme == "http" && name != "lambda" {
            gateway.gusset(&["check", "-c", "gateway.yaml", "--live"]).ends(0);
            eventually("it connects", || (peer.connections() > 0).then_some(()));
            assert!(peer.seen().is_empty(), "{name}: {:?}", peer.seen());
        }
    }
}

#[test]
fn no_secret_is_shown() {
    let http = ALL.into_iter().filter(|(.., scheme)| *scheme == "http");
    for (name, upstream, address, _) in http.chain([LAMBDA]) {
        // The function's platform refuses whatever it is shown.
        let peer = Peer::start(|exchange| {
            exchange.read();
            exchange.answer(401, &[], "");
        });
        let gateway = gateway(upstream, address, &peer.url(), "");
        let told = gateway.post("/", &[], "x").text().to_owned();
        let listed = gateway.gusset(&["functions", "up"]);
        let views = ["/api/v1/upstreams", "/api/v1/config", "/api/v1/records", "/metrics"];
        let shown = views.map(|path| gateway.ask_admin(path).text().to_owned()).concat();
        let explained = gateway.gusset(&["explain", "GET", "/"]).out;
        let said = [gateway.stderr(), gateway.stdout()].concat().join("\n");
        let all = [told, listed.out, listed.err, shown, explained, said].concat();
        assert!(!all.contains(SECRET), "{name}: {all}");
    }
}
