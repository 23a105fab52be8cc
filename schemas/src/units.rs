//! Units as they are written in a configuration: durations (`250ms`, `5s`, `24h`), sizes (`64KiB`),
//! shares (`20%`) and rates (`10/s`). One way to write each, so that a file reads the same
//! everywhere.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time, written as a whole number and a unit: `250ms`, `5s`, `10m`, `24h`, `14d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

/// A number of bytes, written as a whole number and a unit: `512B`, `64KiB`, `10MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// A share of a whole, written as a whole number and a percent sign: `20%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(pub u32);

/// So many in a second, a minute or an hour: `10/s`, `600/m`, `1000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how long: one second, one minute or one hour.
    pub per: Duration,
}

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

const RATES: [(&str, u64); 3] = [("/s", 1), ("/m", 60), ("/h", 3_600)];

fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, factor) = split(text, units)?;
    number.checked_mul(factor)
}

fn split(text: &str, units: &[(&str, u64)]) -> Option<(u64, u64)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    Some((number.parse().ok()?, factor))
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

impl FromStr for Percent {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let share = read(text, &[("%", 1)]).and_then(|share| u32::try_from(share).ok());
        share.map(Self).ok_or_else(|| BadUnit {
            found: text.to_owned(),
            what: "share",
            example: "a whole number and %, such as 20%",
        })
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}%", self.0)
    }
}

impl FromStr for Rate {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let read = split(text, &RATES).and_then(|(count, seconds)| {
            Some(Self { count: u32::try_from(count).ok()?, per: Duration::from_secs(seconds) })
        });
        read.ok_or_else(|| BadUnit {
            found: text.to_owned(),
            what: "rate",
            example: "a whole number and /s, /m or /h, such as 10/s",
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.per.as_secs();
        let unit = RATES.iter().find(|(_, known)| *known == seconds).map_or("/s", |(name, _)| name);
        write!(out, "{}{unit}", self.count)
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
text_form!(Percent, "^[0-9]+%$", "A share: a whole number and %.", ["20%"]);
text_form!(
    Rate,
    "^[0-9]+/(s|m|h)$",
    "So many in a second, a minute or an hour: a whole number and /s, /m or /h.",
    ["10/s", "1000/h"]
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

        #[test]
        fn every_share_and_rate_that_is_printed_is_read_again_the_same(
            count: u32, unit in 0_usize..3, text: String,
        ) {
            prop_assert_eq!(Percent(count).to_string().parse::<Percent>().unwrap(), Percent(count));
            let rate = Rate { count, per: Duration::from_secs(RATES[unit].1) };
            prop_assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate);
            drop((text.parse::<Percent>(), text.parse::<Rate>()));
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
        for text in ["", "5", "%", "-5%", "5.5%", "5 %", "4294967296%"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
        for text in ["", "5", "5/", "/s", "5/d", "5/ms", "5 /s", "-5/s", "4294967296/s"] {
            let said = text.parse::<Rate>().unwrap_err().to_string();
            assert!(said.contains("such as 10/s"), "{said}");
        }
    }
}
