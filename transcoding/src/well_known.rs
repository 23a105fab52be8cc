//! The texts of Timestamp, Duration and FieldMask.

use crate::wire::put_varint;

/// Seconds and nanoseconds, which both Timestamp and Duration are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanos: i32,
}

impl Time {
    /// Appends the fields of the message; zeros are left out.
    pub(crate) fn put(self, out: &mut Vec<u8>) {
        if self.seconds != 0 {
            out.push(0x08);
            put_varint(out, self.seconds.cast_unsigned());
        }
        if self.nanos != 0 {
            out.push(0x10);
            put_varint(out, i64::from(self.nanos).cast_unsigned());
        }
    }
}

const NANOS_MAX: i32 = 999_999_999;
/// From 0001-01-01T00:00:00Z up to 9999-12-31T23:59:59Z.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// About ten thousand years, by the comment in duration.proto.
const DURATION_SECONDS_MAX: u64 = 315_576_000_000;

/// Reads a time by RFC 3339, in capitals and with at most nine digits of a second.
pub(crate) fn timestamp(text: &str) -> Result<Time, &'static str> {
    const FORM: &str = "is not a time such as `2026-11-28T05:00:00Z`";
    let mut text = Text(text.as_bytes());
    let parsed = (|| {
        let year = text.digits(4)?;
        text.expect(b'-')?;
        let month = text.digits(2)?;
        text.expect(b'-')?;
        let day = text.digits(2)?;
        text.expect(b'T')?;
        let hour = text.digits(2)?;
        text.expect(b':')?;
        let minute = text.digits(2)?;
        text.expect(b':')?;
        let second = text.digits(2)?;
        let nanos = text.fraction()?;
        let offset = if text.expect(b'Z').is_some() {
            0
        } else {
            let sign =
                if text.expect(b'-').is_some() { -1 } else { text.expect(b'+').map(|()| 1)? };
            let hours = text.digits(2).filter(|hours| *hours < 24)?;
            text.expect(b':')?;
            sign * (hours * 3600 + text.digits(2).filter(|minutes| *minutes < 60)? * 60)
        };
        let valid = text.0.is_empty()
            && (1..=12).contains(&month)
            && (1..=days_of(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        valid.then_some(Time { seconds, nanos })
    })();
    let time = parsed.ok_or(FORM)?;
    if TIMESTAMP_SECONDS.contains(&time.seconds) {
        Ok(time)
    } else {
        Err("is not between the years 1 and 9999")
    }
}

/// Prints a time in UTC with no, three, six or nine digits of a second.
pub(crate) fn print_timestamp(out: &mut Vec<u8>, time: Time) -> Result<(), &'static str> {
    if !TIMESTAMP_SECONDS.contains(&time.seconds) || !(0..=NANOS_MAX).contains(&time.nanos) {
        return Err("is a time out of range");
    }
    let (year, month, day) = civil(time.seconds.div_euclid(86_400));
    let second = time.seconds.rem_euclid(86_400);
    put_digits(out, year, 4);
    out.push(b'-');
    put_digits(out, month, 2);
    out.push(b'-');
    put_digits(out, day, 2);
    out.push(b'T');
    put_digits(out, second / 3600, 2);
    out.push(b':');
    put_digits(out, second / 60 % 60, 2);
    out.push(b':');
    put_digits(out, second % 60, 2);
    put_fraction(out, time.nanos);
    out.push(b'Z');
    Ok(())
}

/// Reads a duration such as `1.5s`.
pub(crate) fn duration(text: &str) -> Result<Time, &'static str> {
    const FORM: &str = "is not a duration such as `1.5s`";
    let mut text = Text(text.as_bytes());
    let sign = if text.expect(b'-').is_some() { -1 } else { 1 };
    let parsed = (|| {
        let length = text.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        // Twelve digits are what the range needs; more of them would not fit anyhow.
        let seconds = (1..=18).contains(&length).then(|| text.digits(length)).flatten()?;
        let nanos = text.fraction()?;
        text.expect(b's')?;
        text.0.is_empty().then_some((seconds, nanos))
    })();
    let (seconds, nanos) = parsed.ok_or(FORM)?;
    if seconds.unsigned_abs() > DURATION_SECONDS_MAX {
        return Err("is longer than ten thousand years");
    }
    Ok(Time { seconds: i64::from(sign) * seconds, nanos: sign * nanos })
}

