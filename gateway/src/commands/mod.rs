//! The commands, one file each: its words, its help with examples, and what it does.

pub(crate) mod apply;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod dev;
pub(crate) mod explain;
pub(crate) mod functions;
pub(crate) mod health;
pub(crate) mod init;
pub(crate) mod invoke;
mod list;
pub(crate) mod outbox;
pub(crate) mod publish;
pub(crate) mod replay;
pub(crate) mod routes;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod subscribe;
pub(crate) mod unbuilt;
pub(crate) mod upstreams;
