//! What an attribute's text may look like: the grammars that CloudEvents borrows, as predicates.

use std::net::Ipv6Addr;

/// An attribute's name (specification, "Naming Conventions"). Twenty characters are advice, not a
/// rule.
pub(super) fn name(text: &str) -> bool {
    !text.is_empty()
        && text != "data"
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The type String: no control characters and no noncharacters. A `str` has no lone surrogates.
pub(super) fn string(text: &str) -> bool {
    // Printable ASCII is nearly all there is, so it is looked at first and by bytes.
    text.bytes().all(|b| matches!(b, b' '..=b'~'))
        || !text.chars().any(|c| {
            let code = u32::from(c);
            c.is_control() || matches!(code, 0xFDD0..=0xFDEF) || code & 0xFFFE == 0xFFFE
        })
}

/// The type Timestamp (RFC 3339, section 5.6), with the days that the calendar has, and a leap
/// second only where one can be: in the last minute of a day in UTC.
pub(super) fn timestamp(text: &str) -> bool {
    fn number(digits: Option<&[u8]>) -> Option<i32> {
        digits?.iter().try_fold(0, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + i32::from(digit - b'0'))
        })
    }
    fn read(text: &[u8]) -> Option<bool> {
        let at =
            |place: usize, allowed: &[u8]| text.get(place).is_some_and(|b| allowed.contains(b));
        let (year, month) = (number(text.get(..4))?, number(text.get(5..7))?);
        let (day, hour) = (number(text.get(8..10))?, number(text.get(11..13))?);
        let (minute, second) = (number(text.get(14..16))?, number(text.get(17..19))?);
        let signs = at(4, b"-") && at(7, b"-") && at(10, b"Tt") && at(13, b":") && at(16, b":");

        let leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 => 28 + i32::from(leap_year),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        let fits = (1..=days).contains(&day) && hour < 24 && minute < 60;

        let mut rest = text.get(19..)?;
        if let Some(fraction) = rest.strip_prefix(b".") {
            let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            rest = fraction.get(digits..)?;
        }
        let offset = match rest {
            b"Z" | b"z" => 0,
            [sign @ (b'+' | b'-'), offset @ ..] if offset.len() == 5 && offset[2] == b':' => {
                let (hours, minutes) = (number(offset.get(..2))?, number(offset.get(3..))?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                (hours * 60 + minutes) * if *sign == b'+' { 1 } else { -1 }
            }
            _ => return None,
        };
        let last_minute = (hour * 60 + minute - offset).rem_euclid(24 * 60) == 24 * 60 - 1;
        Some(signs && fits && (second < 60 || second == 60 && last_minute))
    }
    read(text.as_bytes()).unwrap_or(false)
}

/// The type URI-reference (RFC 3986, section 4.1).
pub(super) fn uri_reference(text: &str) -> bool {
    scheme(text).map_or_else(
        // Without a scheme, a colon in the first segment would look like one.
        || {
            !text.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':'))
                && after_scheme(text)
        },
        after_scheme,
    )
}

/// The type URI. Section 4.3 of RFC 3986, which the specification names, leaves out the fragment;
/// schema addresses often have one and every SDK takes it, so it may be there.
pub(super) fn uri(text: &str) -> bool {
    scheme(text).is_some_and(after_scheme)
}

/// What follows a scheme and its colon, where the text has them.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    good.then_some(rest)
}

/// Authority, path, query and fragment.
fn after_scheme(text: &str) -> bool {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (text, query) = text.split_once('?').unwrap_or((text, ""));
    let (authority, path) = match text.strip_prefix("//") {
        Some(text) => text.split_at(text.find('/').unwrap_or(text.len())),
        None => ("", text),
    };
    self::authority(authority)
        && uri_text(path, b":@/")
        && uri_text(query, b":@/?")
        && uri_text(fragment, b":@/?")
}

