//! What an OpenFaaS answers: the function's own words, those of the watchdog in front of it, or
//! those of the gateway before both.

use http::HeaderValue;
use schemas::{Ack, Class, Guarantee, Receipt};

use super::CALL_ID;
use crate::platform::{Heard, Platform, Said};

/// What the watchdog adds to whatever it answers.
const RAN: &str = "x-duration-seconds";
/// What the watchdog, and the provider before it, add to what they answer in the function's place.
const INTERNAL: &str = "x-openfaas-internal";

/// A call whose answer is waited for.
pub(super) struct Now;

impl Platform for Now {
    fn classify(&self, heard: &Heard<'_>) -> Said {
        let (internal, ran) = (heard.has(INTERNAL), heard.has(RAN));
        let maybe = |class, detail| Said::Fault(heard.fault(class, detail).maybe());
        let unreached = || maybe(Class::UpstreamProtocol, "the platform cannot reach the function");
        let down = || {
            let what = "no instance of the function is up; come again in a moment";
            Said::Fault(heard.fault(Class::Unavailable, what))
        };
        match heard.status.as_u16() {
            429 if internal || !ran => heard.throttled(),
            500 if internal => {
                let what = "the function failed or was not reached, and its platform says no more";
                maybe(Class::FunctionFailed, what)
            }
            503 if internal => down(),
            504 if internal => {
                maybe(Class::Timeout, "the function ran longer than its watchdog lets it")
            }
            // A function's own answer has passed the watchdog, which says how long it took.
            _ if ran => heard.answer(),
            404 => heard.phrased(&["error finding function", "Cannot find service"], || {
                Said::Fault(heard.fault(
                    Class::FunctionNotDeployed,
                    "the platform has no such function; deploy it, or write the address of another",
                ))
            }),
            // Its time-out for functions looks the same, so the function may have run.
            502 if heard.empty => {
                maybe(Class::UpstreamProtocol, "the platform gave up waiting for the function")
            }
            500 | 502 => heard.phrased(&["Can't reach service for"], unreached),
            503 if heard.empty => down(),
            503 => heard.phrased(&["No endpoints available for"], down),
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
