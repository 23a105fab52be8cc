//! The `nats` kind against a real nats-server.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

#[path = "../support/mod.rs"]
mod support;

mod credentials;
mod loss;
mod publish;
mod request;
mod stream;
mod synced;
