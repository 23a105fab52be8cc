//! Serde over a tree of [`Node`]s, so that a configuration's types are read by what serde derives,
//! and every error has the place and the path of the innermost value that it is about.
//!
//! [`read`] finds all errors of an element, not the first one: it takes out what is wrong and
//! tries again.

mod refused;

use std::collections::HashSet;

use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess,
        SeqAccess, VariantAccess, Visitor,
    },
    forward_to_deserialize_any,
};

use self::refused::{FORMS, Refused, Step, Trail, What, placeholder};
use super::{
    node::{Core, Entry, Kind, Node, below, core},
    not_built,
    spot::{Report, Spot},
};

/// The most errors that are said of one element.
const ERRORS_MAX: usize = 100;

/// Reads what is written here, without what is wrong in it. `None` if nothing useful is left. All
/// errors are noted.
pub(super) fn read<T: DeserializeOwned>(spot: &Spot<'_>, report: &mut Report) -> Option<T> {
    let node = spot.node?;
    for _ in 0..ERRORS_MAX {
        let refused = match T::deserialize(De { node, pruned: &report.pruned }) {
            Ok(value) => return Some(value),
            Err(Refused(what, trail)) => (what, trail.unwrap_or_else(|| Trail::of(node, node.at))),
        };
        let (what, trail) = refused;
        // A field is missing because it was wrong, which is said already.
        if !trail.follows {
            let mut path = spot.path.clone();
            for step in trail.steps.iter().rev() {
                match step {
                    Step::Key(key) => below(&mut path, key),
                    Step::Index(index) => path.push_str(&format!("[{index}]")),
                }
            }
            let here = Spot { file: spot.file, path, at: trail.at, node: None };
            let (message, remedy) = what.words();
            report.error(&here, message, remedy);
        }
        report.pruned.insert(trail.id);
        if trail.id == node.id {
            return None;
        }
    }
    None
}

/// A node, and what of it is no longer looked at.
#[derive(Clone, Copy)]
struct De<'a> {
    node: &'a Node,
    pruned: &'a HashSet<usize>,
}

impl<'a> De<'a> {
    fn map(self, entries: &'a [Entry]) -> Fields<'a> {
        Fields { map: self, rest: entries.iter(), now: None }
    }

    fn list(self, items: &'a [Node]) -> Items<'a> {
        Items { pruned: self.pruned, rest: items.iter().enumerate() }
    }

    fn whole_number<T: TryFrom<i128>>(self, least: i128, most: i128) -> Result<T, Refused> {
        let range = format!("a whole number from {least} to {most}");
        match &self.node.kind {
            Kind::Scalar { text, plain: true } => match core(text) {
                Core::Int(number) => T::try_from(number)
                    .map_err(|_| What::form(format!("{number}, which is out of range"), range)),
                Core::Null => Err(What::form("empty", range)),
                _ => Err(What::form("not a whole number", range)),
            },
            Kind::Scalar { plain: false, .. } => {
                Err(What::form("a text in quotes", format!("{range}, without quotes")))
            }
            Kind::Map(_) => Err(What::form("a mapping", range)),
            Kind::List(_) => Err(What::form("a list", range)),
        }
        .map_err(|refused: Refused| refused.at(self))
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            visitor.$visit(self.whole_number::<$type>(<$type>::MIN.into(), <$type>::MAX.into())?)
        }
    )*};
}

