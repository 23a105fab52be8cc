//! What is done around a call: limits, time-outs, and sending again where that is safe.
//!
//! [`Written`] is the policy as a configuration writes it, [`Policy`] the one that a route lives
//! by. [`attempt`] reads in the order in which things happen; [`guard_body`] watches a body.
//! [`breaker`], [`permits`], [`budget`] and [`limiter`] hold what a whole process knows of its
//! upstreams and callers.

mod attempt;
mod backoff;
pub mod breaker;
pub mod budget;
mod clock;
mod config;
mod guard;
mod guards;
mod hold;
mod keep;
pub mod limiter;
pub mod permits;
mod registry;
mod tee;
mod timer;
mod tunnel;
mod window;

pub use attempt::{Attempted, attempt};
pub use clock::nanos;
pub use config::{
    Auth, BackoffWritten, BreakerWritten, ConcurrencyWritten, GuardSettings, GuardsWritten,
    LimitsWritten, On, OnName, OrNone, Policy, RateLimitWritten, Retry, RetryWritten, Written,
};
pub use guard::{Guarded, Pace, guard_body, guard_request};
pub use guards::Guards;
pub use hold::hold;
pub use registry::{Of, Registry, Snapshot};
pub use tunnel::join;
