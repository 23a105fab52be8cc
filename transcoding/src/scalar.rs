//! Numbers, booleans and enums: from text to the bits on the wire, and back.
//!
//! Everything that is neither a string, bytes nor a message fits in 64 bits.

use crate::plan::{Enum, Kind, Plans};

/// Reads a number by the grammar of JSON numbers, or the three that only a string can hold.
///
/// Bare numbers and numbers in strings are read alike; exponents and fractions of zero are fine
/// where an integer is wanted.
pub(crate) fn number(kind: Kind, text: &str, quoted: bool) -> Result<u64, &'static str> {
    match kind {
        Kind::Double => float(text, quoted).map(|value: f64| value.to_bits()),
        Kind::Float => float(text, quoted).map(|value: f32| value.to_bits().into()),
        _ => integer(text).and_then(|value| integer_bits(kind, value)),
    }
}

/// Turns an integer into the bits of its kind if it is in range.
pub(crate) fn integer_bits(kind: Kind, value: i128) -> Result<u64, &'static str> {
    let narrow = |value: i128| i32::try_from(value).map_err(|_| "does not fit in 32 bits");
    let wide = |value: i128| i64::try_from(value).map_err(|_| "does not fit in 64 bits");
    match kind {
        Kind::Int32 | Kind::Enum(_) => narrow(value).map(|n| i64::from(n).cast_unsigned()),
        Kind::Sfixed32 => narrow(value).map(|n| n.cast_unsigned().into()),
        Kind::Sint32 => narrow(value).map(|n| (n << 1 ^ n >> 31).cast_unsigned().into()),
        Kind::Int64 | Kind::Sfixed64 => wide(value).map(i64::cast_unsigned),
        Kind::Sint64 => wide(value).map(|n| (n << 1 ^ n >> 63).cast_unsigned()),
        Kind::Uint32 | Kind::Fixed32 => {
            let fits = u32::try_from(value);
            fits.map(u64::from).map_err(|_| "does not fit in 32 bits without a sign")
        }
        _ => u64::try_from(value).map_err(|_| "does not fit in 64 bits without a sign"),
    }
}

/// Reads an enum value from a string: a name of it.
pub(crate) fn enum_bits(of: &Enum, name: &str) -> Option<u64> {
    of.number(name).map(|number| i64::from(number).cast_unsigned())
}

/// Prints what the bits of a scalar are as JSON.
pub(crate) fn print(out: &mut Vec<u8>, plans: &Plans, kind: Kind, bits: u64, numbers: bool) {
    match value(kind, bits) {
        Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Narrow(value) => {
            if let Kind::Enum(of) = kind {
                let of = &plans.enums[of];
                if of.null {
                    return out.extend_from_slice(b"null");
                }
                if let Some(name) = of.name(value).filter(|_| !numbers) {
                    out.push(b'"');
                    out.extend_from_slice(name.as_bytes());
                    return out.push(b'"');
                }
            }
            out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        }
        Value::NarrowUnsigned(value) => {
            out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        }
        Value::Wide(value) => quoted(out, itoa::Buffer::new().format(value)),
        Value::WideUnsigned(value) => quoted(out, itoa::Buffer::new().format(value)),
        Value::Float(value) if value.is_finite() => {
            out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
        }
        Value::Double(value) if value.is_finite() => {
            out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
        }
        Value::Float(value) => quoted(out, not_finite(value.into())),
        Value::Double(value) => quoted(out, not_finite(value)),
    }
}

/// Prints a map's key: always a string.
pub(crate) fn print_key(out: &mut Vec<u8>, kind: Kind, bits: u64) {
    match value(kind, bits) {
        Value::Bool(value) => quoted(out, if value { "true" } else { "false" }),
        Value::Narrow(value) => quoted(out, itoa::Buffer::new().format(value)),
        Value::NarrowUnsigned(value) => quoted(out, itoa::Buffer::new().format(value)),
        Value::Wide(value) => quoted(out, itoa::Buffer::new().format(value)),
        Value::WideUnsigned(value) => quoted(out, itoa::Buffer::new().format(value)),
        // No map has such keys; a pool with one is refused when it is built.
        Value::Float(_) | Value::Double(_) => quoted(out, ""),
    }
}

