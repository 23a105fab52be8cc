//! Answers that need no target: given here, or leading elsewhere.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use schemas::{Template, template::Piece};

use super::{
    headers,
    templates::{Brings, with},
};
use crate::{
    Action,
    config::{
        spot::{Report, Spot},
        written,
    },
};

/// Reads an answer that is given here.
pub(super) fn respond(
    written: &written::Respond,
    spot: &Spot<'_>,
    report: &mut Report,
) -> Option<Action> {
    let before = report.problems.len();
    let status = written.status.unwrap_or(200);
    let status = match StatusCode::from_u16(status) {
        Ok(good) if (200..600).contains(&status) => good,
        _ => {
            report.error(
                &spot.field("status"),
                format!("{status} is no status of an answer"),
                "write one from 200 to 599",
            );
            StatusCode::OK
        }
    };
    let body = Bytes::from(written.body.clone().unwrap_or_default());
    let bodyless = matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    if bodyless && !body.is_empty() {
        let message = format!("an answer {} has no body", status.as_u16());
        report.error(&spot.field("body"), message, "leave it out, or write another status");
    }
    let mut headers: Vec<(http::HeaderName, HeaderValue)> = Vec::new();
    let at = spot.field("headers");
    for (name, value) in written.headers.iter().flatten() {
        let Some(name) = headers::name(name, &at.key(name), report) else { continue };
        if headers.iter().any(|(known, _)| *known == name) {
            let message = format!("`{name}` is written twice, in letters of another case");
            report.error(&at, message, "write it once");
        }
        match HeaderValue::from_bytes(value.as_bytes()) {
            Ok(value) => headers.push((name, value)),
            Err(_) => {
                let message = "has a character that no header may have";
                report.error(&at.field(name.as_str()), message, "write one line");
            }
        }
    }
    if !body.is_empty() && !headers.iter().any(|(name, _)| *name == CONTENT_TYPE) {
        headers.push((CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")));
    }
    (before == report.problems.len()).then_some(Action::Respond { status, headers, body })
}

/// Reads a redirect.
pub(super) fn redirect(
    written: &written::Redirect,
    spot: &Spot<'_>,
    brings: &Brings,
    report: &mut Report,
) -> Option<Action> {
    let before = report.problems.len();
    let status = written.status.unwrap_or(307);
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let message = format!("{status} is no status of a redirect");
        report.error(&spot.field("status"), message, "write 301, 302, 303, 307 or 308");
    }
    let at = spot.field("to");
    let to = brings.template(&written.to, &at, report)?;
    location(&to, &at, report);
    let status = StatusCode::from_u16(status).ok()?;
    (before == report.problems.len()).then_some(Action::Redirect { to, status })
}

/// Checks that a redirect goes where the file says: a caller must not choose the host.
fn location(to: &Template, spot: &Spot<'_>, report: &mut Report) {
    let start = match to.pieces().first() {
        Some(Piece::Literal(text)) => text.as_str(),
        _ => "",
    };
    let filled = to.literal().is_none();
    let host = start.strip_prefix("https://").or_else(|| start.strip_prefix("http://"));
    let complaint = match host {
        Some(host) => {
            let end = host.find(['/', '?', '#']);
            let (host, _) = host.split_at(end.unwrap_or(host.len()));
            if host.contains('@') {
                Some(("has user information in its URL", "leave it out"))
            } else if end.is_none() && filled {
                Some((
                    "a placeholder would choose the host",
                    "write the host out, and a / behind it",
                ))
            } else if host.is_empty() {
                Some(("has no host", "write https://host/path"))
            } else {
                None
            }
        }
        // `//host` is a URL of another host, and what is left of a path may begin with a /.
        None if start.starts_with("//") || start.starts_with("/\\") || start == "/" && filled => {
            Some(("could lead to another host", "write https://host/ in front"))
        }
        None if start.starts_with('/') => None,
        None => Some(("is no place to go", "write https://host/path, or a path")),
    };
    if let Some((message, remedy)) = complaint {
        report.error(spot, message, remedy);
    }
    if HeaderValue::from_bytes(with(to, "x").as_bytes()).is_err() {
        report.error(spot, "has a character that no header may have", "write one line");
    }
}
