//! Headers by name: their changes, their conditions, and which of them are nobody's to change.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use schemas::Template;

use super::templates::{Brings, with};
use crate::{
    config::{
        spot::{Report, Spot},
        written,
    },
    table::{HeaderChanges, HeaderRules},
};

/// Headers that belong to one connection or say how a message is framed (RFC 9110, section 7.6.1;
/// RFC 9112, section 6). The gateway writes them itself.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-authenticate",
];

/// Checks changes of headers, both ways.
pub(super) fn rules(
    written: &written::Headers,
    spot: &Spot<'_>,
    brings: &Brings,
    report: &mut Report,
) -> HeaderRules {
    let request = written.request.as_ref();
    let response = written.response.as_ref();
    let mut read = |written: Option<&written::HeaderChanges>, way: &str| {
        written
            .map(|written| changes(written, &spot.field(way), brings, report))
            .unwrap_or_default()
    };
    HeaderRules { request: read(request, "request"), response: read(response, "response") }
}

fn changes(
    written: &written::HeaderChanges,
    spot: &Spot<'_>,
    brings: &Brings,
    report: &mut Report,
) -> HeaderChanges {
    let mut values = |written: &Option<BTreeMap<String, String>>, key: &str| {
        let spot = spot.field(key);
        let mut all: Vec<(HeaderName, Template)> = Vec::new();
        for (text, value) in written.iter().flatten() {
            let at = spot.field(text);
            let Some(name) = name(text, &spot.key(text), report) else { continue };
            if all.iter().any(|(known, _)| *known == name) {
                let message = format!("`{name}` is written twice, in letters of another case");
                report.error(&spot.key(text), message, "write it once");
            }
            let Some(template) = brings.template(value, &at, report) else { continue };
            if HeaderValue::from_bytes(with(&template, "x").as_bytes()).is_err() {
                report.error(&at, "has a character that no header may have", "write one line");
                continue;
            }
            all.push((name, template));
        }
        all
    };
    let (set, add) = (values(&written.set, "set"), values(&written.add, "add"));
    let items = spot.field("remove").items(report);
    let remove = written.remove.iter().flatten().zip(items);
    HeaderChanges {
        remove: remove.filter_map(|(text, at)| name(text, &at, report)).collect(),
        set,
        add,
    }
}

/// A header that may be changed, or given in an answer.
pub(super) fn name(text: &str, spot: &Spot<'_>, report: &mut Report) -> Option<HeaderName> {
    let name = known(text, spot, report)?;
    if name == http::header::HOST {
        let remedy = "write `preserve_host: true` to keep it, or the host in the upstream's URL";
        report.error(spot, "`host` is not changed as a header", remedy);
        return None;
    }
    if FRAMING.contains(&name.as_str()) {
        let message = format!("`{name}` belongs to the connection, and the gateway writes it");
        report.error(spot, message, "leave it out");
        return None;
    }
    Some(name)
}

/// Any header.
pub(super) fn known(text: &str, spot: &Spot<'_>, report: &mut Report) -> Option<HeaderName> {
    let name = HeaderName::try_from(text).ok();
    if name.is_none() {
        let remedy = "write letters, digits and -";
        report.error(spot, format!("{text:?} is no header's name"), remedy);
    }
    name
}