/// Prints a duration in seconds with no, three, six or nine digits of a fraction.
pub(crate) fn print_duration(out: &mut Vec<u8>, time: Time) -> Result<(), &'static str> {
    let nanos = time.nanos;
    if time.seconds.unsigned_abs() > DURATION_SECONDS_MAX
        || !(-NANOS_MAX..=NANOS_MAX).contains(&nanos)
    {
        return Err("is a duration out of range");
    }
    if time.seconds.signum() * i64::from(nanos.signum()) < 0 {
        return Err("is a duration whose seconds and nanoseconds differ in sign");
    }
    if time.seconds < 0 || nanos < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(time.seconds.unsigned_abs()).as_bytes());
    put_fraction(out, nanos.abs());
    out.push(b's');
    Ok(())
}

/// Reads the paths of a field mask into names as the .proto file has them.
pub(crate) fn field_mask(text: &str) -> Result<Vec<String>, &'static str> {
    let paths = text.split(',').filter(|path| !path.is_empty());
    paths
        .map(|path| {
            let mut name = String::with_capacity(path.len() + 4);
            for letter in path.chars() {
                match letter {
                    '_' => return Err("is a field mask with `_`: write lowerCamelCase"),
                    'A'..='Z' => name.extend(['_', letter.to_ascii_lowercase()]),
                    _ => name.push(letter),
                }
            }
            Ok(name)
        })
        .collect()
}

/// Turns one path of a field mask into lowerCamelCase, if it can be turned back.
pub(crate) fn camel_case(path: &str) -> Result<String, &'static str> {
    const LOST: &str = "is a field mask whose path would not survive lowerCamelCase";
    let mut camel = String::with_capacity(path.len());
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        match letter {
            'A'..='Z' => return Err(LOST),
            '_' => match letters.next() {
                Some(next @ 'a'..='z') => camel.push(next.to_ascii_uppercase()),
                _ => return Err(LOST),
            },
            _ => camel.push(letter),
        }
    }
    Ok(camel)
}

/// What is left of a text.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn expect(&mut self, wanted: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[wanted])?;
        Some(())
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |value, digit| {
            digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
        })
    }

    /// Reads what may follow a second: a point and one to nine digits.
    fn fraction(&mut self) -> Option<i32> {
        if self.expect(b'.').is_none() {
            return Some(0);
        }
        let length = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = (1..=9).contains(&length).then(|| self.digits(length)).flatten()?;
        i32::try_from((length..9).fold(digits, |value, _| value * 10)).ok()
    }
}

fn put_digits(out: &mut Vec<u8>, value: i64, width: u32) {
    for place in (0..width).rev() {
        let digit = value / 10_i64.pow(place) % 10;
        out.push(b'0' + digit.to_le_bytes()[0]);
    }
}

