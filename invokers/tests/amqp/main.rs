//! The `amqp` kind against a real RabbitMQ.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

#[path = "../support/core.rs"]
mod core;
#[path = "../../../tests/support/rabbit.rs"]
mod rabbit;
mod support;

mod declare;
mod follow;
mod loss;
mod pipeline;
mod publish;
mod request;
mod secured;
