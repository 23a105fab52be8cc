//! What a platform has answered, and what a kind makes of it.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use http_body::Body as _;
use schemas::{Class, Fault, Receipt, Verdict};

use crate::{client::Answered, http::incoming};

/// The head of an answer, and how its body begins.
pub(crate) struct Heard<'a> {
    /// The status.
    pub(crate) status: StatusCode,
    /// The fields.
    pub(crate) headers: &'a HeaderMap,
    /// Whether there is no body.
    pub(crate) empty: bool,
    /// How the body begins; none where nobody has looked yet.
    start: Option<&'a [u8]>,
}

/// What an answer is.
pub(crate) enum Said {
    /// The function's own. It passes unchanged.
    Answer(Verdict),
    /// The platform has taken the call, and the function runs later.
    Published(Box<Receipt>),
    /// The platform's own words, in place of the function's.
    Fault(Fault),
    /// The platform refuses who the gateway says it is.
    Refused,
    /// The head alone does not say. If the start of the body does not either, it is the function's.
    Unclear,
}

impl<'a> Heard<'a> {
    pub(crate) fn of(answered: &'a Answered, start: Option<&'a [u8]>) -> Self {
        Self {
            status: answered.status,
            headers: &answered.headers,
            empty: start.map_or_else(|| answered.body.is_end_stream(), <[u8]>::is_empty),
            start,
        }
    }

    /// How the body begins; `None` where nobody has looked yet.
    pub(crate) fn start(&self) -> Option<&'a [u8]> {
        self.start
    }

    /// Whether there is a field of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    /// Whether the body says to be a page for people: what a front door shows, and few functions.
    pub(crate) fn is_page(&self) -> bool {
        let media = self.headers.get(header::CONTENT_TYPE);
        media.is_some_and(|media| media.as_bytes().to_ascii_lowercase().starts_with(b"text/html"))
    }

    /// What the platform means where the body begins with one of its phrases; else the answer is
    /// the function's own.
    pub(crate) fn phrased(&self, phrases: &[&str], meaning: impl FnOnce() -> Said) -> Said {
        let Some(start) = self.start else { return Said::Unclear };
        let start = start.trim_ascii_start();
        let theirs = phrases.iter().any(|phrase| start.starts_with(phrase.as_bytes()));
        if theirs { meaning() } else { self.answer() }
    }

    /// The function's own answer, with the verdict that its status has.
    pub(crate) fn answer(&self) -> Said {
        Said::Answer(incoming::classify(self.status, self.headers))
    }

    /// A fault of the platform's.
    pub(crate) fn fault(&self, class: Class, detail: &'static str) -> Fault {
        let fault = Fault::new(class, detail);
        match incoming::retry_after(self.headers) {
            Some(wait) => fault.after(wait),
            None => fault,
        }
    }

    /// A request for fewer calls. Nothing has run.
    pub(crate) fn throttled(&self) -> Said {
        let fault = self.fault(Class::Throttled, "the function's platform asks for fewer calls");
        let wait = fault.retry_after.unwrap_or(SOON);
        Said::Fault(fault.after(wait))
    }
}

/// When to come again where the platform does not say.
const SOON: Duration = Duration::from_secs(1);

/// The platform does not take the gateway for who it says it is. That is never the caller's 401.
pub(super) fn refused() -> Fault {
    Fault::new(Class::UpstreamAuth, "the function's platform refuses the gateway's credentials")
}
