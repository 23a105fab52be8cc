//! Somebody else's texts, for a terminal that they must not steer.

use admin::data::Data;

/// A text without control characters, line breaks and tabs apart.
pub(crate) fn calm(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '·' } else { c }).collect()
}

/// The same on one line.
pub(crate) fn cell(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

/// A JSON value as a person writes it: a text without quotes.
pub(crate) fn value(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Names and values, a line for each, the values below each other.
pub(crate) fn pairs(all: &[(&str, String)]) -> Vec<String> {
    let width = all.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    all.iter().map(|(name, value)| format!("{:<width$}  {}", calm(name), calm(value))).collect()
}

/// Data, below an empty line.
pub(crate) fn data(data: &Data) -> String {
    match (&data.data, &data.data_base64) {
        (Some(text), _) => format!("\n{}", calm(text)),
        (None, Some(coded)) => format!("\n(no text; in base64) {coded}"),
        (None, None) => "\n(no data)".to_owned(),
    }
}

/// So many bytes, in the unit in which that is a short number.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} bytes");
    }
    let (mut tenths, mut unit) = (u128::from(count) * 10 / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        (tenths, unit) = (tenths / 1024, unit + 1);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// So many of something.
pub(crate) fn count(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_a_short_number() {
        for (count, said) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (5 << 20, "5.0 MiB"),
            (3 << 41, "6.0 TiB"),
        ] {
            assert_eq!(bytes(count), said);
        }
    }

    #[test]
    fn a_cell_is_one_line() {
        assert_eq!(cell("a\nb\x1b[2J"), "a·b·[2J");
        assert_eq!(calm("a\nb\x1b[2J"), "a\nb·[2J");
    }
}
