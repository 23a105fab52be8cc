use serde_json::json;

use crate::support::{Gateway, Peer, eventually, faas, nats::Server};

fn gateway(platform: &Peer, more: &str) -> Gateway {
    let text = format!(
        "version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstreams:
  faas:
    kind: openfaas
    url: {}
    username: admin
    password: {{ file: secret }}
    callback: {{ url: http://127.0.0.1:1/faas/done }}
{more}
routes:
  - {{ name: call, match: {{ path: \"/call/{{f}}\" }}, rewrite: {{ path: / }}, to: \"faas/{{f}}\", allow: [\"*\"] }}
  - {{ name: deep, match: {{ prefix: /deep }}, strip_prefix: true, to: faas/nodeinfo.staging }}
  - {{ name: later, match: {{ path: \"/later/{{f}}\" }}, rewrite: {{ path: / }}, to: \"faas/{{f}}\", allow: [nodeinfo, gone], ack: published }}
",
        platform.url()
    );
    Gateway::run_with(&text, |folder| {
        std::fs::write(folder.join("secret"), faas::PASSWORD).unwrap();
    })
}

#[test]
fn a_function_is_called_with_the_path_behind_its_own() {
    let platform = faas::start();
    let gateway = gateway(&platform, "");
    let answer = gateway.post("/call/nodeinfo?verbose=1", &["X-Own: a"], "hello");
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(answer.header("x-call-id"), Some("7c1e"));
    gateway.get("/deep/a%20b/c?d=e");
    let seen = platform.seen();
    assert_eq!(seen[0].target(), "/function/nodeinfo?verbose=1");
    assert_eq!((seen[0].method(), seen[0].header("x-own")), ("POST", Some("a")));
    assert_eq!(seen[1].target(), "/function/nodeinfo.staging/a%20b/c?d=e");
    assert_eq!(seen[1].header("authorization"), None, "functions ask nobody who calls");
}

#[test]
fn what_the_platform_says_is_not_taken_for_the_functions_words() {
    let platform = faas::start();
    let gateway = gateway(&platform, "");
    for (function, status, code, ran) in [
        ("gone", 502, "function_not_deployed", "no"),
        ("slow", 504, "timeout", "maybe"),
        ("busy", 503, "throttled", "no"),
        ("cold", 503, "unavailable", "no"),
        ("crash", 502, "function_failed", "maybe"),
    ] {
        let answer = gateway.post(&format!("/call/{function}"), &[], "x");
        let problem = answer.problem(status, code);
        assert_eq!(problem["ran"], ran, "{function}");
        assert!(!problem.to_string().contains("openfaas-fn"), "{problem}");
        let wait = answer.header("retry-after").is_some();
        assert_eq!(wait, status == 503, "{function}");
    }
    let own = gateway.post("/call/teapot", &[], "x");
    assert_eq!((own.status, own.text(), own.header("x-own")), (500, "its own words", Some("1")));
}

#[test]
fn a_call_is_queued_and_its_name_is_told() {
    let platform = faas::start();
    let gateway = gateway(&platform, "");
    let answer =
        gateway.send("PUT /later/nodeinfo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!((answer.status, answer.header("gusset-ack")), (202, Some("published")));
    let told = answer.json();
    assert_eq!(told["guarantee"], "broker-memory");
    assert_eq!(told["receipt"], json!({"function": "nodeinfo", "call_id": "0d91"}));
    let queued = platform.seen().pop().unwrap();
    assert_eq!((queued.method(), queued.target()), ("POST", "/async-function/nodeinfo"));
    assert_eq!(queued.header("x-callback-url"), Some("http://127.0.0.1:1/faas/done"));
    assert_eq!((queued.body.as_slice(), queued.header("authorization")), (&b"x"[..], None));
}

#[test]
fn a_function_that_is_not_there_is_refused_before_it_is_queued() {
    let platform = faas::start();
    let gateway = gateway(&platform, "");
    let problem = gateway.post("/later/gone", &[], "x").problem(502, "function-not-deployed");
    assert_eq!(problem["ran"], "no");
    let queued = platform.seen().iter().any(|seen| seen.target().starts_with("/async-function"));
    assert!(!queued, "what is queued for nobody is lost");
}

#[test]
fn a_platform_that_gives_no_list_is_given_the_call() {
    // Its Prometheus is down, so that it panics and breaks off.
    let platform = Peer::start(|exchange| {
        let seen = exchange.read();
        match seen.target().starts_with("/system") {
            true => exchange.close(),
            false => exchange.answer(202, &["X-Call-Id: 1"], ""),
        }
    });
    let gateway = gateway(&platform, "");
    assert_eq!(gateway.post("/later/gone", &[], "x").status, 202);
}

#[test]
fn a_request_chooses_among_the_functions_that_are_allowed() {
    let platform = faas::start();
    let gateway = gateway(&platform, "");
    for path in ["/later/teapot", "/later/nodeinfo.staging", "/call/a%3Fb", "/call/a%252Fb"] {
        gateway.post(path, &[], "x").problem(400, "placeholder_invalid");
    }
    assert!(platform.seen().is_empty());
}

#[test]
fn a_callback_becomes_an_event_on_a_route() {
    let server = Server::start();
    let mut wire = server.connect();
    wire.subscribe("faas.done");
    let gateway = Gateway::start(&format!(
        "upstreams: {{ bus: {{ kind: nats, url: {} }} }}
routes:
  - name: done
    match: {{ path: /faas/done, methods: [POST] }}
    to: bus/faas.done
    set_event: {{ type: \"faas.{{header.x-function-name}}.done\", subject: \"{{header.x-call-id}}\" }}
    forward_headers: [x-function-status]
",
        server.url()
    ));
    let told = ["X-Function-Name: report", "X-Call-Id: 0d91", "X-Function-Status: 200"];
    assert_eq!(gateway.post("/faas/done", &told, "its answer").status, 202);
    let message = wire.next();
    let shown = format!("{message:?}");
    for part in ["faas.report.done", "0d91"] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[test]
fn what_the_platform_has_is_listed_by_the_gateway_and_by_the_command_alone() {
    let platform = faas::start();
    let gateway = gateway(&platform, "");
    let listed = gateway.gusset(&["functions", "faas", "-o", "json"]).ends(0);
    let all: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(all[1]["address"], "faas/nodeinfo.openfaas-fn");
    assert_eq!(all[1]["state"], "1 of 2 up");
    let alone = gateway.gusset(&["functions", "faas", "-c", "gateway.yaml", "-o", "json"]).ends(0);
    assert_eq!(alone.out, listed.out);
    let called = gateway.gusset(&["invoke", "faas/nodeinfo", "-d", "hi"]).ends(0);
    assert_eq!(called.out.trim_end(), "hi");
    let run = platform.seen().iter().filter(|seen| seen.target().starts_with("/function")).count();
    assert_eq!(run, 1, "only the call has run a function");
}

#[test]
fn a_wrong_password_is_the_gateways_fault_and_not_shown() {
    let platform = faas::start();
    let gateway = gateway(&platform, "");
    std::fs::write(gateway.folder().join("secret"), "hunter2-but-wrong").unwrap();
    let ran = gateway.gusset(&["functions", "faas"]).ends(1);
    assert!(ran.err.contains("401") && !ran.err.contains("hunter2"), "{}", ran.err);
    eventually("the gateway is still there", || {
        (gateway.get("/call/nodeinfo").status == 200).then_some(())
    });
}
