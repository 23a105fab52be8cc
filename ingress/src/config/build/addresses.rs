//! Addresses: the upstream exists, and the function part is what its kind calls a function.

use invokers::{Target, grpc};
use schemas::{
    Address, Name, Template,
    template::{Piece, SHORT_MAX, is_token},
};

use super::templates::Brings;
use crate::{
    Upstream,
    config::{
        problem::did_you_mean,
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
    let words: Option<&[&str]> = upstream.map(|upstream| match &upstream.target {
        Target::Http(_) => &[][..],
        Target::Nats(_) => &["subject"],
        Target::Amqp(_) => &["exchange", "key"],
        Target::Grpc(_) => &["method"],
        Target::Embedded(_) => &["topic"],
        Target::Lambda(_)
        | Target::OpenFaas(_)
        | Target::Azure(_)
        | Target::Knative(_)
        | Target::Google(_) => &["function"],
    });
    let mut function = Template::default();
    for (field, text) in long.words() {
        match words {
            Some([]) => {
                let message = format!("`{field}` is not for an http upstream");
                report.error(&spot.key(field), message, "leave it out");
                return None;
            }
            Some(words) if !words.contains(&field) => {
                let message = format!("the upstream `{}` has no `{field}`", long.upstream);
                let words = words.join("` and `");
                report.error(&spot.key(field), message, format!("write `{words}`"));
                return None;
            }
            _ => {
                let at = spot.field(field);
                function = text.parse().map_err(|error| report.said(&at, error)).ok()?;
            }
        }
    }
    if long.exchange.is_some() || long.key.is_some() {
        let exchange = long.exchange.as_deref().unwrap_or_default();
        if exchange.contains('/') {
            let message = "the exchange has a slash, which ends its name in an address";
            report.error(&spot.field("exchange"), message, "give the exchange another name");
            return None;
        }
        // Each has been parsed by itself.
        let whole = format!("{exchange}/{}", long.key.as_deref().unwrap_or_default());
        function = whole.parse().map_err(|error| report.said(spot, error)).ok()?;
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
        Target::Grpc(grpc) => {
            brings.check(function, spot, report)
                && name(address, target, spot, report)
                && method(address, grpc, spot, report)
        }
        Target::Lambda(_)
        | Target::OpenFaas(_)
        | Target::Azure(_)
        | Target::Knative(_)
        | Target::Google(_) => {
            brings.check(function, spot, report) && name(address, target, spot, report)
        }
        Target::Nats(_) => {
            brings.check(function, spot, report) && tokens(address, "subject", spot, report)
        }
        Target::Amqp(_) => brings.check(function, spot, report) && key(address, spot, report),
        Target::Embedded(_) => {
            brings.check(function, spot, report) && tokens(address, "topic", spot, report)
        }
    }
}

/// Whether the function part is what its platform calls a function.
fn name(address: &Address, target: &Target, spot: &Spot<'_>, report: &mut Report) -> bool {
    match target.names(&address.function) {
        Ok(()) => true,
        Err((message, remedy)) => {
            let upstream = &address.upstream;
            report.error(spot, message, remedy.replace("UPSTREAM", upstream));
            false
        }
    }
}

/// Whether the files that describe a service, where they are read to be checked, have the method.
fn method(address: &Address, target: &grpc::Target, spot: &Spot<'_>, report: &mut Report) -> bool {
    let (Some(methods), Some(name)) = (target.methods_read(), address.function.literal()) else {
        return true;
    };
    if name.is_empty() || methods.contains(&name) {
        return true;
    }
    let message = format!("the descriptors of `{}` have no method `{name}`", address.upstream);
    report.error(spot, message, did_you_mean(name, "methods", methods.iter().copied()));
    false
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
    let marked = marked(function);
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

/// Whether the function part is an exchange and a routing key, and each placeholder is a word of the
/// key by itself.
fn key(address: &Address, spot: &Spot<'_>, report: &mut Report) -> bool {
    let (function, upstream) = (&address.function, &address.upstream);
    let marked = marked(function);
    let example = || format!("write {upstream}/exchange/key, or {upstream}//queue");
    let Some((exchange, key)) = marked.split_once('/') else {
        let message = format!("`{function}` has no slash between the exchange and the key");
        report.error(spot, message, example());
        return false;
    };
    let half = |word: &str| word.len() > 1 && word.contains('\0');
    let complaint = if exchange.is_empty() && key.is_empty() {
        ("neither an exchange nor a key", example())
    } else if exchange.contains('\0') {
        ("a placeholder in the exchange", "write the exchange's name".to_owned())
    } else if exchange.len() > SHORT_MAX || key.len() > SHORT_MAX {
        ("more than 255 bytes in the exchange or the key", "write shorter ones".to_owned())
    } else if exchange.chars().any(char::is_control)
        || key.chars().any(|c| c.is_control() && c != '\0')
    {
        ("a control character", "leave it out".to_owned())
    } else if key.split('.').any(|word| matches!(word, "*" | "#")) {
        ("a wildcard", "write whole words; a binding has the wildcards".to_owned())
    } else if key.split(['.', '/']).any(half) {
        let remedy = "put a dot or a slash on either side of it".to_owned();
        ("a placeholder that is only a part of a word", remedy)
    } else {
        return true;
    };
    report.error(spot, format!("the key `{function}` has {}", complaint.0), complaint.1);
    false
}

/// The text with a character for each placeholder that no function part may have and no file can
/// write into one.
fn marked(function: &Template) -> String {
    let pieces = function.pieces().iter().map(|piece| match piece {
        Piece::Literal(text) => text.as_str(),
        Piece::Placeholder(_) => "\0",
    });
    pieces.collect()
}
