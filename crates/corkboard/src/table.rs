//! Tables for people: aligned columns, numbers to the right.

/// Writes rows under a header. Columns whose cells are all numbers are aligned to the right.
pub fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    let columns = header.len();
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).chain([header[column].chars().count()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    // A gap is no text; an address begins with a digit and is no number.
    let is_number = |column: usize| {
        let filled = || rows.iter().map(|row| row[column].as_str()).filter(|cell| !cell.is_empty());
        filled().next().is_some() && filled().all(|cell| cell.parse::<f64>().is_ok())
    };
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
        let rows = vec![vec!["10.0.0.1:3306".into(), "12".into()], vec!["10.0.0.12:3306".into(), String::new()]];
        assert_eq!(render(&["address", "MiB"], &rows), "address         MiB\n10.0.0.1:3306    12\n10.0.0.12:3306\n");
    }
}
