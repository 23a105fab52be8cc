//! Where a connection leads to: one URL of an upstream, taken apart once.

use http::{HeaderValue, Uri, uri::Scheme};
use rustls_pki_types::ServerName;

use crate::urls::is_loopback;

/// One endpoint of an upstream.
#[derive(Debug)]
pub struct Origin {
    /// What goes into `Host`: the URL's host and port as written.
    pub authority: HeaderValue,
    /// The URL's own path, which goes in front of every request's; without a `/` at its end, so
    /// mostly empty.
    pub base: String,
    pub(super) host: String,
    pub(super) port: u16,
    /// Whom the certificate has to name; only for `https`.
    pub(crate) server_name: Option<ServerName<'static>>,
}

impl Origin {
    /// Reads a URL. `server_name` is asked for and verified in place of its host.
    ///
    /// # Errors
    /// What is wrong with the URL, and what to write.
    pub fn parse(url: &str, server_name: Option<&str>) -> Result<Self, String> {
        const EXAMPLE: &str = "write one such as http://127.0.0.1:9000";
        if url.contains('#') {
            return Err("has a fragment, which is never sent; leave out # and what follows".into());
        }
        let uri: Uri = url.parse().map_err(|_| format!("is not a URL; {EXAMPLE}"))?;
        let https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(format!("has no scheme http or https; {EXAMPLE}")),
        };
        let authority = uri.authority().ok_or_else(|| format!("has no host; {EXAMPLE}"))?;
        if authority.as_str().contains('@') {
            return Err("holds a user name or a password; leave them out and set the header with \
                        the route's headers.request.set"
                .into());
        }
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if bare.is_empty() {
            return Err(format!("has no host; {EXAMPLE}"));
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().len() > host.len() => {
                return Err(format!("has a port that is no number below 65536; {EXAMPLE}"));
            }
            None if https => 443,
            None => 80,
        };
        if port == 0 {
            return Err(format!("has port 0, where nobody listens; {EXAMPLE}"));
        }
        if uri.query().is_some() {
            return Err("has a query; put it into the route's rewrite instead".into());
        }
        let server_name = match (https, server_name) {
            (false, _) => None,
            (true, name) => Some(server_name_of(name.unwrap_or(bare))?),
        };
        Ok(Self {
            authority: HeaderValue::from_str(authority.as_str())
                .map_err(|_| format!("has no valid host; {EXAMPLE}"))?,
            base: uri.path().trim_end_matches('/').to_owned(),
            host: bare.to_owned(),
            port,
            server_name,
        })
    }

    /// The URL as it was written, for people.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.https() { "https" } else { "http" };
        let authority = String::from_utf8_lossy(self.authority.as_bytes());
        format!("{scheme}://{authority}{}", self.base)
    }

    /// Path and query of a URL that leads to this place and no other, without the path that goes in
    /// front anyhow. One without a host is of this place's.
    pub(crate) fn below(&self, url: &str) -> Option<String> {
        let uri: Uri = url.parse().ok()?;
        match uri.authority() {
            // In front of a path, two slashes stand for a host (RFC 3986, section 4.2).
            None if url.starts_with("//") => return None,
            None => {}
            Some(authority) => {
                let usual = |https| if https { 443 } else { 80 };
                let https = match uri.scheme()? {
                    scheme if *scheme == Scheme::HTTPS => true,
                    scheme if *scheme == Scheme::HTTP => false,
                    _ => return None,
                };
                let host = authority.host().trim_start_matches('[').trim_end_matches(']');
                let port = authority.port_u16();
                // Who ends TLS in front of the place may be of another opinion on the scheme.
                let both_usual = port.is_none() && self.port == usual(self.https());
                let same = both_usual || port.unwrap_or(usual(https)) == self.port;
                if !same
                    || authority.as_str().contains('@')
                    || !host.eq_ignore_ascii_case(&self.host)
                {
                    return None;
                }
            }
        }
        let path = uri.path_and_query()?.as_str().strip_prefix(self.base.as_str())?;
        path.starts_with('/').then(|| path.to_owned())
    }

    /// Whether a secret that is sent there could be read on the way.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.https() && !is_loopback(&self.host)
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn https(&self) -> bool {
        self.server_name.is_some()
    }
}

/// The name or the address that a certificate has to hold.
pub(crate) fn server_name_of(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| format!("{name:?} can be in no certificate; write a host name or an address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> (String, String, u16, String) {
        let origin = Origin::parse(url, None).unwrap();
        let authority = origin.authority.to_str().unwrap().to_owned();
        (authority, origin.host, origin.port, origin.base)
    }

    #[test]
    fn a_url_is_taken_apart() {
        let parts = |a: &str, h: &str, p, b: &str| (a.to_owned(), h.to_owned(), p, b.to_owned());
        assert_eq!(read("http://web"), parts("web", "web", 80, ""));
        assert_eq!(read("http://web:9000/"), parts("web:9000", "web", 9000, ""));
        assert_eq!(read("https://web/a/b/"), parts("web", "web", 443, "/a/b"));
        assert_eq!(read("http://[::1]:81/a"), parts("[::1]:81", "::1", 81, "/a"));
        assert_eq!(
            Origin::parse("https://web", Some("other.example")).unwrap().server_name,
            Some("other.example".try_into().unwrap())
        );
    }

    #[test]
    fn a_url_of_this_place_is_told_from_one_of_another() {
        let below = |origin: &str, url: &str| Origin::parse(origin, None).unwrap().below(url);
        let found = |path: &str| Some(path.to_owned());
        for url in ["/a?b=c", "https://web/a?b=c", "http://WEB/a?b=c", "https://web:443/a?b=c#d"] {
            assert_eq!(below("https://web", url), found("/a?b=c"), "{url}");
        }
        assert_eq!(below("http://[::1]:81/base", "http://[::1]:81/base/a"), found("/a"));
        for url in [
            "https://web.evil/a",
            "https://web:444/a",
            "https://user@web/a",
            "//evil/a",
            "ftp://web/a",
            "a/b",
            "web",
            "",
        ] {
            assert_eq!(below("https://web", url), None, "{url}");
        }
        assert_eq!(below("https://web/base", "https://web/a"), None);
        assert_eq!(below("https://web/base", "https://web/based"), None);
    }

    #[test]
    fn what_is_no_url_of_a_service_is_refused_with_what_to_write() {
        for (url, said) in [
            ("", "is not a URL"),
            ("web", "no scheme"),
            ("/a", "no scheme"),
            ("ftp://web", "no scheme"),
            ("http://", "is not a URL"),
            ("http://:80", "no host"),
            ("http://web:0", "port 0"),
            ("http://web:", "no number"),
            ("http://web:99999", "no number"),
            ("http://web?a=b", "query"),
            ("http://web/#a", "fragment"),
            ("http://user:secret@web", "headers.request.set"),
            ("https://a_b..c", "certificate"),
        ] {
            let found = Origin::parse(url, None).unwrap_err();
            assert!(found.contains(said), "{url}: {found}");
            assert!(!found.contains("secret"), "{found}");
        }
    }
}
