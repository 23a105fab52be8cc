//! A filter as it is written: `{ exact: { type: com.acme.a } }`, `{ any: [..] }`,
//! `{ sql: "subject LIKE 'a%'" }`. Everything that can be wrong with it is found here, at load.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
    ser::SerializeMap,
};

use super::{Attribute, Conditions, Filter, cesql::Expression};

/// How deep filters may stand in each other. Reading and judging them recurses.
pub(super) const DEPTH_MAX: usize = 32;

const DIALECTS: &str = "exact, prefix, suffix, all, any, not or sql";

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Within(1).deserialize(from)
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(1))?;
        match self {
            Self::Exact(conditions) => map.serialize_entry("exact", conditions)?,
            Self::Prefix(conditions) => map.serialize_entry("prefix", conditions)?,
            Self::Suffix(conditions) => map.serialize_entry("suffix", conditions)?,
            Self::All(filters) => map.serialize_entry("all", filters)?,
            Self::Any(filters) => map.serialize_entry("any", filters)?,
            Self::Not(filter) => map.serialize_entry("not", filter)?,
            Self::Sql(expression) => map.serialize_entry("sql", expression.as_str())?,
        }
        map.end()
    }
}

impl JsonSchema for Filter {
    fn schema_name() -> Cow<'static, str> {
        "Filter".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Self>();
        let conditions = |about: &str, example: serde_json::Value| {
            json_schema!({
                "description": about,
                "type": "object",
                "propertyNames": { "pattern": "^[a-z0-9]+$", "not": { "const": "data" } },
                "additionalProperties": { "type": "string", "minLength": 1 },
                "minProperties": 1,
                "examples": [example]
            })
        };
        let several = |about: &str| {
            json_schema!({
                "description": about,
                "type": "array",
                "items": one,
                "minItems": 1
            })
        };
        let exact = conditions(
            "Every attribute named here is this text, letter case included.",
            serde_json::json!({ "type": "com.acme.order.created" }),
        );
        let prefix = conditions(
            "Every attribute named here starts with this text, letter case included.",
            serde_json::json!({ "type": "com.acme." }),
        );
        let suffix = conditions(
            "Every attribute named here ends with this text, letter case included.",
            serde_json::json!({ "type": ".created" }),
        );
        let all = several("All of these filters hold.");
        let any = several("At least one of these filters holds.");
        json_schema!({
            "description": "A condition on an event's attributes: one dialect of the CloudEvents \
                            Subscriptions API.",
            "type": "object",
            "properties": {
                "exact": exact,
                "prefix": prefix,
                "suffix": suffix,
                "all": all,
                "any": any,
                "not": { "description": "This filter does not hold.", "allOf": [one] },
                "sql": {
                    "description": "A CloudEvents SQL expression that comes to true without an \
                                    error.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": super::cesql::EXPRESSION_BYTES_MAX,
                    "examples": ["source LIKE '%/shop/%' AND EXISTS subject"]
                }
            },
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1
        })
    }
}

/// Reads one filter that stands at this depth, the outermost at 1.
struct Within(usize);

impl<'de> DeserializeSeed<'de> for Within {
    type Value = Filter;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Filter, D::Error> {
        if self.0 > DEPTH_MAX {
            return Err(de::Error::custom(format_args!(
                "filters stand in each other more than {DEPTH_MAX} deep; write a flatter one"
            )));
        }
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Within {
    type Value = Filter;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a filter, such as { exact: { type: com.acme.paid } }")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Filter, A::Error> {
        let inside = self.0 + 1;
        let Some(dialect) = map.next_key::<String>()? else {
            return Err(de::Error::custom(format_args!("a filter is empty; write {DIALECTS}")));
        };
        let filter = match dialect.as_str() {
            "exact" => Filter::Exact(map.next_value()?),
            "prefix" => Filter::Prefix(map.next_value()?),
            "suffix" => Filter::Suffix(map.next_value()?),
            "all" => Filter::All(map.next_value_seed(Several { dialect: "all", inside })?),
            "any" => Filter::Any(map.next_value_seed(Several { dialect: "any", inside })?),
            "not" => Filter::Not(Box::new(map.next_value_seed(Within(inside))?)),
            "sql" => {
                let Text(expression) = map.next_value()?;
                Filter::Sql(Expression::for_filter(&expression).map_err(de::Error::custom)?)
            }
            unknown => {
                return Err(de::Error::custom(format_args!(
                    "unknown filter dialect {unknown:?}; write {DIALECTS}"
                )));
            }
        };
        match map.next_key::<String>()? {
            None => Ok(filter),
            Some(second) => Err(de::Error::custom(format_args!(
                "a filter has one dialect, and here are `{dialect}` and `{second}`; \
                 write all: [{{ {dialect}: .. }}, {{ {second}: .. }}]"
            ))),
        }
    }
}

/// Reads the filters inside `all` or `any`.
struct Several {
    dialect: &'static str,
    inside: usize,
}

impl<'de> DeserializeSeed<'de> for Several {
    type Value = Vec<Filter>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<Filter>, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Several {
    type Value = Vec<Filter>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a list of filters, such as {}: [{{ prefix: {{ type: com. }} }}]", self.dialect)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Filter>, A::Error> {
        let mut filters = Vec::new();
        while let Some(filter) = seq.next_element_seed(Within(self.inside))? {
            filters.push(filter);
        }
        if filters.is_empty() {
            return Err(de::Error::custom(format_args!(
                "`{}` has no filter in it; write at least one",
                self.dialect
            )));
        }
        Ok(filters)
    }
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Conditions;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("attributes and their texts, such as { type: com.acme.paid }")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Conditions, A::Error> {
                let mut conditions: Vec<(Attribute, Box<str>)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    let attribute: Attribute = name.parse().map_err(de::Error::custom)?;
                    let Text(wanted) = map.next_value()?;
                    if wanted.is_empty() {
                        return Err(de::Error::custom(format_args!(
                            "the text for `{name}` is empty; write one, or \
                             {{ sql: \"EXISTS {name}\" }} if any value will do"
                        )));
                    }
                    if conditions.iter().any(|(known, _)| *known == attribute) {
                        return Err(de::Error::custom(format_args!(
                            "`{name}` is named twice; write any: [..] if either text will do"
                        )));
                    }
                    conditions.push((attribute, wanted.into()));
                }
                if conditions.is_empty() {
                    return Err(de::Error::custom(
                        "no attribute is named; \
                         write at least one, such as { type: com.acme.paid }",
                    ));
                }
                Ok(Conditions(conditions))
            }
        }

        from.deserialize_map(Read)
    }
}

impl Serialize for Conditions {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(attribute, wanted)| (attribute.to_string(), wanted)))
    }
}

/// A text that says how to write one when it meets something else: in YAML `5` is a number.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Read;

        impl Visitor<'_> for Read {
            type Value = Text;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a text; write a number, true or false in quotes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
        }

        from.deserialize_str(Read)
    }
}
