//! What strangers may say. Before a route or a policy looks at a request, its path is brought into
//! one form, what only a proxy may say is believed or thrown away, and what two readers would read
//! differently is refused. `docs/security.md` has the rules for people.

mod forwarded;
mod names;
mod path;
mod proxies;

use http::HeaderMap;
use schemas::{Class, Fault};

pub(crate) use forwarded::{Hop, Origin};
pub(crate) use path::fits_no_request;
pub use proxies::{Network, Proxies};

use crate::{answer::REQUEST_ID, make::Asked};

/// What one look over a request's headers has shown of what this module is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Whether a name has a `_`.
    pub(crate) underscore: bool,
    /// Whether a header tells where the request comes from.
    pub(crate) forwarded: bool,
    /// Whether a header tells which trace the request belongs to.
    pub(crate) trace: bool,
}

impl Told {
    /// Looks at one name that means nothing else to the gateway.
    pub(crate) fn look(&mut self, name: &str) {
        if matches!(name.as_bytes().first(), Some(b'x' | b'f' | b't' | b'b')) {
            self.forwarded |= names::is_forwarded(name);
            self.trace |= forwarded::is_trace(name);
        }
        self.underscore |= name.as_bytes().contains(&b'_');
    }
}

/// Lets a request in: what is left of it has one meaning.
///
/// # Errors
/// If it has more than one, or none.
pub(crate) fn enter(asked: &mut Asked<'_>, proxies: &Proxies) -> Result<(), Fault> {
    let told = asked.glance.told;
    if told.underscore {
        names::check(&asked.parts.headers)?;
    }
    if asked.glance.request_id {
        asked.parts.headers.insert(REQUEST_ID, asked.request_id.clone());
    }
    host(asked)?;
    path::normalise(&mut asked.parts.uri, &asked.parts.method)?;
    asked.origin.read(&mut asked.parts.headers, told, proxies)
}

/// A host is a name or an address, and maybe a port. It is no place for a path, for somebody's name
/// and password, or for a blank, behind which a reader may find another host.
fn host(asked: &Asked<'_>) -> Result<(), Fault> {
    if let Some(scheme) = asked.parts.uri.scheme_str()
        && !matches!(scheme, "http" | "https")
    {
        let what = "the request asks for a scheme that is neither http nor https";
        return Err(Fault::new(Class::BadRequest, what).code("bad_target"));
    }
    let fit = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'-' | b':' | b'_' | b'[' | b']' | b'~')
    };
    match asked.host() {
        Some(host) if !host.as_bytes().iter().all(fit) => {
            let what = "the host is neither a name nor an address";
            Err(Fault::new(Class::BadRequest, what).code("bad_host"))
        }
        _ => Ok(()),
    }
}

/// Takes out the headers that are read as one of these where `_` is read as `-`: what a route sets
/// or takes out is not to be said by the caller in another spelling.
pub(crate) fn remove_spellings<'a>(
    headers: &mut HeaderMap,
    of: impl Iterator<Item = &'a http::HeaderName> + Clone,
) {
    let same = |spelt: &http::HeaderName| {
        spelt.as_str().contains('_') && {
            let meant = spelt.as_str().replace('_', "-");
            of.clone().any(|name| name.as_str() == meant)
        }
    };
    let gone: Vec<_> = headers.keys().filter(|name| same(name)).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}
