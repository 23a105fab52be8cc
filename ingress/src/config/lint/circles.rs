//! Routes that lead back to the gateway itself, where every try is tried again.

use std::net::{IpAddr, SocketAddr};

use http::Uri;
use serde_json::Value;

use crate::{
    Action, Listener, Route, Upstream,
    config::spot::{Report, Spot},
};

/// Warns of a target whose URL is an address that the gateway itself listens on.
pub(super) fn lint(route: &Route, spot: &Spot<'_>, listeners: &[Listener], report: &mut Report) {
    let Action::Forward(targets) = &route.action else { return };
    // A copy is not copied again, but sent to itself a mirror tells nobody anything.
    let mirror = route.mirror.as_ref().map(|mirror| ("mirror", &mirror.target));
    for (field, target) in targets.iter().map(|target| ("to", target)).chain(mirror) {
        let Some((url, listener)) = urls(&target.upstream).find_map(|url| {
            let listener = listeners.iter().find(|one| leads_to(&url, one.address))?;
            Some((url, listener))
        }) else {
            continue;
        };
        let attempts = route.policy.retry.attempts;
        let again = if attempts > 1 {
            format!(", and each of its {attempts} tries is tried again there")
        } else {
            String::new()
        };
        let message = format!(
            "`{}` leads back to this gateway: {url} is the listener `{}`{again}",
            route.name, listener.name
        );
        report.warn(&spot.field(field), message, "name the service itself");
        return;
    }
}

/// The URLs of an upstream, as they are written.
fn urls(upstream: &Upstream) -> impl Iterator<Item = String> {
    let written = &upstream.written;
    let one = written.get("url").and_then(Value::as_str);
    let several = written.get("endpoints").and_then(Value::as_array).into_iter().flatten();
    one.into_iter().chain(several.filter_map(Value::as_str)).map(str::to_owned)
}

/// Whether a URL surely leads to an address of this machine. Names but `localhost` are not resolved:
/// a check opens no connection.
fn leads_to(url: &str, listener: SocketAddr) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    if uri.port_u16().unwrap_or(default) != listener.port() {
        return false;
    }
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let ip = match host.parse::<IpAddr>() {
        Ok(ip) => ip,
        Err(_) if host.eq_ignore_ascii_case("localhost") => {
            return listener.ip().is_loopback() || listener.ip().is_unspecified();
        }
        Err(_) => return false,
    };
    ip == listener.ip() || (ip.is_loopback() && listener.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_leads_here_by_address_and_port() {
        let leads = |url: &str, listener: &str| leads_to(url, listener.parse().unwrap());
        assert!(leads("http://127.0.0.1:8080", "0.0.0.0:8080"));
        assert!(leads("http://localhost:8080/x", "127.0.0.1:8080"));
        assert!(leads("http://[::1]:8080", "[::]:8080"));
        assert!(leads("http://10.0.0.1", "10.0.0.1:80"));
        assert!(!leads("http://127.0.0.1:8081", "0.0.0.0:8080"));
        assert!(!leads("http://10.0.0.2:8080", "0.0.0.0:8080"));
        assert!(!leads("http://web:8080", "0.0.0.0:8080"));
        assert!(!leads("http://127.0.0.1:8080", "10.0.0.1:8080"));
    }
}
