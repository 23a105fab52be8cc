//! Keeps web pages from elsewhere away from the admin port: a browser on this machine reaches it,
//! so that a page could ask it through the browser, or through a name of its own that resolves to
//! a loopback address (DNS rebinding). Where there is a token, asks for it.
//!
//! A page cannot send JSON or YAML to another origin without asking first, which nothing here
//! allows; the endpoints take nothing else.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue, header, uri::Authority};
use schemas::{Class, Revealed};
use sha2::{Digest as _, Sha256};

use crate::Problem;

/// What is open to whoever reaches the port, token or not: whether the process lives, and the page,
/// which shows nothing until it has been given the token.
const OPEN: [&str; 6] = ["/healthz", "/readyz", "/", "/page.css", "/page.js", "/mark.svg"];

/// What a request must bring.
pub(crate) enum Token {
    /// Nothing. Then it must have been addressed to this machine by a name that only this machine
    /// has.
    None,
    /// This.
    Is(Revealed),
    /// Nobody knows: the token cannot be read, so none is right.
    Unknown,
}

/// Lets a request pass that no page of another origin has made, and that brings the token, or was
/// addressed to this machine where there is none.
pub(crate) fn admit(
    request: &http::request::Parts,
    token: &Token,
    asked_on: SocketAddr,
) -> Result<(), Problem> {
    let headers = &request.headers;
    let host = one(headers, &header::HOST)?
        .ok_or_else(|| Problem::new(Class::BadRequest, "the request has no Host header"))?;
    let authority: Authority = host
        .parse()
        .map_err(|_| Problem::new(Class::BadRequest, "the Host header is no host and port"))?;
    let open = matches!(token, Token::None);
    // A page that rebinds its name to this address has no token to send, so with one any name
    // will do.
    if open && !is_ours(authority.host(), asked_on.ip()) {
        return Err(Problem::new(
            Class::Forbidden,
            "the Host header names neither this machine's loopback nor the address that was asked; \
             write http://127.0.0.1 or http://localhost with the admin port",
        ));
    }
    if let Some(origin) = one(headers, &header::ORIGIN)? {
        // With a token there may be a proxy in front that speaks TLS.
        let own = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://").filter(|_| !open));
        if own != Some(host) {
            return Err(Problem::new(
                Class::Forbidden,
                "a page of another origin may not use the admin API",
            ));
        }
    }
    if !OPEN.contains(&request.uri.path()) {
        authenticate(headers, token)?;
    }
    Ok(())
}

/// Compares by digests, which takes as long for a token that is nearly right (RFC 6750).
fn authenticate(headers: &HeaderMap, token: &Token) -> Result<(), Problem> {
    let refuse = |said: &'static str| {
        let scheme = HeaderValue::from_static("Bearer realm=\"gusset\"");
        Err(Problem::new(Class::Unauthorized, said).header(header::WWW_AUTHENTICATE, scheme))
    };
    let expected = match token {
        Token::None => return Ok(()),
        Token::Is(expected) => expected,
        Token::Unknown => return refuse("the gateway cannot read its admin token"),
    };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split_once(' '));
    let Some((_, given)) = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
        return refuse("the admin API needs its token; send Authorization: Bearer");
    };
    let digest = |text: &str| Sha256::digest(text.as_bytes());
    let (given, expected) = (digest(given.trim()), digest(expected.expose()));
    let differ = given.iter().zip(&expected).fold(0, |sum, (a, b)| sum | (a ^ b));
    if std::hint::black_box(differ) == 0 { Ok(()) } else { refuse("this is not the admin token") }
}

pub(crate) fn one<'h>(
    headers: &'h HeaderMap,
    name: &header::HeaderName,
) -> Result<Option<&'h str>, Problem> {
    let mut all = headers.get_all(name).iter();
    let first = all.next().map(|value| value.to_str());
    match (first, all.next()) {
        (None, _) => Ok(None),
        (Some(Ok(value)), None) => Ok(Some(value)),
        _ => Err(Problem::new(Class::BadRequest, format!("the {name} header must be one text"))),
    }
}

fn is_ours(host: &str, asked_on: IpAddr) -> bool {
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip == asked_on)
}

pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    has_media(headers, "application/json")
}

/// RFC 9512, section 2.1.
pub(crate) fn is_yaml(headers: &HeaderMap) -> bool {
    has_media(headers, "application/yaml")
}

fn has_media(headers: &HeaderMap, known: &str) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn ask(token: &Token, method: Method, path: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap().into_parts().0;
        let asked_on = "10.1.2.3:8081".parse().unwrap();
        admit(&request, token, asked_on).map_or_else(|problem| problem.status().as_u16(), |()| 200)
    }

    fn check(method: Method, headers: &[(&str, &str)]) -> u16 {
        ask(&Token::None, method, "/api/v1/routes", headers)
    }

    #[test]
    fn with_a_token_only_who_brings_it_passes() {
        let token = Token::Is(Revealed::new("s3cret"));
        let host = ("host", "gateway.example.com");
        let with =
            |value| ask(&token, Method::GET, "/api/v1/routes", &[host, ("authorization", value)]);
        assert_eq!(with("Bearer s3cret"), 200);
        assert_eq!(with("bearer  s3cret"), 200);
        for wrong in
            ["Bearer s3cre", "Bearer s3crets", "Bearer ", "Bearer", "Basic s3cret", "s3cret"]
        {
            assert_eq!(with(wrong), 401, "{wrong}");
        }
        assert_eq!(ask(&token, Method::GET, "/metrics", &[host]), 401);
        for path in OPEN {
            assert_eq!(ask(&token, Method::GET, path, &[host]), 200, "{path}");
        }
        let headers = [host, ("authorization", "Bearer ")];
        assert_eq!(ask(&Token::Unknown, Method::GET, "/metrics", &headers), 401);
        let foreign = [host, ("authorization", "Bearer s3cret"), ("origin", "http://evil.example")];
        assert_eq!(ask(&token, Method::GET, "/metrics", &foreign), 403);
        let own =
            [host, ("authorization", "Bearer s3cret"), ("origin", "https://gateway.example.com")];
        assert_eq!(ask(&token, Method::GET, "/metrics", &own), 200);
    }

    #[test]
    fn loopback_names_and_the_asked_address_are_ours() {
        for host in
            ["localhost", "LOCALHOST:8081", "127.0.0.1:8081", "127.9.9.9", "[::1]:8081", "10.1.2.3"]
        {
            assert_eq!(check(Method::GET, &[("host", host)]), 200, "{host}");
        }
    }

    #[test]
    fn a_name_that_resolves_here_is_refused() {
        for host in ["evil.example:8081", "localhost.evil.example", "10.9.9.9", "127.0.0.1.nip.io"]
        {
            assert_eq!(check(Method::GET, &[("host", host)]), 403, "{host}");
        }
        assert_eq!(check(Method::GET, &[]), 400);
        assert_eq!(check(Method::GET, &[("host", "localhost"), ("host", "evil.example")]), 400);
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let ours = ("host", "localhost:8081");
        assert_eq!(check(Method::GET, &[ours, ("origin", "http://localhost:8081")]), 200);
        for origin in
            ["http://localhost:3000", "https://localhost:8081", "http://evil.example", "null"]
        {
            assert_eq!(check(Method::GET, &[ours, ("origin", origin)]), 403, "{origin}");
        }
    }
}
