//! The shared words of Gusset, and every shape that crosses a boundary between its parts.
//!
//! Start with [`Call`] (what is sent), [`Reply`] and [`Fault`] (what comes back) and [`Invoker`]
//! (who sends it). An [`Event`] is the thing that travels; a [`Body`] is its data; an [`Address`]
//! names the function that it is for.

pub mod address;
pub mod body;
pub mod call;
pub mod cloudevents;
pub mod event;
pub mod fault;
pub mod invoke;
pub mod or_none;
pub mod record;
pub mod reply;
pub mod secret;
pub mod template;
pub mod tunnel;
pub mod units;

pub use address::{Address, Name};
pub use body::{Body, BodyError};
pub use call::{Call, Format, Head, Identity};
pub use event::{Attributes, Context, Event, Mode, Value};
pub use fault::{Class, EndpointId, Fault, Ran, Violation};
pub use invoke::{Invoker, Job};
pub use or_none::OrNone;
pub use record::Record;
pub use reply::{Ack, Guarantee, Later, Receipt, Reply, ReplyHead, Verdict};
pub use secret::{FileRef, Reveal, Revealed, Secret};
pub use template::{Grammar, Template, Values};
pub use tunnel::{Duplex, Tunnel};