impl<'de> Deserializer<'de> for De<'_> {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match &self.node.kind {
            Kind::Map(entries) => visitor.visit_map(self.map(entries)),
            Kind::List(items) => visitor.visit_seq(self.list(items)),
            Kind::Scalar { text, plain: false } => visitor.visit_str(text),
            Kind::Scalar { text, plain: true } => match core(text) {
                Core::Null => visitor.visit_unit(),
                Core::Bool(value) => visitor.visit_bool(value),
                Core::Float(value) => visitor.visit_f64(value),
                Core::Text => visitor.visit_str(text),
                Core::Int(value) => match (u64::try_from(value), i64::try_from(value)) {
                    (Ok(value), _) => visitor.visit_u64(value),
                    (_, Ok(value)) => visitor.visit_i64(value),
                    _ => visitor.visit_str(text),
                },
            },
        }
        .map_err(|refused| refused.at(self))
    }

    // Where a text is expected, a plain number or true and false are taken letter by letter as
    // they are written: nothing is lost, and nobody has to quote `body: 404`.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match &self.node.kind {
            Kind::Scalar { text, .. } if !self.node.is_null() => {
                visitor.visit_str(text).map_err(|refused: Refused| refused.at(self))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let refused = match &self.node.kind {
            Kind::Scalar { text, plain } => match (core(text), plain, text.as_str()) {
                (Core::Bool(value), true, _) => return visitor.visit_bool(value),
                (Core::Bool(value), false, _) => {
                    What::form("a text in quotes", format!("{value} without quotes"))
                }
                (_, _, "yes" | "Yes" | "on" | "On") => What::form("a text", "true"),
                (_, _, "no" | "No" | "off" | "Off") => What::form("a text", "false"),
                (Core::Null, true, _) => What::form("empty", "true or false"),
                _ => What::form("neither true nor false", "true or false"),
            },
            Kind::Map(_) => What::form("a mapping", "true or false"),
            Kind::List(_) => What::form("a list", "true or false"),
        };
        Err(refused.at(self))
    }

    whole_numbers!(
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64
    );

    // A key without a value does nothing, and is often a slip of the indentation.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        if self.node.is_null() {
            let remedy = "write a value, or leave the field out".to_owned();
            return Err(
                Refused(What::Form { found: "empty".to_owned(), wanted: remedy }, None).at(self)
            );
        }
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match &self.node.kind {
            Kind::List(items) => visitor.visit_seq(self.list(items)),
            Kind::Map(_) => {
                Err(What::form("a mapping", "a list: [ … ], or one `- ` for each item"))
            }
            Kind::Scalar { .. } if self.node.is_null() => Err(What::form("empty", "a list")),
            Kind::Scalar { text, .. } => {
                Err(What::form("a single value", format!("a list: [{text}]")))
            }
        }
        .map_err(|refused| refused.at(self))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match &self.node.kind {
            Kind::Map(entries) => visitor.visit_map(self.map(entries)),
            Kind::List(_) => Err(What::form("a list", "a mapping: { name: value }")),
            Kind::Scalar { .. } if self.node.is_null() => Err(What::form("empty", "a mapping")),
            Kind::Scalar { .. } => Err(What::form("a single value", "a mapping: { name: value }")),
        }
        .map_err(|refused: Refused| refused.at(self))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let found = match &self.node.kind {
            Kind::Map(entries) => {
                return visitor.visit_map(self.map(entries)).map_err(|refused| refused.at(self));
            }
            Kind::List(_) => "a list",
            Kind::Scalar { .. } if self.node.is_null() => "empty",
            Kind::Scalar { .. } => "a single value",
        };
        let wanted = FORMS.iter().find(|(form, _)| *form == name).map_or_else(
            || format!("a mapping of {}", known.join(", ")),
            |(_, form)| (*form).to_owned(),
        );
        Err(What::form(found, wanted).at(self))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        if name == "Secret" {
            match self.node.entries() {
                [one] if not_built::secret(&one.key) => {
                    let said = format!("`{}` is not built yet; write env or file", one.key);
                    return Err(Refused(What::Said(said), None).at(self));
                }
                [_] => {}
                _ => {
                    let found = "a secret that is written down";
                    return Err(What::form(found, FORMS[1].1).at(self));
                }
            }
        }
        let live: Vec<&Entry> =
            self.node.entries().iter().filter(|e| !self.pruned.contains(&e.value.id)).collect();
        match (&self.node.kind, live.as_slice()) {
            (Kind::Scalar { text, .. }, _) if !self.node.is_null() => {
                visitor.visit_enum(text.as_str().into_deserializer())
            }
            (Kind::Map(_), [entry]) => visitor.visit_enum(Variant { entry, map: self }),
            (Kind::Map(_), []) if !self.node.entries().is_empty() => {
                // All of it was wrong, which is said already.
                let trail = Trail { follows: true, ..Trail::of(self.node, self.node.at) };
                return Err(Refused(What::Missing(""), Some(trail)));
            }
            _ => {
                Err(What::form("of no known form", format!("exactly one of {}", known.join(", "))))
            }
        }
        .map_err(|refused: Refused| refused.at(self))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
        ignored_any
    }
}

