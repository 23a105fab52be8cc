//! A setting that can be taken away again: by `none`, where a wider policy has set it.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{
        self,
        value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer, U64Deserializer},
    },
};

/// A setting, or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrNone<T> {
    /// It is taken away.
    None,
    /// It is this.
    Is(T),
}

impl<T: Clone> OrNone<T> {
    /// What it is, unless it is taken away.
    #[must_use]
    pub fn is(&self) -> Option<&T> {
        match self {
            Self::None => None,
            Self::Is(value) => Some(value),
        }
    }

    /// One laid over a wider one; where both are something, `both` lays their leaves.
    #[must_use]
    pub fn over(
        near: &Option<Self>,
        far: &Option<Self>,
        both: impl FnOnce(&T, &T) -> T,
    ) -> Option<Self> {
        match (near, far) {
            (Some(Self::Is(near)), Some(Self::Is(far))) => Some(Self::Is(both(near, far))),
            (Some(near), _) => Some(near.clone()),
            (None, far) => far.clone(),
        }
    }
}

impl<T: Serialize> Serialize for OrNone<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => to.serialize_str("none"),
            Self::Is(value) => value.serialize(to),
        }
    }
}

// By hand, so that an error speaks of the setting and keeps its place.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrNone<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader(PhantomData))
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Reader<T> {
    type Value = OrNone<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a setting, or none")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if text == "none" {
            return Ok(OrNone::None);
        }
        T::deserialize(StrDeserializer::new(text)).map(OrNone::Is)
    }

    // Where it is no number that is wanted, the error speaks of what was written.
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        T::deserialize(U64Deserializer::<E>::new(number))
            .map(OrNone::Is)
            .or_else(|_| self.visit_str(&number.to_string()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(OrNone::Is)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        T::deserialize(SeqAccessDeserializer::new(list)).map(OrNone::Is)
    }
}

impl<T: JsonSchema> JsonSchema for OrNone<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}OrNone", T::schema_name()).into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        let setting = schemas.subschema_for::<T>();
        json_schema!({ "anyOf": [setting, { "const": "none" }] })
    }
}
