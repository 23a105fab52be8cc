//! What a function app answers: the function's own words, those of the Functions host, or those of
//! the front in front of both.

use schemas::{Ack, Class, Guarantee, Receipt};

use crate::platform::{Heard, Platform, Said};

/// What App Service's authentication says to who shows no token that it takes.
const FORBIDDEN: &str = "You do not have permission to view this directory or page.";

/// A Functions host and its front.
pub(super) struct Host;

impl Platform for Host {
    // The host's own limit (`maxRequestBodySize` of its server).
    const BODY_BYTES_MAX: u64 = 104_857_600;

    fn classify(&self, heard: &Heard<'_>) -> Said {
        match heard.status.as_u16() {
            // A function's own 401 says something, and so does that of the authentication before it.
            401 if heard.empty => Said::Refused,
            401 => heard.phrased(&[FORBIDDEN], || Said::Refused),
            403 if heard.empty || heard.is_page() => forbidden(heard),
            429 if heard.has("x-function-scaleout") => heard.throttled(),
            500 if heard.empty => {
                let what = "the function failed, and its host says no more";
                Said::Fault(heard.fault(Class::FunctionFailed, what).maybe())
            }
            // It may be the end of the 230 seconds that an answer may take, and the function runs on.
            502 if heard.empty || heard.is_page() => {
                let what = "the front of the function app brought no answer";
                Said::Fault(heard.fault(Class::UpstreamProtocol, what).maybe())
            }
            503 if heard.empty || heard.is_page() => down(heard),
            503 => heard.phrased(&["Function host is not running"], || down(heard)),
            _ => heard.answer(),
        }
    }
}

/// The host's own API, by which a function is started.
pub(super) struct Admin {
    /// The function.
    pub(super) function: String,
}

impl Platform for Admin {
    const BODY_BYTES_MAX: u64 = Host::BODY_BYTES_MAX;

    fn classify(&self, heard: &Heard<'_>) -> Said {
        let fault = |class, detail| Said::Fault(heard.fault(class, detail));
        match heard.status.as_u16() {
            202 => Said::Published(Box::new(self.receipt())),
            401 => Said::Refused,
            403 => forbidden(heard),
            404 => fault(
                Class::FunctionNotDeployed,
                "the function app has no such function, so that nothing was started",
            ),
            413 => fault(Class::TooLarge, "the function app takes no input of this size"),
            429 => heard.throttled(),
            400..=499 => fault(
                Class::UpstreamProtocol,
                "the function app does not take what starts a function",
            ),
            // The host answers so before it starts anything.
            503 => down(heard),
            _ => {
                let what = "the function app does not say whether it has started the function";
                Said::Fault(heard.fault(Class::UpstreamProtocol, what).maybe())
            }
        }
    }
}

impl Admin {
    fn receipt(&self) -> Receipt {
        let function = ("function".to_owned(), self.function.as_str().into());
        Receipt {
            ack: Ack::Published,
            // The host starts the function in its own memory, and answers without looking at it.
            guarantee: Guarantee::None,
            duplicate: false,
            receipt: serde_json::Map::from_iter([function]),
        }
    }
}

fn forbidden(heard: &Heard<'_>) -> Said {
    let what = "the function app refuses the gateway: by its networks, or its authentication";
    Said::Fault(heard.fault(Class::UpstreamAuth, what))
}

fn down(heard: &Heard<'_>) -> Said {
    let what = "the function app is not running; come again in a moment";
    Said::Fault(heard.fault(Class::Unavailable, what))
}