/// The fields of a mapping.
struct Fields<'a> {
    map: De<'a>,
    rest: std::slice::Iter<'a, Entry>,
    now: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refused> {
        let pruned = self.map.pruned;
        self.now = self.rest.find(|entry| !pruned.contains(&entry.value.id));
        let Some(entry) = self.now else { return Ok(None) };
        match seed.deserialize(entry.key.as_str().into_deserializer()) {
            Ok(key) => Ok(Some(key)),
            Err(refused @ Refused(What::Unknown { .. }, None)) => match self.map.node.placeholder()
            {
                Some(name) => Err(Refused(placeholder(name), None).at(self.map)),
                None => Err(key_error(refused, entry)),
            },
            Err(refused) => Err(key_error(refused, entry)),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        let Some(entry) = self.now.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let value = De { node: &entry.value, pruned: self.map.pruned };
        seed.deserialize(value)
            .map_err(|refused| refused.at(value).through(Step::Key(entry.key.clone())))
    }
}

/// An error of the key itself: it has the key's place, and the whole field is taken out.
fn key_error(mut refused: Refused, entry: &Entry) -> Refused {
    refused.1 = Some(Trail::of(&entry.value, entry.at));
    match &refused.0 {
        // The message names the field; the path is where it stands.
        What::Unknown { .. } => refused,
        _ => refused.through(Step::Key(entry.key.clone())),
    }
}

/// The items of a list.
struct Items<'a> {
    pruned: &'a HashSet<usize>,
    rest: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Refused> {
        let pruned = self.pruned;
        let Some((index, node)) = self.rest.find(|(_, node)| !pruned.contains(&node.id)) else {
            return Ok(None);
        };
        let value = De { node, pruned };
        seed.deserialize(value)
            .map(Some)
            .map_err(|refused| refused.at(value).through(Step::Index(index)))
    }
}

/// `{variant: value}`.
struct Variant<'a> {
    entry: &'a Entry,
    map: De<'a>,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Refused;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Refused> {
        match seed
            .deserialize(IntoDeserializer::<Refused>::into_deserializer(self.entry.key.as_str()))
        {
            Ok(variant) => Ok((variant, self)),
            Err(refused) => match self.map.node.placeholder() {
                Some(name) => Err(Refused(placeholder(name), None).at(self.map)),
                None => Err(key_error(refused, self.entry)),
            },
        }
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        let key = &self.entry.key;
        Err(What::form("a mapping", format!("`{key}` alone")).at(self.map))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Refused> {
        let Self { entry, map } = self;
        let value = De { node: &entry.value, pruned: map.pruned };
        seed.deserialize(value)
            .map_err(|refused| refused.at(value).through(Step::Key(entry.key.clone())))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refused> {
        let Self { entry, map } = self;
        let value = De { node: &entry.value, pruned: map.pruned };
        value
            .deserialize_seq(visitor)
            .map_err(|refused| refused.at(value).through(Step::Key(entry.key.clone())))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let Self { entry, map } = self;
        let value = De { node: &entry.value, pruned: map.pruned };
        value
            .deserialize_struct("", known, visitor)
            .map_err(|refused| refused.at(value).through(Step::Key(entry.key.clone())))
    }
}
