//! The binary gusset: command line, files and wiring. The only crate that reads arguments, the
//! environment or configuration files.
//!
//! Start with `cli/` (the words, and all that is printed), then `commands/` (one file for each
//! command). `serve.rs` runs a gateway from its first bind to its last byte.

pub mod cli;

mod caller;
mod client;
mod commands;
mod configuration;
mod descriptors;
mod files;
mod follow;
mod guards;
mod live;
mod metrics;
mod outbox;
mod probe;
mod samples;
mod secrets;
mod serve;
mod sources;
