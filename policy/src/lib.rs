//! What is done around a call: time-outs, and sending again where that is safe.
//!
//! [`Written`] is the policy as a configuration writes it, [`Policy`] the one that a route lives
//! by. [`attempt`] reads in the order in which things happen; [`guard_body`] watches a body.

mod attempt;
mod backoff;
mod config;
mod guard;
mod keep;
mod tee;
mod timer;
mod tunnel;

pub use attempt::{Attempted, attempt};
pub use config::{
    Auth, BackoffWritten, LimitsWritten, On, OnName, Policy, Retry, RetryWritten, Written,
};
pub use guard::{Guarded, guard_body};
pub use tunnel::join;
