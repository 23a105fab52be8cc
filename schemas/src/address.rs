//! Addresses: every function is `upstream/function`. One parser; parsing what was printed gives
//! the same address.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::template::{BadTemplate, Template};

/// The name of an upstream or a route: `[a-z][a-z0-9-]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// The address of a function, as it is written in a configuration: the upstream's name, and what
/// the upstream's kind makes of the rest, with placeholders.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Which upstream.
    pub upstream: Name,
    /// Everything after the first `/`; empty where the upstream itself is the function.
    pub function: Template,
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// The name is not a name.
    #[error(
        "{0:?} is not a name; write a lower-case letter, then letters, digits and -, at most 63 in all"
    )]
    Name(String),
    /// The function part is not a template.
    #[error(transparent)]
    Template(#[from] BadTemplate),
}

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let good = text.len() <= 63
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if good { Ok(Self(text.into())) } else { Err(BadAddress::Name(text.to_owned())) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let (upstream, function) = text.split_once('/').unwrap_or((text, ""));
        Ok(Self { upstream: upstream.parse()?, function: function.parse()? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.function.is_empty() {
            return write!(out, "{}", self.upstream);
        }
        write!(out, "{}/{}", self.upstream, self.function)
    }
}

macro_rules! text_form {
    ($name:ident, $schema:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Cow::<str>::deserialize(from)?.parse().map_err(de::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

text_form!(
    Name,
    json_schema!({
        "type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}$",
        "description": "A name: a lower-case letter, then letters, digits and -."
    })
);
text_form!(
    Address,
    json_schema!({
        "type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}(/.*)?$",
        "description": "The address of a function: upstream/function, with {placeholders}.",
        "examples": ["web", "bus/orders.{id}"]
    })
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_address_that_is_read_is_printed_and_read_again_the_same(
            text in "[a-z][a-z0-9-]{0,5}(/([ -~é/]|%7[bB]|%7D|%25|\\{[a-z]{1,3}\\*?\\}|\\{event\\.type\\}){0,9})?",
        ) {
            if let Ok(address) = text.parse::<Address>() {
                let printed = address.to_string();
                prop_assert_eq!(&printed.parse::<Address>().unwrap(), &address);
                let json = serde_json::to_string(&address).unwrap();
                prop_assert_eq!(serde_json::from_str::<Address>(&json).unwrap(), address);
            }
        }

        #[test]
        fn every_text_can_be_an_address_once_it_is_written_with_its_percents(text: String) {
            let written = text.replace('%', "%25").replace('{', "%7B").replace('}', "%7D");
            let address: Address = format!("bus/{written}").parse().unwrap();
            prop_assert_eq!(address.function.literal(), Some(&*text));
        }
    }

    #[test]
    fn printing_and_parsing_agree() {
        for text in [
            "web",
            "bus/orders.created",
            "bus/orders.{event.type}",
            "rabbit//queue",
            "rabbit/orders/created",
            "aws/orders:prod",
            "bus/%7Bliteral%7D.100%25",
            "bus/{query.x:-none}.{rest*}",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("web/".parse::<Address>().unwrap().to_string(), "web");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "/x", "Web/x", "1web", "web_2", "bus/{", "bus/}", "bus/{}", "bus/%7"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