/// Whether the bits are the default value, of which a field without presence is not printed.
pub(crate) fn is_default(kind: Kind, bits: u64) -> bool {
    match value(kind, bits) {
        Value::Bool(value) => !value,
        Value::Narrow(value) => value == 0,
        Value::NarrowUnsigned(value) => value == 0,
        Value::Wide(value) => value == 0,
        Value::WideUnsigned(value) => value == 0,
        // Minus zero is not the default.
        Value::Float(value) => value.to_bits() == 0,
        Value::Double(value) => value.to_bits() == 0,
    }
}

enum Value {
    Bool(bool),
    Narrow(i32),
    NarrowUnsigned(u32),
    Wide(i64),
    WideUnsigned(u64),
    Float(f32),
    Double(f64),
}

/// What the bits mean; those beyond a kind's width are cut off, as protobuf has it.
#[expect(clippy::cast_possible_truncation, reason = "a varint too wide for its kind is cut off")]
fn value(kind: Kind, bits: u64) -> Value {
    let low = bits as u32;
    match kind {
        Kind::Bool => Value::Bool(bits != 0),
        Kind::Sint32 => Value::Narrow((low >> 1).cast_signed() ^ -(low & 1).cast_signed()),
        Kind::Uint32 | Kind::Fixed32 => Value::NarrowUnsigned(low),
        Kind::Int64 | Kind::Sfixed64 => Value::Wide(bits.cast_signed()),
        Kind::Sint64 => Value::Wide((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed()),
        Kind::Uint64 | Kind::Fixed64 => Value::WideUnsigned(bits),
        Kind::Float => Value::Float(f32::from_bits(low)),
        Kind::Double => Value::Double(f64::from_bits(bits)),
        _ => Value::Narrow(low.cast_signed()),
    }
}

/// The low 32 bits with their sign, which an int32 is on the wire.
pub(crate) fn narrow(bits: u64) -> i32 {
    match value(Kind::Int32, bits) {
        Value::Narrow(value) => value,
        _ => 0,
    }
}

fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// What is asked of both floating types.
trait Float: std::str::FromStr + PartialEq {
    const NAN: Self;
    const INFINITY: Self;
    const NEG_INFINITY: Self;
}

impl Float for f32 {
    const NAN: Self = Self::NAN;
    const INFINITY: Self = Self::INFINITY;
    const NEG_INFINITY: Self = Self::NEG_INFINITY;
}

impl Float for f64 {
    const NAN: Self = Self::NAN;
    const INFINITY: Self = Self::INFINITY;
    const NEG_INFINITY: Self = Self::NEG_INFINITY;
}

fn float<T: Float>(text: &str, quoted: bool) -> Result<T, &'static str> {
    match text {
        "NaN" if quoted => return Ok(T::NAN),
        "Infinity" if quoted => return Ok(T::INFINITY),
        "-Infinity" if quoted => return Ok(T::NEG_INFINITY),
        _ if !is_number(text) => return Err("is not a number"),
        _ => {}
    }
    let value = text.parse::<T>().map_err(|_| "is not a number")?;
    if value == T::INFINITY || value == T::NEG_INFINITY {
        return Err("is out of range");
    }
    Ok(value)
}

/// Whether a text is a number by RFC 8259, section 6.
pub(crate) fn is_number(text: &str) -> bool {
    let after_digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.as_bytes();
    let mut rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = after_digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = after_digits(fraction);
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let unsigned =
            exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+")).unwrap_or(exponent);
        let length = after_digits(unsigned);
        return length > 0 && length == unsigned.len();
    }
    rest.is_empty()
}

fn integer(text: &str) -> Result<i128, &'static str> {
    if let Some(value) = short(text) {
        return Ok(value.into());
    }
    let decimal = Decimal::split(text).ok_or("is not a number")?;
    decimal.integer()
}

/// What nearly all integers are: digits that fit in 64 bits whatever they are.
fn short(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    let mut value = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(if negative { -value } else { value })
}

/// A number's parts as they are written.
struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: &'a str,
}

impl<'a> Decimal<'a> {
    fn split(text: &'a str) -> Option<Self> {
        if !is_number(text) {
            return None;
        }
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (text, None),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let (fraction, exponent) = (fraction.unwrap_or(""), exponent.unwrap_or("0"));
        Some(Self { negative, whole, fraction, exponent })
    }

