//! Where a function can be reached: the endpoints of an upstream, and which of them is picked.
//!
//! Pure state: no connection, no clock. Each core has its own [`Endpoints`], so that picking takes
//! no lock.

mod endpoints;

pub use endpoints::{Endpoints, Lease};
