//! The tests over the whole gateway. Each starts the real binary with a configuration of its own on
//! free ports, talks to it over sockets, and leaves nothing running.
//!
//! Start with `support/gateway.rs` (the program under test), `support/raw.rs` (a client that sends
//! and sees every byte) and `support/peer.rs` (an HTTP service that does what it is told).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking, its helpers block threads of their own, and the runner shows what it prints"
)]

mod support;

mod amqp;
mod chaos;
mod cli;
mod cloudevents;
mod compose;
mod contract;
mod dev;
mod docs;
mod edge;
mod examples;
mod grpc;
mod lambda;
mod layers;
mod mirror;
mod nats;
mod platforms;
mod policy;
mod proxy;
mod reload;
mod routing;
mod soaking;
mod sources;
mod startup;
mod stored;
mod stored_jetstream;
mod webhook;
