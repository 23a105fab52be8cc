//! What comes back: the words of a function, those of the framework around it, or those of Google's
//! front before both.

use schemas::Class;

use crate::platform::{Heard, Platform, Said};

/// What the Functions Framework adds where a function has failed.
const STATUS: &str = "x-google-status";

/// A function or a service behind Google's front.
pub(super) struct Front;

impl Platform for Front {
    // What Cloud Run takes in a request of HTTP/1.
    const BODY_BYTES_MAX: u64 = 32 << 20;
    const ERRORS_ARE_EMPTY: bool = false;

    fn classify(&self, heard: &Heard<'_>) -> Said {
        let fault = |class, detail| heard.fault(class, detail);
        let status = heard.status.as_u16();
        if status == 500 && heard.has(STATUS) {
            let what = "the function failed, and the framework around it says no more";
            return Said::Fault(fault(Class::FunctionFailed, what).maybe());
        }
        if !matches!(status, 401 | 403 | 404 | 429 | 500 | 503 | 504) {
            return heard.answer();
        }
        let Some(start) = heard.start() else { return Said::Unclear };
        match status {
            401 if is_page(start) => Said::Refused,
            403 if is_page(start) => {
                let what = "the gateway's service account may not call the function";
                Said::Fault(fault(Class::UpstreamAuth, what))
            }
            404 if is_page(start) => {
                let what = "there is no such function; deploy it, or write the address of another";
                Said::Fault(fault(Class::FunctionNotDeployed, what))
            }
            429 if start.starts_with(b"Rate exceeded.") => heard.throttled(),
            500 if start.starts_with(b"Error: could not handle the request") => {
                let what = "the function failed, and the platform says no more";
                Said::Fault(fault(Class::FunctionFailed, what).maybe())
            }
            // The same page stands for an instance that broke off in the middle of its work.
            503 if is_page(start) => {
                let what = "no instance of the function has answered; come again in a moment";
                Said::Fault(fault(Class::Unavailable, what).maybe())
            }
            504 if start.starts_with(b"upstream request timeout") => {
                let what = "the function ran longer than its timeout lets it";
                Said::Fault(fault(Class::Timeout, what).maybe())
            }
            _ => heard.answer(),
        }
    }
}

/// Whether a body begins as the page of Google's front does.
fn is_page(start: &[u8]) -> bool {
    const HEADLINE: &[u8] = b"<h1>Error: ";
    start.trim_ascii_start().starts_with(b"<html><head>")
        && start.windows(HEADLINE.len()).any(|part| part == HEADLINE)
}
