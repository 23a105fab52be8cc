//! The `nats` kind against a real nats-server.

#[path = "../support/mod.rs"]
mod support;

mod credentials;
mod loss;
mod publish;
mod request;
mod stream;
