//! From a call to the request that one endpoint gets.

use std::mem;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body::Body as _;
use schemas::{Body, Call, Class, Fault};

use crate::client::Origin;

/// What has to be known to turn a request that was not sent back into its call.
#[derive(Debug)]
pub(super) struct Taken {
    /// The URI, if it is not the request's.
    uri: Option<Uri>,
    /// Whether `Host` was put in.
    host: bool,
}

/// Takes head and data out of the call and makes the request for this endpoint of them.
pub(super) fn request(call: &mut Call, origin: &Origin) -> Result<(Request<Body>, Taken), Fault> {
    let target = target(&call.head.uri, &origin.base)?;
    let head = mem::take(&mut call.head);
    let data = mem::take(&mut call.event.data);

    let mut headers = head.headers;
    let host = !headers.contains_key(header::HOST);
    if host {
        headers.insert(header::HOST, origin.authority.clone());
    }
    // Nobody waits for 100 (Continue) here: the caller is told to go on when its body is first
    // asked for, and that happens when the request is under way.
    headers.remove(header::EXPECT);
    // Framing is decided anew for each hop. By itself hyper sends no body with these two unless
    // its length is known.
    let no_length = matches!(head.method, Method::GET | Method::HEAD)
        && !data.is_end_stream()
        && data.size_hint().exact().is_none();
    if no_length {
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    // Hop-by-hop fields are gone already; what this hop needs of them is said again
    // (RFC 9110, sections 7.8 and 10.1.4).
    let trailers = headers.contains_key(header::TE);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = &call.upgrade {
        headers.insert(header::UPGRADE, protocol.clone());
    }
    let connection = match (call.upgrade.is_some(), trailers) {
        (false, false) => None,
        (true, false) => Some("upgrade"),
        (false, true) => Some("te"),
        (true, true) => Some("upgrade, te"),
    };
    if let Some(connection) = connection {
        headers.insert(header::CONNECTION, HeaderValue::from_static(connection));
    }

    let mut request = Request::new(data);
    *request.method_mut() = head.method;
    *request.headers_mut() = headers;
    let uri = match target {
        Some(target) => {
            *request.uri_mut() = target;
            Some(head.uri)
        }
        None => {
            *request.uri_mut() = head.uri;
            None
        }
    };
    Ok((request, Taken { uri, host }))
}

impl Taken {
    /// Puts head and data back into the call. What else was changed is changed again to the same
    /// when the call is sent once more.
    pub(super) fn put_back(self, call: &mut Call, request: Request<Body>) {
        let (mut head, data) = request.into_parts();
        if self.host {
            head.headers.remove(header::HOST);
        }
        call.head.method = head.method;
        call.head.uri = self.uri.unwrap_or(head.uri);
        call.head.headers = head.headers;
        call.event.data = data;
    }
}

/// The request's target in origin form, the endpoint's own path in front; `None` if it is that
/// already.
fn target(uri: &Uri, base: &str) -> Result<Option<Uri>, Fault> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    if base.is_empty() && uri.authority().is_none() && !path.starts_with('?') {
        return Ok(None);
    }
    // `*` (OPTIONS) speaks of the whole server, so here of the service; and an empty path is `/`.
    let path = if path == "*" && !base.is_empty() { "" } else { path };
    let slash = if path.starts_with('?') { "/" } else { "" };
    let target = Bytes::from([base, slash, path].concat());
    let too_long = "the path is too long together with the upstream's own";
    let target = Uri::from_maybe_shared(target);
    target.map(Some).map_err(|error| Fault::new(Class::UriTooLong, too_long).because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &str, base: &str, expected: Option<&str>) {
        let target = target(&uri.parse().unwrap(), base).unwrap();
        assert_eq!(target.map(|target| target.to_string()).as_deref(), expected);
    }

    #[test]
    fn a_target_in_origin_form_is_used_as_it_is() {
        check("/a/b?c=d", "", None);
        check("/", "", None);
        check("*", "", None);
    }

    #[test]
    fn the_endpoints_path_goes_in_front_and_nothing_is_decoded() {
        check("/a%2Fb//c?d=%20", "/base", Some("/base/a%2Fb//c?d=%20"));
        check("/", "/base", Some("/base/"));
        check("*", "/base", Some("/base"));
    }

    #[test]
    fn scheme_and_authority_are_left_out() {
        check("http://other/a?b", "", Some("/a?b"));
        check("http://other", "", Some("/"));
        check("http://other?b", "/base", Some("/base/?b"));
    }

    #[test]
    fn a_target_that_is_too_long_with_its_base_is_refused() {
        let path = format!("/{}", "a".repeat(65_000));
        let fault = target(&path.parse().unwrap(), &"/b".repeat(500)).unwrap_err();
        assert_eq!(fault.class, Class::UriTooLong);
    }
}
