//! What a request brings to the placeholders of a configuration.

use std::borrow::Cow;

use http::HeaderMap;
use percent_encoding::percent_decode_str;
use schemas::{
    Attributes, Class, Fault, Value, Values,
    template::{Source, Unfilled},
};

use crate::routes::Captures;

/// A request's values, read where they stand.
#[derive(Debug)]
pub(crate) struct RequestValues<'a> {
    /// What the route's path captured.
    pub(crate) captures: &'a Captures,
    /// The query as it came.
    pub(crate) query: Option<&'a str>,
    /// The request's headers.
    pub(crate) headers: &'a HeaderMap,
    /// The event's attributes, if there are any yet.
    pub(crate) event: Option<&'a Attributes>,
}

impl Values for RequestValues<'_> {
    fn value(&self, source: &Source) -> Option<Cow<'_, str>> {
        match source {
            Source::Path(name) => percent_decode_str(self.captures.get(name)?).decode_utf8().ok(),
            Source::Rest => self.captures.rest().map(Cow::Borrowed),
            Source::Event(name) => attribute(self.event?, name),
            Source::Query(name) => parameter(self.query?, name),
            Source::Header(name) => self.headers.get(name)?.to_str().ok().map(Cow::Borrowed),
        }
    }
}

/// An attribute's canonical string.
pub(crate) fn attribute<'a>(event: &'a Attributes, name: &str) -> Option<Cow<'a, str>> {
    match name {
        "id" => Some(&event.id),
        "source" => Some(&event.source),
        "type" => Some(&event.kind),
        "subject" => event.subject.as_ref(),
        "time" => event.time.as_ref(),
        "datacontenttype" => event.datacontenttype.as_ref(),
        "dataschema" => event.dataschema.as_ref(),
        "specversion" => return Some(Cow::Borrowed("1.0")),
        _ => {
            return event.extension(name).map(|value| match value {
                Value::String(text) => Cow::Borrowed(text.as_str()),
                Value::Integer(number) => Cow::Owned(number.to_string()),
                Value::Boolean(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
            });
        }
    }
    .map(|text| Cow::Borrowed(text.as_str()))
}

/// The first value of a query parameter, decoded as forms are (`+` is a blank).
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode_form(key)? == name).then(|| decode_form(value)).flatten()
    })
}

/// A part of a query, decoded as forms are (`+` is a blank).
pub(crate) fn decode_form(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['+', '%']) {
        return Some(Cow::Borrowed(text));
    }
    let blanks = text.replace('+', " ");
    percent_decode_str(&blanks).decode_utf8().ok().map(|text| Cow::Owned(text.into_owned()))
}

/// A placeholder that cannot be filled is the caller's fault; its value is not repeated.
pub(crate) fn refuse(unfilled: &Unfilled) -> Fault {
    let code = match unfilled {
        Unfilled::Missing(_) => "placeholder_missing",
        Unfilled::Invalid(_) => "placeholder_invalid",
    };
    Fault::new(Class::BadRequest, unfilled.to_string()).code(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_a_parameter_counts_and_is_decoded() {
        assert_eq!(parameter("a=1&b=x+y%21&b=2", "b").as_deref(), Some("x y!"));
        assert_eq!(parameter("a=1&flag", "flag").as_deref(), Some(""));
        assert_eq!(parameter("%61=1", "a").as_deref(), Some("1"));
        assert_eq!(parameter("a=%FF", "a"), None);
        assert_eq!(parameter("", "a"), None);
    }
}
