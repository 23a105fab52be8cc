//! Addresses: the upstream exists, and the function part is what its kind calls a function.

use invokers::Target;
use schemas::{
    Address, Name, Template,
    template::{Piece, is_token},
};

use super::templates::Brings;
use crate::{
    Upstream,
    config::{
        spot::{Report, Spot},
        written::LongAddress,
    },
};

/// Makes an address of its long form.
pub(super) fn of_long_form(
    long: &LongAddress,
    upstream: Option<&Upstream>,
    spot: &Spot<'_>,
    report: &mut Report,
) -> Option<Address> {
    let word = match upstream.map(|upstream| &upstream.target) {
        None => None,
        Some(Target::Http(_)) => Some(""),
        Some(Target::Nats(_)) => Some("subject"),
        Some(Target::Embedded(_)) => Some("topic"),
    };
    let mut function = Template::default();
    for (field, text) in [("subject", &long.subject), ("topic", &long.topic)] {
        let Some(text) = text else { continue };
        let at = spot.field(field);
        match word {
            Some("") => {
                let message = format!("`{field}` is not for an http upstream");
                report.error(&spot.key(field), message, "leave it out");
                return None;
            }
            Some(word) if word != field => {
                let message = format!("the upstream `{}` has no `{field}`", long.upstream);
                report.error(&spot.key(field), message, format!("write `{word}`"));
                return None;
            }
            _ => function = text.parse().map_err(|error| report.said(&at, error)).ok()?,
        }
    }
    Some(Address { upstream: long.upstream.clone(), function })
}

/// Checks the function part by the kind's grammar.
pub(super) fn check(
    address: &Address,
    target: &Target,
    brings: &Brings,
    spot: &Spot<'_>,
    report: &mut Report,
) -> bool {
    let function = &address.function;
    let upstream: &Name = &address.upstream;
    match target {
        Target::Http(_) if !function.is_empty() => {
            let message = format!("`{upstream}` is of kind http, which is one function by itself");
            let remedy = format!("write `{upstream}`, and `rewrite: {{ path: \"/{function}\" }}`");
            report.error(spot, message, remedy);
            false
        }
        Target::Http(_) => true,
        Target::Nats(_) => {
            brings.check(function, spot, report) && tokens(address, "subject", spot, report)
        }
        Target::Embedded(_) => {
            brings.check(function, spot, report) && tokens(address, "topic", spot, report)
        }
    }
}

/// Whether the function part is made of tokens with dots between them, and each placeholder is a
/// token by itself: half of a token could turn another name into the one that is meant.
fn tokens(address: &Address, what: &str, spot: &Spot<'_>, report: &mut Report) -> bool {
    let (function, upstream) = (&address.function, &address.upstream);
    if function.is_empty() {
        let remedy = format!("write it behind the upstream: {upstream}/orders.created");
        report.error(spot, format!("has no {what}"), remedy);
        return false;
    }
    // A placeholder becomes a character that no token may have and no file can write into one.
    let marked: String = function
        .pieces()
        .iter()
        .map(|piece| match piece {
            Piece::Literal(text) => text.as_str(),
            Piece::Placeholder(_) => "\0",
        })
        .collect();
    for token in marked.split('.') {
        let complaint = match token {
            "\0" => continue,
            "" => ("an empty token", "write one dot between tokens, none at either end"),
            token if token.contains('\0') => {
                ("a placeholder that is only a part of a token", "put a dot on either side of it")
            }
            token if token.contains(['*', '>']) => ("a wildcard", "write whole names"),
            token if is_token(token) => continue,
            _ => ("a blank or a control character", "leave it out"),
        };
        report.error(spot, format!("the {what} `{function}` has {}", complaint.0), complaint.1);
        return false;
    }
    true
}
