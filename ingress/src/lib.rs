//! Request in, answer out: listeners, doors and routes, the ten steps, problem+json, the recorder,
//! and the configuration that they all live by.
//!
//! Start with `table.rs` (what a checked configuration is) and the ten steps in `steps.rs`.

mod allow;
mod answer;
mod batch;
pub mod config;
mod decode;
pub mod edge;
pub mod explain;
pub mod filters;
mod glance;
mod hop;
mod make;
mod mirror;
mod normalise;
mod outgoing;
pub mod plane;
pub mod problem;
mod rates;
mod recorder;
mod reply;
pub mod routes;
mod steps;
mod stored;
pub mod table;
mod tunnel;
mod values;
mod view;

pub use allow::Allow;
pub use plane::{Courier, NotReplaced, Plane, Settings};
pub use recorder::log::RecordFormat;
pub use recorder::series::label_value;
pub use table::{
    Action, Admin, Destination, Listener, OnJetstream, Outbox, Route, Table, Upstream,
};
pub(crate) use view::View;
