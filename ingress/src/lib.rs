//! Request in, answer out: listeners, doors and routes, the ten steps, problem+json, the recorder,
//! and the configuration that they all live by.
//!
//! Start with `table.rs` (what a checked configuration is) and the ten steps in `steps.rs`.

pub mod config;
pub mod filters;
pub mod plane;
pub mod problem;
pub mod routes;
pub mod table;

pub use plane::{Plane, RecordFormat, Settings};
pub use table::{Action, Destination, Listener, Route, Table, Upstream};
