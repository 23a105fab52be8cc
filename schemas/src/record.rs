//! One record for each request: what the access log, the metrics and later traces are made of.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{Method, StatusCode};

use crate::{Ack, Class};

/// What happened to one request, written once its last byte has gone. It holds no header value, no
/// query and no body, so there is nothing in it to redact.
#[derive(Clone, Debug)]
pub struct Record {
    /// Microseconds since the Unix epoch at which the request arrived.
    pub at_us: u64,
    /// The request id, which the answer carries too.
    pub request_id: Arc<str>,
    /// The peer that sent it.
    pub peer: Option<IpAddr>,
    /// The method.
    pub method: Method,
    /// The path without the query, which may hold secrets.
    pub path: Arc<str>,
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
