//! What is done around a call: time-outs, and sending again where that is safe.
//!
//! [`Written`] is the policy as a configuration writes it, [`Policy`] the one that a route lives
//! by. The file `attempt.rs` reads in the order in which things happen.

mod config;

pub use config::{
    Auth, BackoffWritten, LimitsWritten, On, OnName, Policy, Retry, RetryWritten, Written,
};
