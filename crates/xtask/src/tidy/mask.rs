//! Rust source told apart, line by line: code, what stands in strings, comments. Enough of Rust's lexis for the rules here:
//! line and nested block comments, strings with escapes, raw and byte strings, characters against lifetimes.

/// One line of source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The code, with strings emptied to `""` and comments left out.
    pub code: String,
    /// What the strings on this line hold.
    pub strings: String,
}

/// Splits a file.
pub fn lines(source: &str) -> Vec<Line> {
    let mut masker = Masker { chars: source.chars().collect(), at: 0, lines: vec![Line::default()] };
    masker.run();
    masker.lines
}

struct Masker {
    chars: Vec<char>,
    at: usize,
    lines: Vec<Line>,
}

impl Masker {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn take(&mut self) -> Option<char> {
        let c = *self.chars.get(self.at)?;
        self.at += 1;
        if c == '\n' {
            self.lines.push(Line::default());
        }
        Some(c)
    }

    fn last(&mut self) -> &mut Line {
        // Never empty: `lines` starts with one line and only grows.
        let index = self.lines.len() - 1;
        &mut self.lines[index]
    }

    fn code(&mut self, c: char) {
        if c != '\n' {
            self.last().code.push(c);
        }
    }

    fn run(&mut self) {
        let mut previous = ' ';
        while let Some(c) = self.take() {
            match c {
                '/' if self.peek(0) == '/' => self.skip_line(),
                '/' if self.peek(0) == '*' => self.skip_block(),
                '"' => self.string(),
                'r' if !is_word(previous) && self.raw_hashes().is_some() => self.raw_string(),
                '\'' => self.character_or_lifetime(),
                other => self.code(other),
            }
            // A `b` before a string's `r` belongs to the string: br"…".
            previous = if c == 'b' && !is_word(previous) { ' ' } else { c };
        }
    }

    fn skip_line(&mut self) {
        while self.at < self.chars.len() && self.peek(0) != '\n' {
            self.at += 1;
        }
    }

    fn skip_block(&mut self) {
        let mut depth = 0;
        self.at -= 1; // back on the first '/'
        loop {
            if self.peek(0) == '/' && self.peek(1) == '*' {
                depth += 1;
                self.at += 2;
            } else if self.peek(0) == '*' && self.peek(1) == '/' {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return;
                }
            } else if self.take().is_none() {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.last().code.push_str("\"\"");
        while let Some(c) = self.take() {
            match c {
                '"' => return,
                '\\' => {
                    let escaped = self.take().unwrap_or('\n');
                    if escaped != '\n' {
                        self.last().strings.push(escaped);
                    }
                }
                '\n' => {}
                other => self.last().strings.push(other),
            }
        }
    }

    /// After an 'r': how many '#' stand before the quote, when this is a raw string at all.
    fn raw_hashes(&self) -> Option<usize> {
        let hashes = self.chars[self.at..].iter().take_while(|c| **c == '#').count();
        (self.peek(hashes) == '"').then_some(hashes)
    }

    fn raw_string(&mut self) {
        let hashes = self.raw_hashes().unwrap_or(0);
        self.at += hashes + 1;
        self.last().code.push_str("\"\"");
        while let Some(c) = self.take() {
            if c == '"' && (0..hashes).all(|ahead| self.peek(ahead) == '#') {
                self.at += hashes;
                return;
            }
            if c != '\n' {
                self.last().strings.push(c);
            }
        }
    }

    fn character_or_lifetime(&mut self) {
        if self.peek(0) == '\\' {
            self.at += 2; // the backslash and what it escapes, which may be a quote
            while self.at < self.chars.len() && self.peek(0) != '\'' && self.peek(0) != '\n' {
                self.at += 1;
            }
            self.at += 1;
        } else if self.peek(1) == '\'' {
            self.at += 2;
        } else {
            self.code('\''); // a lifetime
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(source: &str) -> Vec<(String, String)> {
        lines(source).into_iter().map(|line| (line.code, line.strings)).collect()
    }

    fn pair(code: &str, strings: &str) -> (String, String) {
        (code.to_owned(), strings.to_owned())
    }

    #[test]
    fn code_strings_and_comments() {
        assert_eq!(masked("let a = \"x // y\"; // todo!()"), [pair("let a = \"\"; ", "x // y")]);
        assert_eq!(masked("a /* b /* c */ \"d */ e"), [pair("a  e", "")]);
        assert_eq!(masked("f(\"a \\\" b\")"), [pair("f(\"\")", "a \" b")]);
        assert_eq!(masked("r#\"a \"b\" c\"# + br\"d\""), [pair("\"\" + b\"\"", "a \"b\" cd")]);
        assert_eq!(masked("let r = var\"x\";"), [pair("let r = var\"\";", "x")]);
    }

    #[test]
    fn characters_and_lifetimes() {
        assert_eq!(masked("match '\"' { '\\'' => &'a str, '\\u{1b}' => b'\\\\' }"), [pair("match  {  => &'a str,  => b }", "")]);
    }

    #[test]
    fn lines_keep_their_numbers() {
        let source = "a\n\"b\nc\\\n  d\" e\n/* f\ng */ h";
        let seen = masked(source);
        assert_eq!(seen[1], pair("\"\"", "b"));
        assert_eq!(seen[3], pair(" e", "  d"));
        assert_eq!(seen[5], pair(" h", ""));
        assert_eq!(seen.len(), source.lines().count());
    }
}
