//! Columns for people: plain text, as wide as their widest cell.

/// Sets rows under a head of capitals. The last column is not padded.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let head = head.map(str::to_uppercase);
    let lines: Vec<String> = std::iter::once(&head)
        .chain(rows)
        .map(|row| {
            let cells: Vec<String> =
                row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            cells.join("   ").trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["a".into(), "long cell".into()], ["wider".into(), "ü".into()]];
        assert_eq!(table(["x", "y"], &rows), "X       Y\na       long cell\nwider   ü");
    }
}
