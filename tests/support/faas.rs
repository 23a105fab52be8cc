//! A stand-in for an OpenFaaS gateway with watchdogs behind it: it answers as they do, checks who
//! asks for its list, and works off its queue by nobody.

use super::{Peer, peer::Exchange};

/// Who may ask for the list: `admin` with this password.
pub(crate) const PASSWORD: &str = "hunter2-of-the-operator";

/// `admin` and the password, as they go over the wire.
const BASIC: &str = "Basic YWRtaW46aHVudGVyMi1vZi10aGUtb3BlcmF0b3I=";

/// A platform with the functions `nodeinfo` (says what it was sent), `teapot` (fails by itself),
/// `slow` (its watchdog ends it), `busy` (over its limit), `cold` (no instance) and
/// `crash` (its watchdog says so).
pub(crate) fn start() -> Peer {
    Peer::start(|exchange| {
        let seen = exchange.read();
        let target = seen.target().to_owned();
        let path = target.split('?').next().unwrap();
        match path.split('/').nth(1) {
            Some("function") => function(exchange, path, seen.body),
            Some("async-function") if seen.method() == "POST" => {
                exchange.answer(202, &["X-Call-Id: 0d91"], "");
            }
            Some("system") if seen.header("authorization") != Some(BASIC) => {
                let realm = "WWW-Authenticate: Basic realm=\"Restricted\"";
                exchange.answer(401, &[realm], "invalid credentials");
            }
            Some("system") if path == "/system/namespaces" => {
                exchange.answer(200, &[], r#"["openfaas-fn"]"#);
            }
            Some("system") => exchange.answer(200, &["Content-Type: application/json"], LIST),
            _ => exchange.answer(404, &[], "404 page not found\n"),
        }
    })
}

/// Zero fields are left out, as the platform leaves them out.
const LIST: &str = r#"[
    {"name":"nodeinfo","namespace":"openfaas-fn","image":"functions/nodeinfo:1","replicas":2,"availableReplicas":1},
    {"name":"cold","namespace":"openfaas-fn","image":"functions/cold:1"}
]"#;

fn function(exchange: &mut Exchange<'_>, path: &str, body: Vec<u8>) {
    const RAN: &str = "X-Duration-Seconds: 0.002";
    const DOG: &str = "X-OpenFaaS-Internal: of-watchdog";
    let name = path.split('/').nth(2).unwrap_or_default();
    match name.split('.').next().unwrap() {
        "nodeinfo" => exchange.answer(200, &[RAN, "X-Call-Id: 7c1e"], body),
        "teapot" => exchange.answer(500, &[RAN, "X-Own: 1"], "its own words"),
        "slow" => exchange.answer(504, &[DOG, RAN], ""),
        "busy" => exchange.answer(429, &[DOG], ""),
        "cold" => exchange.answer(503, &[], "No endpoints available for: cold.openfaas-fn."),
        "crash" => exchange.answer(500, &[DOG, RAN], "exit status 1"),
        name => {
            exchange.answer(
                404,
                &[],
                format!("error finding function {name}.openfaas-fn: not found"),
            );
        }
    }
}