fn put_fraction(out: &mut Vec<u8>, nanos: i32) {
    let (value, width) = match nanos {
        0 => return,
        _ if nanos % 1_000_000 == 0 => (nanos / 1_000_000, 3),
        _ if nanos % 1_000 == 0 => (nanos / 1_000, 6),
        _ => (nanos, 9),
    };
    out.push(b'.');
    put_digits(out, value.into(), width);
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, by counting years from March so that the leap day is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(print: fn(&mut Vec<u8>, Time) -> Result<(), &'static str>, time: Time) -> String {
        let mut out = Vec::new();
        print(&mut out, time).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_time_of_every_day_is_read_as_it_was_printed() {
        let mut before = String::new();
        for day in -719_162..2_932_897_i64 {
            if day % 97 != 0 && day.rem_euclid(146_097) > 60 {
                continue;
            }
            let time = Time { seconds: day * 86_400 + 3_723, nanos: 0 };
            let text = printed(print_timestamp, time);
            assert!(text > before, "{text} after {before}");
            assert_eq!(timestamp(&text), Ok(time), "{text}");
            before = text;
        }
    }

    #[test]
    fn a_time_is_read_with_offset_and_fraction() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1972-01-01T10:00:20.021Z", 63_108_020, 21_000_000),
            ("1969-12-31T23:59:59.999999999Z", -1, 999_999_999),
            ("2000-02-29T23:30:00+01:30", 951_861_600, 0),
            ("2000-02-29T22:00:00.5-00:00", 951_861_600, 500_000_000),
            ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
            ("9999-12-31T23:59:59.999999999Z", 253_402_300_799, 999_999_999),
        ] {
            assert_eq!(timestamp(text), Ok(Time { seconds, nanos }), "{text}");
        }
        for text in [
            "",
            "2026-11-28",
            "2026-11-28T05:00:00",
            "2026-11-28t05:00:00Z",
            "2026-11-28T05:00:00z",
            "2026-11-28 05:00:00Z",
            "2026-02-29T05:00:00Z",
            "2026-13-01T05:00:00Z",
            "2026-11-28T24:00:00Z",
            "2026-11-28T05:60:00Z",
            "2026-11-28T05:00:60Z",
            "2026-11-28T05:00:00.Z",
            "2026-11-28T05:00:00.0000000001Z",
            "2026-11-28T05:00:00+0100",
            "2026-11-28T05:00:00+24:00",
            "2026-11-28T05:00:00Z ",
            "0001-01-01T00:00:00+00:01",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-00:01",
            "+2026-11-28T05:00:00Z",
        ] {
            assert!(timestamp(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_fraction_has_no_three_six_or_nine_digits() {
        let text = |nanos| printed(print_timestamp, Time { seconds: 0, nanos });
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(10_000_000), "1970-01-01T00:00:00.010Z");
        assert_eq!(text(10_000), "1970-01-01T00:00:00.000010Z");
        assert_eq!(text(10), "1970-01-01T00:00:00.000000010Z");
        for time in [
            Time { seconds: 253_402_300_800, nanos: 0 },
            Time { seconds: -62_135_596_801, nanos: 0 },
            Time { seconds: 0, nanos: -1 },
            Time { seconds: 0, nanos: 1_000_000_000 },
        ] {
            assert!(print_timestamp(&mut Vec::new(), time).is_err(), "{time:?}");
        }
    }

    #[test]
    fn a_duration_is_read_as_it_was_printed_and_a_bad_one_refused() {
        for (text, seconds, nanos) in [
            ("0s", 0, 0),
            ("1.500s", 1, 500_000_000),
            ("-0.500s", 0, -500_000_000),
            ("-1.000000001s", -1, -1),
            ("315576000000s", 315_576_000_000, 0),
        ] {
            let time = Time { seconds, nanos };
            assert_eq!(duration(text), Ok(time), "{text}");
            assert_eq!(printed(print_duration, time), text);
        }
        assert_eq!(duration("0.5s"), Ok(Time { seconds: 0, nanos: 500_000_000 }));
        for text in [
            "",
            "s",
            "1",
            "1m",
            "1.s",
            ".5s",
            "+1s",
            "1s ",
            "--1s",
            "1e3s",
            "315576000001s",
            "1.0000000001s",
            "99999999999999999999s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        for time in [
            Time { seconds: 1, nanos: -1 },
            Time { seconds: -1, nanos: 1 },
            Time { seconds: 315_576_000_001, nanos: 0 },
            Time { seconds: 0, nanos: 1_000_000_000 },
        ] {
            assert!(print_duration(&mut Vec::new(), time).is_err(), "{time:?}");
        }
    }

    #[test]
    fn a_field_mask_changes_its_case_only_where_it_can_be_changed_back() {
        assert_eq!(
            field_mask("userName,address.zipCode"),
            Ok(vec!["user_name".into(), "address.zip_code".into()])
        );
        assert_eq!(field_mask(""), Ok(vec![]));
        assert!(field_mask("user_name").is_err());
        assert_eq!(camel_case("address.zip_code").as_deref(), Ok("address.zipCode"));
        for path in ["userName", "user__name", "user_", "user_3"] {
            assert!(camel_case(path).is_err(), "{path}");
        }
    }
}
