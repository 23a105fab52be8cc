//! A small reader of YAML for tests. The configuration has its own, with places.

use saphyr_parser::{Event, Parser, ScalarStyle};
use schemas::event;

/// A document of YAML. A scalar keeps whether it stood without quotes.
#[derive(Debug)]
pub(super) enum Yaml {
    Scalar(String, bool),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    pub(super) fn parse(text: &str) -> Self {
        Self::read(&mut Parser::new_from_str(text)).unwrap()
    }

    /// Every value under this key, at any depth.
    pub(super) fn every<'a>(&'a self, wanted: &str, found: &mut Vec<&'a Self>) {
        match self {
            Self::Scalar(..) => {}
            Self::List(list) => list.iter().for_each(|item| item.every(wanted, found)),
            Self::Map(map) => {
                found.extend(self.get(wanted));
                map.iter().for_each(|(_, value)| value.every(wanted, found));
            }
        }
    }

    pub(super) fn json(&self) -> serde_json::Value {
        match self {
            Self::List(list) => list.iter().map(Self::json).collect(),
            Self::Map(map) => map.iter().map(|(key, value)| (key.clone(), value.json())).collect(),
            scalar => match scalar.typed() {
                event::Value::String(text) => text.into(),
                event::Value::Integer(number) => number.into(),
                event::Value::Boolean(truth) => truth.into(),
            },
        }
    }

    fn read(parser: &mut Parser<'_, impl saphyr_parser::Input>) -> Option<Self> {
        loop {
            match parser.next()?.unwrap().0 {
                Event::Scalar(text, style, ..) => {
                    return Some(Self::Scalar(text.into_owned(), style == ScalarStyle::Plain));
                }
                Event::SequenceStart(..) => {
                    let mut list = Vec::new();
                    while let Some(item) = Self::read(parser) {
                        list.push(item);
                    }
                    return Some(Self::List(list));
                }
                Event::MappingStart(..) => {
                    let mut map = Vec::new();
                    while let Some(key) = Self::read(parser) {
                        map.push((key.text().to_owned(), Self::read(parser).unwrap()));
                    }
                    return Some(Self::Map(map));
                }
                Event::SequenceEnd | Event::MappingEnd | Event::StreamEnd => return None,
                _ => {}
            }
        }
    }

    pub(super) fn get(&self, wanted: &str) -> Option<&Self> {
        let Self::Map(map) = self else { panic!("not a map: {self:?}") };
        map.iter().find(|(key, _)| key == wanted).map(|(_, value)| value)
    }

    pub(super) fn text(&self) -> &str {
        let Self::Scalar(text, _) = self else { panic!("not a scalar: {self:?}") };
        text
    }

    /// The scalar in its type (YAML's core schema, without floats and nulls).
    pub(super) fn typed(&self) -> event::Value {
        match self {
            Self::Scalar(text, true) if matches!(text.as_str(), "true" | "True" | "TRUE") => {
                event::Value::Boolean(true)
            }
            Self::Scalar(text, true) if matches!(text.as_str(), "false" | "False" | "FALSE") => {
                event::Value::Boolean(false)
            }
            Self::Scalar(text, true) if text.parse::<i32>().is_ok() => {
                event::Value::Integer(text.parse().unwrap())
            }
            scalar => event::Value::String(scalar.text().to_owned()),
        }
    }
}
