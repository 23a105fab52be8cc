//! Where requests arrive.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use schemas::Name;

use super::{Sections, not_built, twice};
use crate::{
    Admin, Listener,
    config::{
        de,
        shape::TextOr,
        spot::{Report, Spot},
        written,
    },
    edge::{Network, Proxies},
};

/// The listeners and where each is written. Without any: one on loopback.
pub(super) fn listeners<'a>(
    sections: &Sections<'a>,
    report: &mut Report,
) -> Vec<(Listener, Option<Spot<'a>>)> {
    let mut all: Vec<(Listener, Option<Spot<'a>>)> = Vec::new();
    let Some(written) = sections.get("listen") else {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        return vec![(Listener { name: default_name(), address, place: String::new() }, None)];
    };
    for section in written {
        for spot in section.items(report) {
            not_built::refuse(&spot, not_built::Place::Listener, report);
        }
        let Some(listen) = de::read::<written::Listen>(section, report) else { continue };
        for (one, spot) in listen.as_slice().iter().zip(section.items(report)) {
            let (name, text, at) = match one {
                TextOr::Text(text) => (default_name(), text, spot.clone()),
                TextOr::Form(form) => (form.name.clone(), &form.address, spot.field("address")),
            };
            let Some(address) = socket(text, &at, "0.0.0.0:8080", report) else { continue };
            if let Some((_, first)) = all.iter().find(|(known, _)| known.name == name) {
                let first = first.as_ref().unwrap_or(&spot);
                twice(&spot, first, &format!("the listener `{name}`"), report);
                continue;
            }
            if let Some((known, _)) = all.iter().find(|(known, _)| overlap(known.address, address))
            {
                let message =
                    format!("{address} is taken by the listener `{}` already", known.name);
                report.error(&at, message, "write another port");
            }
            all.push((Listener { name, address, place: at.place() }, Some(at)));
        }
    }
    if let Some(section) = written.first()
        && all.is_empty()
        && report.problems.is_empty()
    {
        report.error(section, "has no listener", "write an address such as 0.0.0.0:8080");
    }
    all
}

/// The admin API. Beyond loopback it needs a token.
pub(super) fn admin(
    sections: &Sections<'_>,
    listeners: &[(Listener, Option<Spot<'_>>)],
    report: &mut Report,
) -> Option<Admin> {
    let Some(spot) = sections.get("admin").and_then(|written| written.first()) else {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 8081));
        if let Some((listener, at)) = listeners.iter().find(|(l, _)| overlap(l.address, address))
            && let Some(at) = at
        {
            let message = format!(
                "the listener `{}` takes {address}, the default address of the admin API",
                listener.name
            );
            report.error(at, message, "write another port, or an address for `admin`");
        }
        return Some(Admin { address, token: None, place: String::new() });
    };
    let (text, at, token) = match de::read::<written::Admin>(spot, report)? {
        TextOr::Text(text) => (text, spot.clone(), None),
        TextOr::Form(form) => (form.address, spot.field("address"), form.token),
    };
    let address = socket(&text, &at, "127.0.0.1:8081", report)?;
    if !address.ip().is_loopback() && token.is_none() {
        let message = "an admin API beyond loopback needs a token";
        let port = address.port();
        let remedy = format!(
            "write {{ address: \"{address}\", token: {{ file: admin.token }} }}, or 127.0.0.1:{port}"
        );
        report.error(&at, message, remedy);
    }
    if let Some((listener, _)) = listeners.iter().find(|(l, _)| overlap(l.address, address)) {
        let message = format!("{address} is taken by the listener `{}` already", listener.name);
        report.error(&at, message, "write another port");
    }
    Some(Admin { address, token, place: at.place() })
}

/// Where event routes without a path of their own listen.
pub(super) fn events_path(sections: &Sections<'_>, report: &mut Report) -> Option<String> {
    let Some(spot) = sections.get("events_path").and_then(|written| written.first()) else {
        return Some("/events".to_owned());
    };
    let path = de::read::<String>(spot, report)?;
    let plain = path.starts_with('/')
        && path.bytes().all(|b| b.is_ascii_graphic() && !b"{}?#*\\".contains(&b));
    if !plain {
        report.error(spot, format!("{path:?} is no plain path"), "write one such as /events");
        return None;
    }
    Some(path)
}

/// Whom the gateway believes about where a request comes from. Without any: nobody.
pub(super) fn trusted_proxies(sections: &Sections<'_>, report: &mut Report) -> Proxies {
    let Some(section) = sections.get("trusted_proxies").and_then(|written| written.first()) else {
        return Proxies::default();
    };
    let Some(written) = de::read::<Vec<String>>(section, report) else { return Proxies::default() };
    let mut networks = Vec::new();
    for (text, spot) in written.iter().zip(section.items(report)) {
        match text.parse::<Network>() {
            Ok(network) => {
                if network.is_everybody() {
                    let message = "believes everybody, so that any caller can say who it is";
                    report.warn(&spot, message, "write the addresses of your proxies");
                }
                networks.push(network);
            }
            Err(error) => report.said(&spot, error),
        }
    }
    networks.into_iter().collect()
}

fn default_name() -> Name {
    "default".parse().expect("`default` is a name")
}

fn socket(text: &str, spot: &Spot<'_>, example: &str, report: &mut Report) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let remedy = match text.rsplit_once(':') {
        Some(("", port)) => format!("write 0.0.0.0:{port} for all addresses of this machine"),
        Some(("localhost", port)) => format!("write 127.0.0.1:{port}"),
        _ => format!("write an IP address and a port, such as {example}"),
    };
    report.error(spot, format!("{text:?} is no address to listen on"), remedy);
    None
}

/// Whether two sockets cannot both be had.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let any = |ip: IpAddr| ip.is_unspecified();
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || any(a.ip()) || any(b.ip()))
}
