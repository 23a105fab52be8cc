//! What comes back: the words of a service, or those of what stands in front of it; and what a
//! broker or a channel says of an event (data plane contract of Knative Eventing, "Event
//! Acknowledgement and Delivery Retry").

use std::str;

use http::StatusCode;
use schemas::{Ack, Class, Fault, Guarantee, Ran, Receipt, Verdict};

use crate::platform::{Heard, Platform, Said};

/// How much of a refusal is kept: in base64 it is what a dead letter may say of it, 1024 bytes.
pub(super) const KEPT_BYTES: usize = 768;

/// What was answered where a fault says that it was no delivery.
#[derive(Debug)]
pub(super) struct Answered {
    pub(crate) status: StatusCode,
    /// How its body begins.
    pub(crate) start: Vec<u8>,
}

impl std::fmt::Display for Answered {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = String::from_utf8_lossy(&self.start);
        write!(out, "it answered {}: {:?}", self.status.as_u16(), start.trim())
    }
}

impl std::error::Error for Answered {}

/// A service behind an ingress, an activator and a queue-proxy.
pub(super) struct Service {
    /// Whether it was given an event.
    pub(super) event: bool,
}

impl Platform for Service {
    fn classify(&self, heard: &Heard<'_>) -> Said {
        let fault = |class, detail| heard.fault(class, detail);
        let (status, start) = match (heard.status.as_u16(), heard.start()) {
            (404, _) if heard.empty && by_the_ingress(heard) => {
                let what = "the ingress knows no such service; deploy it, or write another address";
                return told(heard, fault(Class::FunctionNotDeployed, what));
            }
            // An event that came too early is refused by the contract, and for good.
            (425, _) if self.event => {
                let class = Class::Unprocessable;
                return Said::Answer(Verdict::Failed { class, ran: Ran::No, retry_after_ms: None });
            }
            (503 | 504, None) => return Said::Unclear,
            (status @ (503 | 504), Some(start)) => (status, start.trim_ascii()),
            _ => return heard.answer(),
        };
        match (status, str::from_utf8(start).unwrap_or_default()) {
            (503, "pending request queue full") => match heard.throttled() {
                Said::Fault(fault) => told(heard, fault),
                said => said,
            },
            (503, "no healthy upstream") if by_the_ingress(heard) => {
                let what = "no instance of the service is up; come again in a moment";
                told(heard, fault(Class::Unavailable, what))
            }
            (504, "request timeout" | "activator request timeout") => {
                let what = "the service ran longer than its timeoutSeconds lets it";
                told(heard, fault(Class::Timeout, what).maybe())
            }
            (504, "upstream request timeout") if by_the_ingress(heard) => {
                let what = "the cluster's ingress gave up waiting for the service";
                told(heard, fault(Class::Timeout, what).maybe())
            }
            _ => heard.answer(),
        }
    }
}

/// Whether an answer is an Envoy's own: what comes from behind it has a field more.
fn by_the_ingress(heard: &Heard<'_>) -> bool {
    let server = heard.headers.get(http::header::SERVER);
    server.is_some_and(|server| matches!(server.as_bytes(), b"envoy" | b"istio-envoy"))
        && !heard.has("x-envoy-upstream-service-time")
}

/// A broker or a channel, which takes events.
pub(super) struct Sink<'a> {
    /// Its address behind the upstream, for the receipt.
    pub(super) function: &'a str,
    /// Whether a reply was asked for.
    pub(super) replies: bool,
}

impl Platform for Sink<'_> {
    fn classify(&self, heard: &Heard<'_>) -> Said {
        let status = heard.status.as_u16();
        match status {
            200 if self.replies => return heard.answer(),
            // What comes with any other is no reply, whatever it looks like.
            200..=299 => return Said::Published(Box::new(self.receipt(heard.status))),
            _ if heard.start().is_none() => return Said::Unclear,
            _ => {}
        }
        let fault = |class, detail| heard.fault(class, detail);
        let refused = |class| fault(class, "it refuses this event, and would again").for_good();
        told(
            heard,
            match status {
                300..=399 => {
                    let what = "it redirects events, and no event follows; write its own URL";
                    fault(Class::UpstreamProtocol, what).for_good()
                }
                400 => refused(Class::BadRequest).code("event_refused"),
                401 | 403 => {
                    fault(Class::UpstreamAuth, "it does not let the gateway send events").for_good()
                }
                404 => fault(Class::FunctionNotDeployed, "nobody takes events at its URL"),
                408 => fault(Class::Timeout, "the event took it too long").maybe(),
                409 => fault(Class::Unavailable, "it is still busy with this event").maybe(),
                413 => refused(Class::TooLarge),
                415 => refused(Class::UnsupportedMedia),
                429 => match heard.throttled() {
                    Said::Fault(fault) => fault,
                    _ => fault(Class::Throttled, "it asks for fewer events"),
                },
                402..=499 => refused(Class::Unprocessable).code("event_refused"),
                503 => fault(Class::Unavailable, "it takes no events now").maybe(),
                504 => fault(Class::Timeout, "the event took it too long").maybe(),
                500..=599 => fault(Class::FunctionFailed, "it failed to take the event").maybe(),
                _ => fault(Class::UpstreamProtocol, "its answer means nothing").for_good(),
            },
        )
    }
}

impl Sink<'_> {
    fn receipt(&self, status: StatusCode) -> Receipt {
        let told = [("to", self.function.into()), ("status", status.as_u16().into())];
        Receipt {
            ack: Ack::Published,
            // What it is made of is its own business; the usual channel is in memory.
            guarantee: Guarantee::BrokerMemory,
            duplicate: false,
            receipt: told.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
        }
    }
}

/// The fault with what was answered underneath, for the log and for a dead letter.
fn told(heard: &Heard<'_>, fault: Fault) -> Said {
    let start = heard.start().unwrap_or_default();
    let start = start.get(..KEPT_BYTES).unwrap_or(start).to_vec();
    Said::Fault(fault.because(Answered { status: heard.status, start }))
}
