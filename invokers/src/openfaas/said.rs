//! What an OpenFaaS answers: the function's own words, those of the watchdog in front of it, or
//! those of the gateway before both.

use http::HeaderValue;
use schemas::{Ack, Class, Guarantee, Receipt};

use super::CALL_ID;
use crate::platform::{Heard, Platform, Said};

/// What the watchdog adds to whatever a function has answered.
const RAN: &str = "x-duration-seconds";
/// What the watchdog adds to what it answers in the function's place.
const WATCHDOG: &str = "x-openfaas-internal";

/// A call whose answer is waited for.
pub(super) struct Now;

impl Platform for Now {
    fn classify(&self, heard: &Heard<'_>) -> Said {
        let maybe = |class, detail| Said::Fault(heard.fault(class, detail).maybe());
        match heard.status.as_u16() {
            500 if heard.has(WATCHDOG) => {
                maybe(Class::FunctionFailed, "the function failed, and its watchdog says no more")
            }
            504 if heard.has(WATCHDOG) => {
                maybe(Class::Timeout, "the function ran longer than its watchdog lets it")
            }
            429 if !heard.has(RAN) => heard.throttled(),
            // A function's own answer has passed the watchdog, which says how long it took.
            _ if heard.has(RAN) => heard.answer(),
            404 => match heard.begins(&["error finding function", "Cannot find service"]) {
                Some(true) => Said::Fault(heard.fault(
                    Class::FunctionNotDeployed,
                    "the platform has no such function; deploy it, or write the address of another",
                )),
                Some(false) => heard.answer(),
                None => Said::Unclear,
            },
            // Its time-out for functions looks the same, so the function may have run.
            502 if heard.empty => {
                maybe(Class::UpstreamProtocol, "the platform gave up waiting for the function")
            }
            502 => match heard.begins(&["Can't reach service for"]) {
                Some(true) => {
                    maybe(Class::UpstreamProtocol, "the platform cannot reach the function")
                }
                Some(false) => heard.answer(),
                None => Said::Unclear,
            },
            503 => Said::Fault(heard.fault(
                Class::Unavailable,
                "no instance of the function is up; come again in a moment",
            )),
            _ => heard.answer(),
        }
    }
}

/// A call that the queue is to take.
pub(super) struct Later {
    /// Its name on the platform.
    pub(super) function: String,
    /// The name that the call has given itself.
    pub(super) id: Option<HeaderValue>,
}

impl Platform for Later {
    fn classify(&self, heard: &Heard<'_>) -> Said {
        let fault = |class, detail| Said::Fault(heard.fault(class, detail));
        match heard.status.as_u16() {
            200..=299 => Said::Published(Box::new(self.receipt(heard))),
            401 | 403 => Said::Refused,
            404 => fault(Class::Unavailable, "the platform has no queue for asynchronous calls"),
            400 => fault(Class::UpstreamProtocol, "the platform refuses the URL for the callback"),
            413 => fault(Class::TooLarge, "the platform's queue takes no body of this size"),
            429 => heard.throttled(),
            // Whether its queue has taken the call before it failed is not said.
            _ => {
                let what = "the platform's queue did not take the call";
                Said::Fault(heard.fault(Class::Unavailable, what).maybe())
            }
        }
    }
}

impl Later {
    fn receipt(&self, heard: &Heard<'_>) -> Receipt {
        let mut receipt = serde_json::Map::new();
        receipt.insert("function".to_owned(), self.function.as_str().into());
        let id = heard.headers.get(CALL_ID).or(self.id.as_ref()).and_then(|id| id.to_str().ok());
        if let Some(id) = id {
            receipt.insert("call_id".to_owned(), id.into());
        }
        Receipt {
            ack: Ack::Published,
            // Its queue is a NATS whose storage is in memory unless somebody has changed that.
            guarantee: Guarantee::BrokerMemory,
            duplicate: false,
            receipt,
        }
    }
}
