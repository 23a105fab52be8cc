//! Where a request comes from: what a trusted proxy says of it is believed and extended, what
//! anybody else says is replaced. Services behind are told in X-Forwarded-For, -Proto and -Host,
//! which they all read; a Forwarded of RFC 7239 is extended where a proxy uses it, and not begun.

use std::net::{IpAddr, SocketAddrV4};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use schemas::{Class, Fault};

use super::{Proxies, names};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const TRACEPARENT: &str = "traceparent";

/// Hops that a request may have come by.
const HOPS: usize = 32;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    /// Its address; one of IPv4 is one, on whatever socket it came.
    pub(crate) ip: IpAddr,
    /// The same as text, made once for all requests of the connection.
    text: HeaderValue,
}

/// Where a request comes from.
#[derive(Clone, Debug)]
pub(crate) struct Origin<'a> {
    hop: &'a Hop,
    /// Whether the hop is a proxy that is believed.
    pub(crate) trusted: bool,
    /// Who asks, as far as anybody knows who is believed: the address that limits are keyed by.
    pub(crate) client: IpAddr,
}

impl Hop {
    /// Remembers an address.
    pub(crate) fn new(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        let text = HeaderValue::from_maybe_shared(bytes::Bytes::from(ip.to_string()));
        Self { ip, text: text.expect("an address is fit for a header") }
    }

    /// What stands for the address of a caller who is not there yet.
    pub(crate) fn anybody() -> Self {
        let text = HeaderValue::from_static("(the caller's address)");
        Self { ip: std::net::Ipv4Addr::UNSPECIFIED.into(), text }
    }
}

impl<'a> Origin<'a> {
    /// What is known before a look at the headers.
    pub(crate) fn new(hop: &'a Hop, proxies: &Proxies) -> Self {
        Self { hop, trusted: proxies.trust(hop.ip), client: hop.ip }
    }

    /// Takes out of the headers what is not believed, and finds who asks in what is.
    ///
    /// # Errors
    /// If the request came by more hops than anybody has: 400 `bad_forwarded`.
    pub(crate) fn read(
        &mut self,
        headers: &mut HeaderMap,
        seen: super::Told,
        proxies: &Proxies,
    ) -> Result<(), Fault> {
        if seen.trace {
            let readable = is_one_trace(headers);
            match headers.get(TRACEPARENT).filter(|_| readable && !self.trusted).map(restarted) {
                Some(restarted) => {
                    forget(headers, is_trace);
                    headers.insert(TRACEPARENT, restarted);
                }
                None if readable && self.trusted => {}
                None => forget(headers, is_trace),
            }
        }
        if seen.forwarded && !self.trusted {
            forget(headers, names::is_forwarded);
        } else if seen.forwarded {
            self.client = client(headers, self.hop.ip, proxies)?;
        }
        Ok(())
    }

    /// Tells a service where the request comes from. `host` is the one that was asked for.
    pub(crate) fn write(&self, headers: &mut HeaderMap, host: Option<HeaderValue>) {
        let peer = &self.hop.text;
        if self.trusted {
            let hops = match joined(headers, &FOR) {
                Some(before) => append(&before, peer.as_bytes()),
                None => peer.clone(),
            };
            headers.insert(FOR, hops);
            headers.entry(PROTO).or_insert(HeaderValue::from_static("http"));
            if let Some(host) = host {
                headers.entry(HOST).or_insert(host);
            }
            if let Some(before) = joined(headers, &header::FORWARDED) {
                let here = match self.hop.ip {
                    IpAddr::V4(ip) => format!("for={ip};proto=http"),
                    IpAddr::V6(ip) => format!("for=\"[{ip}]\";proto=http"),
                };
                headers.insert(header::FORWARDED, append(&before, here.as_bytes()));
            }
            return;
        }
        headers.insert(FOR, peer.clone());
        headers.insert(PROTO, HeaderValue::from_static("http"));
        if let Some(host) = host {
            headers.insert(HOST, host);
        }
    }
}

/// All values of a list in one, or none.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?.clone();
    Some(all.fold(first, |before, more| append(&before, more.as_bytes())))
}

