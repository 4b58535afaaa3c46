//! Tables for people: aligned columns, numbers to the right.

/// Writes rows under a header. Columns whose cells are all numbers are aligned to the right.
pub fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    let columns = header.len();
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).chain([header[column].chars().count()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let is_number =
        |column: usize| !rows.is_empty() && rows.iter().all(|row| row[column].chars().next().is_some_and(|c| c.is_ascii_digit()));
    let numbers: Vec<bool> = (0..columns).map(is_number).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().enumerate().map(|(n, cell)| {
            let pad = " ".repeat(widths[n] - cell.chars().count());
            if numbers[n] { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(header.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align() {
        let rows = vec![vec!["pins".into(), "12".into()], vec!["boards".into(), "3".into()]];
        assert_eq!(render(&["table", "rows"], &rows), "table   rows\npins      12\nboards     3\n");
    }
}
