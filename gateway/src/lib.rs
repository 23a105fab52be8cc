//! The binary gusset: command line, files and wiring. The only crate that reads arguments, the
//! environment or configuration files.
//!
//! Start with `commands/` (the words, and one file for each command), which stands on `cli/` (how a
//! command ends, and all that is printed). `serve.rs` runs a gateway from its first bind to its last
//! byte.

mod caller;
mod cli;
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

pub use self::commands::main;