fn append(before: &HeaderValue, more: &[u8]) -> HeaderValue {
    let all = [before.as_bytes(), b", ", more].concat();
    HeaderValue::from_bytes(&all).unwrap_or_else(|_| before.clone())
}

fn forget(headers: &mut HeaderMap, which: fn(&str) -> bool) {
    let gone: Vec<HeaderName> =
        headers.keys().filter(|name| which(name.as_str())).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

/// Whether a header of this name says which trace a request belongs to.
pub(crate) fn is_trace(name: &str) -> bool {
    matches!(name, TRACEPARENT | "tracestate" | "b3" | "x-amzn-trace-id")
        || name.starts_with("x-b3-")
}

/// Whether what is said of the trace can be read (W3C Trace Context, section 3.2). A trace state
/// means nothing beside a parent that cannot.
fn is_one_trace(headers: &HeaderMap) -> bool {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    match (parents.next(), parents.next()) {
        (None, _) => !headers.contains_key("tracestate"),
        (Some(parent), None) => is_traceparent(parent.as_bytes()),
        (Some(_), Some(_)) => false,
    }
}

/// Another trace in place of the one that a stranger names (W3C Trace Context, section 4.3): only
/// whether it is sampled stays as it was said.
fn restarted(parent: &HeaderValue) -> HeaderValue {
    let trace = uuid::Uuid::new_v4().simple().to_string();
    let (span, _) = uuid::Uuid::new_v4().as_u64_pair();
    let sampled = parent.as_bytes().get(54).is_some_and(|digit| b"13579bdf".contains(digit));
    let text = format!("00-{trace}-{:016x}-0{}", span | 1, u8::from(sampled));
    HeaderValue::try_from(text).unwrap_or_else(|_| parent.clone())
}

fn is_traceparent(value: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let some = |part: &[u8]| part.iter().any(|byte| *byte != b'0');
    let Some((known, after)) = value.split_at_checked(55) else { return false };
    let mut parts = known.split(|byte| *byte == b'-');
    let mut part = |length: usize| parts.next().filter(|part| part.len() == length && hex(part));
    let (Some(version), Some(trace), Some(parent), Some(_)) =
        (part(2), part(32), part(16), part(2))
    else {
        return false;
    };
    // A later version may say more; this one may not.
    let rest = after.is_empty() || (version != b"00" && after.first() == Some(&b'-'));
    version != b"ff" && some(trace) && some(parent) && rest
}

/// Who asks: of the hops that proxies tell, from the nearest on, the first that is no trusted proxy.
/// What a stranger claims lies behind that one and is never reached.
fn client(headers: &HeaderMap, peer: IpAddr, proxies: &Proxies) -> Result<IpAddr, Fault> {
    let list = if headers.contains_key(FOR) { FOR } else { header::FORWARDED };
    let in_forwarded = list == header::FORWARDED;
    let count = |value: &HeaderValue| value.as_bytes().iter().filter(|b| **b == b',').count() + 1;
    if [FOR, header::FORWARDED]
        .iter()
        .any(|name| headers.get_all(name).iter().map(count).sum::<usize>() > HOPS)
    {
        let detail = format!("the request came by more than {HOPS} proxies");
        return Err(Fault::new(Class::BadRequest, detail).code("bad_forwarded"));
    }
    let mut client = peer;
    for value in headers.get_all(list).iter().rev() {
        for hop in value.to_str().unwrap_or("?").rsplit(',') {
            let hop = hop.trim();
            let Some(address) = (if in_forwarded { told_for(hop) } else { address(hop) }) else {
                // Whoever wrote this hides the hop before it, so that the one that wrote it counts.
                return Ok(client);
            };
            client = address;
            if !proxies.trust(address) {
                return Ok(client);
            }
        }
    }
    Ok(client)
}

/// The address in one element of Forwarded (RFC 7239, section 4).
fn told_for(element: &str) -> Option<IpAddr> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(node.trim().trim_matches('"'))
}

/// An address, with a port or without, IPv6 in brackets or without.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = match hop.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?.0,
        None => hop,
    };
    let address: Option<IpAddr> = bare.parse().ok();
    let with_port = || Some(IpAddr::V4(*hop.parse::<SocketAddrV4>().ok()?.ip()));
    address.or_else(with_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests;
