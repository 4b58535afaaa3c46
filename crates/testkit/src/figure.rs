//! One measured figure: the JSON object that every bench prints, and the table that people read.

use serde::{Deserialize, Serialize};

/// A figure of a bench. `goal`, `peer`, `ratio` and `meets` are null where there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub bench: String,
    pub figure: String,
    pub value: f64,
    pub unit: String,
    pub goal: Option<f64>,
    /// With whom the same run compared us.
    pub peer: Option<String>,
    /// Ours to the peer's, from the same run.
    pub ratio: Option<f64>,
    pub meets: Option<bool>,
}

impl Figure {
    pub fn new(bench: &str, figure: &str, value: f64, unit: &str) -> Figure {
        Figure {
            bench: bench.to_owned(),
            figure: figure.to_owned(),
            value: rounded(value),
            unit: unit.to_owned(),
            goal: None,
            peer: None,
            ratio: None,
            meets: None,
        }
    }

    /// Sets a goal that larger values miss.
    pub fn at_most(mut self, goal: f64) -> Figure {
        self.goal = Some(goal);
        self.meets = Some(self.value <= goal);
        self
    }

    /// Sets a goal that smaller values miss.
    pub fn at_least(mut self, goal: f64) -> Figure {
        self.goal = Some(goal);
        self.meets = Some(self.value >= goal);
        self
    }

    /// Compares with what a peer did in the same run.
    pub fn against(mut self, peer: &str, ratio: f64) -> Figure {
        self.peer = Some(peer.to_owned());
        self.ratio = Some(rounded(ratio));
        self
    }

    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
    }

    /// Reads a line that a bench printed; `None` when the line is something else.
    pub fn parse(line: &str) -> Option<Figure> {
        let line = line.trim();
        if line.starts_with('{') { serde_json::from_str(line).ok() } else { None }
    }
}

/// Keeps four significant digits, so that a table can be read and no figure claims more than was measured.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powi(3 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

/// Lays figures out in aligned columns.
pub fn table(figures: &[Figure]) -> String {
    let head = ["figure", "value", "unit", "goal", "meets", "peer", "ratio"].map(str::to_owned);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let rows = figures.iter().map(|figure| {
        [
            figure.figure.clone(),
            figure.value.to_string(),
            figure.unit.clone(),
            or_dash(figure.goal.map(|goal| goal.to_string())),
            or_dash(figure.meets.map(|meets| if meets { "yes" } else { "NO" }.to_owned())),
            or_dash(figure.peer.clone()),
            or_dash(figure.ratio.map(|ratio| ratio.to_string())),
        ]
    });
    aligned(&std::iter::once(head).chain(rows).map(Vec::from).collect::<Vec<_>>(), &[1, 3, 6])
}

/// Pads the columns of `rows` to one width each; the columns in `right` hold numbers and end at their right edge.
pub fn aligned(rows: &[Vec<String>], right: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width_of = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width_of).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count());
            let (before, after) = if right.contains(&column) { (padding.as_str(), "") } else { ("", padding.as_str()) };
            line.push_str(&format!("{before}{cell}{after}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_back() {
        let figure = Figure::new("site", "p99_ms", 24.9991, "ms").at_most(25.0).against("hello", 3.21549);
        let line = figure.json();
        assert_eq!(
            line,
            r#"{"bench":"site","figure":"p99_ms","value":25.0,"unit":"ms","goal":25.0,"peer":"hello","ratio":3.215,"meets":true}"#
        );
        assert_eq!(Figure::parse(&line), Some(figure));
        assert_eq!(Figure::parse("warming up"), None);
    }

    #[test]
    fn goals_have_a_direction() {
        assert_eq!(Figure::new("b", "f", 3_001.0, "1/s").at_least(3_000.0).meets, Some(true));
        assert_eq!(Figure::new("b", "f", 2_999.0, "1/s").at_least(3_000.0).meets, Some(false));
        assert_eq!(Figure::new("b", "f", 26.0, "ms").at_most(25.0).meets, Some(false));
    }

    #[test]
    fn columns_line_up() {
        let text = table(&[Figure::new("b", "rps", 3_000.0, "1/s").at_least(2.0), Figure::new("b", "p", 1.5, "ms")]);
        let expected = "figure  value  unit  goal  meets  peer  ratio\nrps      3000  1/s      2  yes    –         –\np         1.5  ms       –  –      –         –\n";
        assert_eq!(text, expected);
    }
}
