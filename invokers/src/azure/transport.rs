//! How `azure_identity` sends its requests: each over a connection of the gateway's own making, with its
//! TLS, and to whom the upstream says.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use azure_core::{
    Bytes,
    error::ErrorKind,
    http::{AsyncRawResponse, HttpClient, Request, Url, headers::Headers},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use schemas::Class;

use crate::{
    Tools,
    client::{Head, Origin, round_trip},
};

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Sends the requests of one credential.
pub(super) struct Sender {
    tools: Tools,
    deadline: Instant,
    /// Where they go. None: where they are for.
    to: Option<Arc<Origin>>,
    last: LastOf,
}

/// What came of the last request. The errors of `azure_identity` do not say it in one way.
#[derive(Clone, Copy)]
pub(super) enum Last {
    /// An answer with this status.
    Answered(u16),
    /// None, and why.
    Unanswered(Class),
}

/// Where it is told.
#[derive(Clone, Default)]
pub(super) struct LastOf(Arc<Mutex<Option<Last>>>);

impl LastOf {
    /// What came of the last request; none if there was none.
    pub(super) fn get(&self) -> Option<Last> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, last: Last) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}

impl Sender {
    /// Sends nothing yet.
    pub(super) fn new(tools: Tools, deadline: Instant) -> Self {
        Self { tools, deadline, to: None, last: LastOf::default() }
    }

    /// Sends whatever there is to this place.
    pub(super) fn to(self, origin: Arc<Origin>) -> Self {
        Self { to: Some(origin), ..self }
    }

    /// Where it will be told what came of the last request.
    pub(super) fn last(&self) -> LastOf {
        self.last.clone()
    }
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let origin = match &self.to {
            Some(origin) => Arc::clone(origin),
            None => Arc::new(place_of(request.url()).map_err(other)?),
        };
        let method = Method::from_bytes(request.method().as_ref().as_bytes()).map_err(other)?;
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers().iter() {
            let name = HeaderName::from_bytes(name.as_str().as_bytes()).map_err(other)?;
            headers.insert(name, HeaderValue::from_str(value.as_str()).map_err(other)?);
        }
        let path = request.path_and_query();
        let head = Head {
            method: &method,
            prefix: "",
            path: &path,
            headers: &headers,
            own: &[],
            upgrade: None,
        };
        let body = Bytes::from(request.body());
        let within = self.deadline.saturating_duration_since(Instant::now());
        let told =
            round_trip(&origin, &head, body, None, &self.tools, within, ANSWER_BYTES_MAX).await;
        let (status, headers, body) = told.map_err(|fault| {
            self.last.set(Last::Unanswered(match fault.class {
                Class::Timeout | Class::ConnectFailed => fault.class,
                _ => Class::Unavailable,
            }));
            azure_core::Error::with_message(ErrorKind::Io, fault.chain())
        })?;
        self.last.set(Last::Answered(status.as_u16()));
        let mut fields = Headers::new();
        for (name, value) in &headers {
            if let Ok(value) = value.to_str() {
                fields.insert(name.as_str().to_owned(), value.to_owned());
            }
        }
        Ok(AsyncRawResponse::from_bytes(status.as_u16().into(), fields, body))
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Sender").field("to", &self.to).finish_non_exhaustive()
    }
}

/// Where a request is for. In plain text it is for this machine, or for the one beneath it: the
/// addresses that are of one link (RFC 3927) are where machines of Azure are told who they are.
fn place_of(url: &Url) -> Result<Origin, String> {
    let origin = Origin::parse(&format!("{}/", url.origin().ascii_serialization()), None)?;
    let of_the_link = url.host_str().is_some_and(|host| {
        host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_link_local())
    });
    if origin.is_open() && !of_the_link {
        return Err(
            "a token is asked for in plain text at an address that is not this machine's".into()
        );
    }
    Ok(origin)
}

fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> azure_core::Error {
    azure_core::Error::new(ErrorKind::Other, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_asked_for_in_plain_text_of_this_machine_and_the_one_beneath_alone() {
        let place = |url: &str| place_of(&Url::parse(url).unwrap()).map(|origin| origin.url());
        let imds = "http://169.254.169.254/metadata/identity/oauth2/token?resource=x";
        assert_eq!(place(imds).unwrap(), "http://169.254.169.254");
        assert_eq!(place("http://127.0.0.1:41741/msi/token").unwrap(), "http://127.0.0.1:41741");
        assert!(place("https://login.example/t").is_ok());
        assert!(place("http://login.example/t").is_err());
        assert!(place("http://10.0.0.1/msi").is_err());
    }
}
