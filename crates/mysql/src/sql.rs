//! Text and numbers as they stand in statements.

use std::fmt::{Display, Write};

/// Appends a text as a literal. Safe under the character set and the mode that every connection sets: utf8mb4, with backslash escapes.
pub fn quote(sql: &mut String, text: &str) {
    sql.reserve(text.len() + 2);
    sql.push('\'');
    // What needs no escape is copied in one piece: nearly all of it, and all escapes are of one byte.
    let mut copied = 0;
    for (place, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'\'' => "\\'",
            b'\\' => "\\\\",
            0 => "\\0",
            b'\n' => "\\n",
            b'\r' => "\\r",
            0x1a => "\\Z",
            _ => continue,
        };
        sql.push_str(&text[copied..place]);
        sql.push_str(escape);
        copied = place + 1;
    }
    sql.push_str(&text[copied..]);
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
