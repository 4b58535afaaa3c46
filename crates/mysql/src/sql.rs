//! Text and numbers as they stand in statements.

use std::fmt::{Display, Write};

/// Appends a text as a literal. Safe under the character set and the mode that every connection sets: utf8mb4, with backslash escapes.
pub fn quote(sql: &mut String, text: &str) {
    sql.push('\'');
    for c in text.chars() {
        match c {
            '\'' => sql.push_str("\\'"),
            '\\' => sql.push_str("\\\\"),
            '\0' => sql.push_str("\\0"),
            '\n' => sql.push_str("\\n"),
            '\r' => sql.push_str("\\r"),
            '\u{1a}' => sql.push_str("\\Z"),
            c => sql.push(c),
        }
    }
    sql.push('\'');
}

/// Writes numbers as `1,2,3`, for `IN (…)`. An empty list becomes NULL, which nothing is in.
pub fn list<T: Display>(numbers: impl IntoIterator<Item = T>) -> String {
    let mut sql = String::new();
    for number in numbers {
        let _ = write!(sql, "{}{number}", if sql.is_empty() { "" } else { "," });
    }
    if sql.is_empty() { "NULL".to_owned() } else { sql }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_can_not_leave_their_quotes() {
        let mut sql = String::new();
        quote(&mut sql, "it's \\ a\0\n\r\u{1a}\u{1f34e}'; DROP TABLE pins --");
        assert_eq!(sql, "'it\\'s \\\\ a\\0\\n\\r\\Z\u{1f34e}\\'; DROP TABLE pins --'");
        // Every quote inside has a backslash before it that is not itself escaped.
        let inside: Vec<char> = sql[1..sql.len() - 1].chars().collect();
        let mut escaped = false;
        for c in inside {
            assert!(c != '\'' || escaped);
            escaped = c == '\\' && !escaped;
        }
        assert!(!escaped);
    }

    #[test]
    fn lists_hold_numbers() {
        assert_eq!(list([1, 2, 3]), "1,2,3");
        assert_eq!(list(Vec::<u64>::new()), "NULL");
    }
}
