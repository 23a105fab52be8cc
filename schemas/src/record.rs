//! One record for each request: what the access log, the metrics and later traces are made of.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderValue, Method, StatusCode, uri::PathAndQuery};

use crate::{Ack, Class};

/// What happened to one request, written once its last byte has gone. It holds no header but
/// the request id, and no body, so there is nothing in it to redact.
#[derive(Clone, Debug)]
pub struct Record {
    /// Microseconds since the Unix epoch at which the request arrived.
    pub at_us: u64,
    /// The request id, which the answer carries too. Shared with it, not copied.
    pub request_id: HeaderValue,
    /// The peer that sent it.
    pub peer: Option<IpAddr>,
    /// The method.
    pub method: Method,
    /// The path; the query behind it may hold secrets and is never printed.
    pub target: Option<PathAndQuery>,
    /// The route that served it, if one did.
    pub route: Option<Arc<str>>,
    /// The address as it is written in the configuration, never what it expands to.
    pub address: Option<Arc<str>>,
    /// The status that the caller got; none if it left before.
    pub status: Option<StatusCode>,
    /// What went wrong, if something did.
    pub class: Option<Class>,
    /// The problem's finer code, if there is one.
    pub code: Option<&'static str>,
    /// The causes underneath, in one line, for the log alone.
    pub cause: Option<String>,
    /// How far the event came.
    pub ack: Option<Ack>,
    /// How many times it was sent.
    pub attempts: u32,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// From the request's arrival to the answer's head.
    pub head_after: Duration,
    /// From the request's arrival to the answer's last byte.
    pub took: Duration,
}

impl Record {
    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.as_ref().map_or("*", PathAndQuery::path)
    }
}
