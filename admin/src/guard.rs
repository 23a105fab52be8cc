//! Keeps web pages from elsewhere away from the admin port: a browser on this machine reaches it,
//! so that a page could ask it through the browser, or through a name of its own that resolves to
//! a loopback address (DNS rebinding).

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Method, header, uri::Authority};
use schemas::Class;

use crate::Problem;

/// Lets a request pass that was addressed to this machine by a name that only this machine has,
/// and that no page of another origin has made.
pub(crate) fn admit(
    method: &Method,
    headers: &HeaderMap,
    asked_on: SocketAddr,
) -> Result<(), Problem> {
    let host = one(headers, &header::HOST)?
        .ok_or_else(|| Problem::new(Class::BadRequest, "the request has no Host header"))?;
    let authority: Authority = host
        .parse()
        .map_err(|_| Problem::new(Class::BadRequest, "the Host header is no host and port"))?;
    if !is_ours(authority.host(), asked_on.ip()) {
        return Err(Problem::new(
            Class::Forbidden,
            "the Host header names neither this machine's loopback nor the address that was asked; \
             write http://127.0.0.1 or http://localhost with the admin port",
        ));
    }
    if let Some(origin) = one(headers, &header::ORIGIN)?
        && origin.strip_prefix("http://") != Some(host)
    {
        return Err(Problem::new(
            Class::Forbidden,
            "a page of another origin may not use the admin API",
        ));
    }
    if method == Method::POST && !is_json(headers) {
        return Err(Problem::new(
            Class::UnsupportedMedia,
            "the admin API takes JSON; send Content-Type: application/json",
        ));
    }
    Ok(())
}

fn one<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Result<Option<&'h str>, Problem> {
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

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, headers: &[(&str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        let asked_on = "10.1.2.3:8081".parse().unwrap();
        admit(&method, &map, asked_on).map_or_else(|problem| problem.status().as_u16(), |()| 200)
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

    #[test]
    fn a_post_must_be_json() {
        let ours = ("host", "localhost:8081");
        assert_eq!(check(Method::POST, &[ours, ("content-type", "text/plain")]), 415);
        assert_eq!(check(Method::POST, &[ours]), 415);
        let json = ("content-type", "application/json; charset=utf-8");
        assert_eq!(check(Method::POST, &[ours, json]), 200);
    }
}
