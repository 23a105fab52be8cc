//! The kind `grpc`: JSON in front of a server of another language, and native callers beside it.

mod bad_input;
mod checking;
mod events;
mod h2;
mod json;
mod native;
mod refreshing;
mod refusing;
mod streams;
mod tonic;
mod web;

use crate::support::{Gateway, eventually, grpc::Server};

/// A gateway in front of a ledger, which these fields are written of. `routes` may have
/// more below them.
fn in_front_of(ledger: &str, routes: &str) -> Gateway {
    let gateway = Gateway::start(&format!(
        "upstreams:\n  ledger: {{ kind: grpc, {ledger} }}\n  down: {{ kind: grpc, url: http://127.0.0.1:1 }}\nroutes:\n{routes}"
    ));
    eventually("the methods are known", || {
        let ready = gateway.ask_admin("/readyz").json();
        let known = ready["descriptors"].as_array().is_some_and(|all| {
            all.iter().any(|one| one["upstream"] == "ledger" && one["known"] == true)
        });
        known.then_some(())
    });
    gateway
}

/// Every rule below `/v1`, a method by its name, and native callers.
const ROUTES: &str = "
  - { name: rules, match: { prefix: /v1 }, to: ledger }
  - { name: native, match: { prefix: /ledger.v1.Ledger }, to: ledger }
  - { name: down, match: { prefix: /down.Service }, to: down }
  - { name: one, match: { path: \"/move/{from}\" }, to: ledger/ledger.v1.Ledger/Transfer }
  - { name: metadata, match: { path: /metadata }, to: ledger/ledger.v1.Ledger/Metadata }
  - { name: hurried, match: { path: /hurried }, policy: { timeout: 5s }, to: ledger/ledger.v1.Ledger/Metadata }
  - { name: watch, match: { path: /watch }, to: ledger/ledger.v1.Ledger/Watch }
  - { name: sum, match: { path: /sum }, to: ledger/ledger.v1.Ledger/Sum }
  - { name: chat, match: { path: /chat }, to: ledger/ledger.v1.Ledger/Chat }
  - { name: seen, match: { path: /seen }, to: ledger/ledger.v1.Ledger/Seen }
  - { name: again, match: { path: \"/again/{code}\" }, policy: { retry: { attempts: 3 } }, to: ledger/ledger.v1.Ledger/Fail }
  - { name: any, match: { path: \"/any/{method}\" }, to: \"ledger/ledger.v1.Ledger/{method}\", allow: [ledger.v1.Ledger/Transfer] }
  - { name: events, match: { event: { type: com.acme.moved } }, to: ledger/ledger.v1.Ledger/Metadata }
  - { name: paid, match: { event: { type: com.acme.paid } }, to: { to: ledger/ledger.v1.Ledger/Transfer, fields: { text: \"{event.type}\", tags: \"{event.id}\" } } }
  - { name: whole, match: { event: { type: com.acme.whole } }, format: structured, to: ledger/ledger.v1.Ledger/Take }
  - { name: misled, match: { event: { type: com.acme.misled } }, format: structured, to: ledger/ledger.v1.Ledger/Metadata }
  - { name: take, match: { path: /take }, format: structured, to: ledger/ledger.v1.Ledger/Take }
";

/// The server and a gateway in front of it; none if there is no server to be had.
fn both() -> Option<(Server, Gateway)> {
    let server = Server::start()?;
    let gateway = in_front_of(&server.written(), ROUTES);
    Some((server, gateway))
}