    /// The number itself if it is whole, without rounding on the way.
    fn integer(&self) -> Result<i128, &'static str> {
        const FRACTION: &str = "is not a whole number";
        // Nothing of more digits fits in 64 bits.
        const DIGITS_MAX: usize = 20;
        let digits = self.whole.bytes().chain(self.fraction.bytes());
        let mut significant: Vec<u8> = digits.skip_while(|digit| *digit == b'0').collect();
        if significant.is_empty() {
            return Ok(0);
        }
        let all = significant.len();
        significant
            .truncate(significant.iter().rposition(|digit| *digit != b'0').map_or(0, |at| at + 1));
        let zeros = all - significant.len();
        // An exponent that does not fit in 32 bits is as good as one that is out of range.
        let exponent = self.exponent.parse::<i32>().map_err(|_| {
            if self.exponent.starts_with('-') { FRACTION } else { "is out of range" }
        })?;
        let shift = i64::from(exponent) + zeros as i64 - self.fraction.len() as i64;
        let shift = usize::try_from(shift).map_err(|_| FRACTION)?;
        if significant.len() + shift > DIGITS_MAX {
            return Err("is out of range");
        }
        let mut value = 0;
        for digit in significant.into_iter().chain(std::iter::repeat_n(b'0', shift)) {
            value = value * 10 + i128::from(digit - b'0');
        }
        Ok(if self.negative { -value } else { value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_read_exactly_in_every_notation() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("0.000", 0),
            ("0e999999999999", 0),
            ("12", 12),
            ("12.0", 12),
            ("1.2e1", 12),
            ("1200E-2", 12),
            ("-1e18", -1_000_000_000_000_000_000),
            ("9223372036854775807.0", i128::from(i64::MAX)),
            ("18446744073709551615", i128::from(u64::MAX)),
        ] {
            assert_eq!(integer(text), Ok(value), "{text}");
        }
        for text in ["0.5", "1.2", "12e-1", "1e-99999999999"] {
            assert_eq!(integer(text), Err("is not a whole number"), "{text}");
        }
        for text in ["1e30", "1e99999999999", "184467440737095516150"] {
            assert_eq!(integer(text), Err("is out of range"), "{text}");
        }
        for text in ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "0x1", " 1", "1 ", "NaN", "1_0"]
        {
            assert_eq!(integer(text), Err("is not a number"), "{text}");
        }
    }

    #[test]
    fn a_range_is_kept_to_the_last_number() {
        let ranges = [
            (Kind::Int32, i128::from(i32::MIN), i128::from(i32::MAX)),
            (Kind::Sint32, i128::from(i32::MIN), i128::from(i32::MAX)),
            (Kind::Sfixed32, i128::from(i32::MIN), i128::from(i32::MAX)),
            (Kind::Int64, i128::from(i64::MIN), i128::from(i64::MAX)),
            (Kind::Sint64, i128::from(i64::MIN), i128::from(i64::MAX)),
            (Kind::Sfixed64, i128::from(i64::MIN), i128::from(i64::MAX)),
            (Kind::Uint32, 0, i128::from(u32::MAX)),
            (Kind::Fixed32, 0, i128::from(u32::MAX)),
            (Kind::Uint64, 0, i128::from(u64::MAX)),
            (Kind::Fixed64, 0, i128::from(u64::MAX)),
        ];
        for (kind, least, most) in ranges {
            for value in [least, least + 1, most - 1, most] {
                let bits = integer_bits(kind, value).unwrap();
                let mut out = Vec::new();
                print(&mut out, &Plans::default(), kind, bits, false);
                let printed = String::from_utf8(out).unwrap();
                assert_eq!(printed.trim_matches('"'), value.to_string(), "{kind:?}");
            }
            assert!(integer_bits(kind, least - 1).is_err(), "{kind:?}");
            assert!(integer_bits(kind, most + 1).is_err(), "{kind:?}");
        }
    }

    #[test]
    fn a_float_keeps_its_last_bit_and_its_range() {
        for value in [f32::MAX, f32::MIN, f32::MIN_POSITIVE, 0.1, -0.0] {
            let mut out = Vec::new();
            print(&mut out, &Plans::default(), Kind::Float, value.to_bits().into(), false);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(number(Kind::Float, &text, false), Ok(value.to_bits().into()), "{text}");
        }
        assert_eq!(number(Kind::Float, "3.5e38", false), Err("is out of range"));
        assert_eq!(number(Kind::Double, "1e400", false), Err("is out of range"));
        assert_eq!(number(Kind::Double, "NaN", false), Err("is not a number"));
        assert_eq!(number(Kind::Double, "inf", true), Err("is not a number"));
        assert_eq!(number(Kind::Double, "-Infinity", true), Ok(f64::NEG_INFINITY.to_bits()));
    }
}
