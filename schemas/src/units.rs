//! Units as they are written in a configuration: durations (`250ms`, `5s`, `24h`) and sizes
//! (`64KiB`). One way to write each, so that a file reads the same everywhere.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time, written as a whole number and a unit: `250ms`, `5s`, `10m`, `24h`, `14d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

/// A number of bytes, written as a whole number and a unit: `512B`, `64KiB`, `10MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// Why a unit cannot be read. The text says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a {what}; write {example}")]
pub struct BadUnit {
    found: String,
    what: &'static str,
    example: &'static str,
}

const SPANS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn print(value: u64, units: &[(&str, u64)], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (name, factor) = units
        .iter()
        .rev()
        .find(|(_, factor)| value != 0 && value.is_multiple_of(*factor))
        .unwrap_or(&units[0]);
    write!(out, "{}{name}", value / factor)
}

impl FromStr for Span {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        read(text, &SPANS).map(|ms| Self(Duration::from_millis(ms))).ok_or_else(|| BadUnit {
            found: text.to_owned(),
            what: "duration",
            example: "a whole number and ms, s, m, h or d, such as 250ms or 5s",
        })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &SPANS, out)
    }
}

impl FromStr for Size {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        read(text, &SIZES).map(Self).ok_or_else(|| BadUnit {
            found: text.to_owned(),
            what: "size",
            example: "a whole number and B, KiB, MiB or GiB, such as 64KiB",
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self.0, &SIZES, out)
    }
}

impl Size {
    /// The size as a length in memory.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

macro_rules! text_form {
    ($name:ident, $pattern:literal, $about:literal, $examples:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(from)?;
                text.parse().map_err(de::Error::custom)
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
                json_schema!({
                    "type": "string", "pattern": $pattern, "description": $about, "examples": $examples
                })
            }
        }
    };
}

text_form!(
    Span,
    "^[0-9]+(ms|s|m|h|d)$",
    "A length of time: a whole number and ms, s, m, h or d.",
    ["250ms", "5s", "24h"]
);
text_form!(
    Size,
    "^[0-9]+(B|KiB|MiB|GiB)$",
    "A number of bytes: a whole number and B, KiB, MiB or GiB.",
    ["64KiB", "10MiB"]
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_unit_that_is_printed_is_read_again_the_same(number: u64, text: String) {
            let span = Span(Duration::from_millis(number));
            prop_assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
            prop_assert_eq!(Size(number).to_string().parse::<Size>().unwrap(), Size(number));
            drop((text.parse::<Span>(), text.parse::<Size>()));
        }
    }

    #[test]
    fn units_read_and_print_the_same() {
        for text in ["0ms", "250ms", "5s", "90s", "24h", "14d"] {
            assert_eq!(
                text.parse::<Span>().unwrap().to_string(),
                if text == "24h" { "1d" } else { text }
            );
        }
        for text in ["0B", "512B", "64KiB", "10MiB", "1GiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_unit_is_refused_with_what_to_write() {
        for text in ["", "5", "s", "5 s", "-1s", "1.5s", "5S", "99999999999999999999s"] {
            let said = text.parse::<Span>().unwrap_err().to_string();
            assert!(said.contains("such as 250ms"), "{said}");
        }
        for text in ["", "5", "5kb", "5KB", "18446744073709551615GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