/// User information, host and port (RFC 3986, section 3.2).
fn authority(text: &str) -> bool {
    let (user, host) = text.rsplit_once('@').unwrap_or(("", text));
    let port = match host.strip_prefix('[') {
        Some(literal) => {
            let Some((address, port)) = literal.split_once(']') else { return false };
            let known = match address.strip_prefix(['v', 'V']) {
                Some(future) => future.split_once('.').is_some_and(|(version, rest)| {
                    !version.is_empty()
                        && version.bytes().all(|b| b.is_ascii_hexdigit())
                        && !rest.is_empty()
                        && !rest.contains('%')
                        && uri_text(rest, b":")
                }),
                None => address.parse::<Ipv6Addr>().is_ok(),
            };
            if !known || !(port.is_empty() || port.starts_with(':')) {
                return false;
            }
            port.trim_start_matches(':')
        }
        None => {
            let (name, port) = host.split_once(':').unwrap_or((host, ""));
            if !uri_text(name, b"") {
                return false;
            }
            port
        }
    };
    uri_text(user, b":") && port.bytes().all(|b| b.is_ascii_digit())
}

/// Unreserved characters, sub-delimiters, percent-encoded bytes and what `also` allows.
fn uri_text(text: &str, also: &[u8]) -> bool {
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        let good = match b {
            b'%' => {
                let mut hex = || bytes.next().is_some_and(|b| b.is_ascii_hexdigit());
                hex() && hex()
            }
            b => b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&b) || also.contains(&b),
        };
        if !good {
            return false;
        }
    }
    true
}

/// A media type (RFC 2046; parameters as RFC 9110, section 5.6.6, so `text/plain;` is one).
pub(super) fn media_type(text: &str) -> bool {
    let (media, parameters) = text.split_at(text.find(';').unwrap_or(text.len()));
    let Some((kind, subtype)) = media.trim_end_matches(' ').split_once('/') else { return false };
    token(kind) && token(subtype) && all_parameters(parameters)
}

/// Whether data of this type is JSON: `*/json` or `*/*+json`, whatever its parameters (JSON format,
/// section 3.1.1).
pub(super) fn is_json(media_type: &str) -> bool {
    let media = media_type.split(';').next().unwrap_or_default().trim_end_matches(' ');
    let subtype = media.split_once('/').map_or("", |(_, subtype)| subtype).as_bytes();
    let suffix = subtype.get(subtype.len().saturating_sub(5)..).unwrap_or_default();
    subtype.eq_ignore_ascii_case(b"json") || suffix.eq_ignore_ascii_case(b"+json")
}

/// The charset that a media type names, as written.
pub(super) fn charset(media_type: &str) -> Option<&str> {
    media_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim_matches(' ')
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim_matches([' ', '"']))
    })
}

fn token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// `; name=value; name="value"`, from the first semicolon on.
fn all_parameters(mut text: &str) -> bool {
    loop {
        text = text.trim_start_matches(' ');
        if text.is_empty() {
            return true;
        }
        let Some(parameter) = text.strip_prefix(';') else { return false };
        let parameter = parameter.trim_start_matches(' ');
        if parameter.is_empty() || parameter.starts_with(';') {
            text = parameter;
            continue;
        }
        let Some((name, value)) = parameter.split_once('=') else { return false };
        let Some(rest) =
            (if value.starts_with('"') { after_quoted(value) } else { after_token(value) })
        else {
            return false;
        };
        if !token(name) {
            return false;
        }
        text = rest;
    }
}

/// What follows the token at the front.
fn after_token(text: &str) -> Option<&str> {
    let (value, rest) = text.split_at(text.find([';', ' ']).unwrap_or(text.len()));
    token(value).then_some(rest)
}

/// What follows the quoted string at the front.
fn after_quoted(text: &str) -> Option<&str> {
    let mut chars = text.char_indices().skip(1);
    while let Some((place, c)) = chars.next() {
        match c {
            '"' => return text.get(place + 1..),
            '\\' => {
                chars.next().filter(|(_, c)| matches!(c, ' '..='~'))?;
            }
            ' '..='~' => {}
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests;
