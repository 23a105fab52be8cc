//! The rules for an event's attributes (specification, "Context Attributes"): stated once in
//! [`Attributes::check`], which every decoder ends with.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::{Malformed, check};
use crate::{Attributes, Value};

/// The attributes that the specification defines; an extension has none of these names.
const CORE: [&str; 8] =
    ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];

impl Attributes {
    /// Checks every attribute against the specification. Decoders return checked attributes; who
    /// makes attributes by other means checks them before they are sent.
    ///
    /// # Errors
    /// [`Malformed`] names the first attribute that breaks a rule.
    pub fn check(&self) -> Result<(), Malformed> {
        for (name, value) in self.core() {
            core(name, value)?;
        }
        for (name, value) in &self.extensions {
            if !check::name(name) {
                return Err(Malformed::name(name));
            }
            if CORE.contains(&name.as_str()) {
                return Err(Malformed::of(name, "is no extension"));
            }
            if let Value::String(text) = value {
                string(name, text)?;
            }
        }
        let mut names: SmallVec<[&str; 16]> =
            self.extensions.iter().map(|(name, _)| name.as_str()).collect();
        no_name_twice(&mut names)
    }

    /// The attributes that are no extensions, `specversion` first.
    pub(super) fn core(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let values = [
            Some("1.0"),
            Some(&*self.id),
            Some(&*self.source),
            Some(&*self.kind),
            self.subject.as_deref(),
            self.time.as_deref(),
            self.datacontenttype.as_deref(),
            self.dataschema.as_deref(),
        ];
        CORE.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?)))
    }

    /// All attributes with their canonical texts, extensions last.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let core = self.core().map(|(name, text)| (name, Cow::Borrowed(text)));
        core.chain(self.extensions.iter().map(|(name, value)| (&**name, value.text())))
    }
}

/// The rule for one of the specification's own attributes.
fn core(name: &str, value: &str) -> Result<(), Malformed> {
    if value.is_empty() {
        let required = matches!(name, "id" | "source" | "type");
        let what = if required { "is empty; write a value" } else { "is empty; leave it out" };
        return Err(Malformed::of(name, what));
    }
    string(name, value)?;
    let (good, what) = match name {
        "source" => (
            check::uri_reference(value),
            "is not a URI reference (RFC 3986); write one such as /orders/eu, and %2520 in a header where the URI itself has %20",
        ),
        "dataschema" => (
            check::uri(value),
            "is not an absolute URI; write one such as https://example.com/schema",
        ),
        "time" => (
            check::timestamp(value),
            "is not an RFC 3339 timestamp; write one such as 2018-04-05T17:31:00Z",
        ),
        "datacontenttype" => (
            check::media_type(value),
            "is not a media type (RFC 2046); write one such as application/json",
        ),
        _ => return Ok(()),
    };
    if good { Ok(()) } else { Err(Malformed::of(name, what)) }
}

fn string(name: &str, value: &str) -> Result<(), Malformed> {
    if check::string(value) {
        Ok(())
    } else {
        Err(Malformed::of(name, "has a control character or a Unicode noncharacter; leave it out"))
    }
}

/// Refuses names that are there twice. Sorts, so that a hostile number of them costs little.
pub(super) fn no_name_twice(names: &mut [&str]) -> Result<(), Malformed> {
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(twice(pair[0])),
        None => Ok(()),
    }
}

fn twice(name: &str) -> Malformed {
    Malformed::of(name, "is there twice; write it once")
}

/// Attributes as a decoder finds them, one after the other.
#[derive(Default)]
pub(super) struct Gathered {
    core: [Option<String>; CORE.len()],
    extensions: Vec<(String, Value)>,
}

impl Gathered {
    /// Takes the next attribute.
    pub(super) fn put(&mut self, name: &str, value: Value) -> Result<(), Malformed> {
        let Some(index) = CORE.iter().position(|known| *known == name) else {
            self.extensions.push((name.to_owned(), value));
            return Ok(());
        };
        let Value::String(text) = value else {
            return Err(Malformed::of(name, "is not a string; write it in quotes"));
        };
        if self.core[index].replace(text).is_some() {
            return Err(twice(name));
        }
        Ok(())
    }

    /// Whether this attribute was found.
    pub(super) fn has(&self, name: &str) -> bool {
        CORE.iter().position(|known| *known == name).is_some_and(|index| self.core[index].is_some())
    }

    /// The attributes, checked.
    pub(super) fn done(self) -> Result<Attributes, Malformed> {
        let [specversion, id, source, kind, subject, time, datacontenttype, dataschema] = self.core;
        match specversion.as_deref() {
            Some("1.0") => {}
            Some(_) => return Err(Malformed::of("specversion", "is not supported; write 1.0")),
            None => return Err(missing("specversion")),
        }
        let attributes = Attributes {
            id: id.ok_or_else(|| missing("id"))?,
            source: source.ok_or_else(|| missing("source"))?,
            kind: kind.ok_or_else(|| missing("type"))?,
            subject,
            time,
            datacontenttype,
            dataschema,
            extensions: self.extensions,
        };
        attributes.check()?;
        Ok(attributes)
    }
}

fn missing(name: &str) -> Malformed {
    Malformed::of(name, "is missing; every event has specversion, id, source and type")
}
