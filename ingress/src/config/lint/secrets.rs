//! Secrets that stand in the file in clear.

use crate::config::{
    node::Kind,
    spot::{Report, Spot},
};

/// Headers whose value is a credential.
const CREDENTIALS: [&str; 9] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "apikey",
    "x-functions-key",
    "x-auth-token",
    "x-amz-security-token",
];
/// Parts of a header's name that say as much.
const TELLING: [&str; 4] = ["secret", "password", "token", "api-key"];

/// Looks at the headers that a route and its targets set.
pub(super) fn lint(route: &Spot<'_>, report: &mut Report) {
    rules(&route.field("headers"), report);
    let to = route.field("to");
    if matches!(to.node.map(|node| &node.kind), Some(Kind::List(_) | Kind::Map(_))) {
        for target in to.items(report) {
            rules(&target.field("headers"), report);
        }
    }
}

fn rules(headers: &Spot<'_>, report: &mut Report) {
    for path in ["request.set", "request.add"] {
        for (name, value) in headers.below(path).fields() {
            let literal = value.node.and_then(|node| node.text()).is_some_and(is_literal);
            if literal && is_credential(name) {
                report.warn(
                    &value,
                    format!("the header {name} is a secret that stands here in clear"),
                    "keep it out of this file: let the caller send it, or let a service of yours add it",
                );
            }
        }
    }
}

/// Whether there is something, and it comes from nowhere else.
fn is_literal(text: &str) -> bool {
    !text.is_empty() && !text.contains('{')
}

fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CREDENTIALS.contains(&name.as_str()) || TELLING.iter().any(|part| name.contains(part))
}
