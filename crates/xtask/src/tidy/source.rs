//! Rules for Rust files.

use super::{
    Finding, TextFile,
    mask::{self, Line},
};

/// Beyond this a file is hard to hold in one's head; a warning.
const LINES_WARN: usize = 500;
/// Beyond this it must be split; its tests count.
const LINES_MAX: usize = 700;
/// Integration tests read from top to bottom; they may be longer.
const TEST_LINES_MAX: usize = 1_000;

/// Macros that must not be left in the tree, and what each is.
const STUBS: [(&str, &str); 3] = [("todo!", "a stub"), ("unimplemented!", "a stub"), ("dbg!", "a debugging aid")];
/// Last words of type names that say nothing, and file names that gather everything.
const EMPTY_WORDS: [&str; 6] = ["Manager", "Helper", "Helpers", "Util", "Utils", "Common"];
const EMPTY_FILES: [&str; 7] = ["util.rs", "utils.rs", "helper.rs", "helpers.rs", "common.rs", "misc.rs", "prelude.rs"];
/// Crates that talk to a terminal.
const PRINTING_CRATES: [&str; 3] = ["corkboard", "xtask", "testkit"];

/// Applies every rule to one file.
pub fn check(file: &TextFile) -> Vec<Finding> {
    let place = Place::of(file);
    let lines = mask::lines(&file.text);
    let mut findings = Vec::new();
    header(file, &place, &mut findings);
    size(file, &place, &lines, &mut findings);
    let tests_from = lines.iter().position(|line| line.code.trim() == "#[cfg(test)]").unwrap_or(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let mut report = |what: String, advice: &str| findings.push(Finding::error(&file.path, index + 1, what, advice));
        stubs(line, &mut report);
        names(line, &mut report);
        if !place.has_sql {
            sql(line, &mut report);
        }
        if !place.prints && index < tests_from {
            printing(line, &mut report);
        }
    }
    findings
}

/// What a file's path says about it.
struct Place {
    is_test: bool,
    /// People find it by its name, so that it says what it is for; the tests of a module need not.
    is_listed: bool,
    has_sql: bool,
    prints: bool,
}

impl Place {
    fn of(file: &TextFile) -> Place {
        let parts: Vec<&str> = file.path.iter().filter_map(|part| part.to_str()).collect();
        let crate_name = parts.get(1).copied().unwrap_or("");
        let folder = parts.get(2).copied().unwrap_or("");
        let is_engine = parts.iter().any(|part| matches!(*part, "engine" | "engine.rs"));
        let is_test = parts[1..].iter().any(|part| matches!(*part, "tests" | "tests.rs" | "contract.rs" | "contract"));
        Place {
            is_test,
            is_listed: !parts.contains(&"tests.rs"),
            // xtask's strings are the patterns that are looked for; testkit asks servers, never the site's store.
            // Tests damage what is stored by hand, and benches ask the server past us.
            has_sql: is_engine || is_test || folder == "benches" || matches!(crate_name, "sqlite" | "mysql" | "xtask" | "testkit"),
            prints: is_test || PRINTING_CRATES.contains(&crate_name) || matches!(folder, "benches" | "build.rs" | "examples"),
        }
    }
}

fn header(file: &TextFile, place: &Place, findings: &mut Vec<Finding>) {
    // After attributes of the whole file, like #![cfg(test)].
    let first = file.text.lines().find(|line| !line.starts_with("#![") && !line.trim().is_empty());
    if place.is_listed && !first.is_some_and(|line| line.starts_with("//!")) {
        let advice = "Start it with `//!` lines: purpose, layout or flow, invariants";
        findings.push(Finding::error(&file.path, 1, "the file has no header", advice));
    }
    let name = file.path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    if EMPTY_FILES.contains(&name) {
        let advice = "Name the file after what it holds; put each thing where it is used";
        findings.push(Finding::error(&file.path, 1, format!("`{name}` says nothing about what is in it"), advice));
    }
}

fn size(file: &TextFile, place: &Place, lines: &[Line], findings: &mut Vec<Finding>) {
    let count = file.text.lines().count();
    let tests = lines.iter().position(|line| line.code.trim() == "#[cfg(test)]").unwrap_or(count);
    let max = if place.is_test { TEST_LINES_MAX } else { LINES_MAX };
    let advice = "Split it along what changes together";
    if count > max {
        findings.push(Finding::error(&file.path, count, format!("the file has {count} lines, more than {max}"), advice));
    } else if tests > LINES_WARN && !place.is_test {
        let what = format!("the file has {tests} lines before its tests, more than {LINES_WARN}");
        findings.push(Finding::warning(&file.path, tests, what, advice));
    }
}

fn stubs(line: &Line, report: &mut impl FnMut(String, &str)) {
    for (stub, what) in STUBS {
        if has_word(&line.code, stub) {
            report(format!("`{stub}` is {what}"), "Write it, or leave the whole thing out");
        }
    }
    let code: String = line.code.split_whitespace().collect();
    if code.contains("#[ignore]") || code.contains("#[ignore=") {
        report("an ignored test proves nothing".into(), "Mend it, delete it, or skip loudly at run time with testkit::skip");
    }
}

fn names(line: &Line, report: &mut impl FnMut(String, &str)) {
    let code = line.code.trim();
    if code.starts_with("pub") && code.contains("use ") && code.trim_end_matches(';').ends_with("::*") {
        report("a glob re-export hides where names come from".into(), "List the names");
    }
    let words: Vec<&str> = code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty()).collect();
    for pair in words.windows(2) {
        let is_type = matches!(pair[0], "struct" | "enum" | "trait" | "type" | "union");
        if is_type && let Some(word) = EMPTY_WORDS.iter().find(|word| pair[1].ends_with(**word)) {
            report(format!("`{}`: \"{word}\" says nothing", pair[1]), "Name the type after what it is or does");
        }
    }
}

fn sql(line: &Line, report: &mut impl FnMut(String, &str)) {
    let text = &line.strings;
    let is_update = text.find("UPDATE ").is_some_and(|at| text[at..].contains(" SET "));
    let is_select = text.starts_with("SELECT ") || text.contains(" SELECT ") || text.contains("(SELECT ");
    if is_select || is_update || ["INSERT INTO ", "DELETE FROM ", "CREATE TABLE "].iter().any(|words| text.contains(words)) {
        report("SQL outside an engine".into(), "Move it into a file under engine/, behind the port");
    }
}

fn printing(line: &Line, report: &mut impl FnMut(String, &str)) {
    for name in ["println!", "print!", "eprintln!", "eprint!"] {
        if has_word(&line.code, name) {
            report(format!("`{name}` in a library"), "Use tracing, or return what is to be said");
        }
    }
}

/// Tells whether `word` stands in `code` and does not continue a longer word.
fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| !code[..at].chars().next_back().is_some_and(is_part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::Severity;

    /// Gives `line: what` of each finding in a file with a header.
    fn found(path: &str, text: &str) -> Vec<String> {
        let file = TextFile { path: path.into(), text: format!("//! Header.\n{text}") };
        check(&file).iter().map(|finding| format!("{}: {}", finding.line, finding.what)).collect()
    }

    #[test]
    fn stubs_are_found_in_code_only() {
        let text = "fn a() {\n    todo!();\n    // todo!()\n    f(\"todo!\");\n    not_todo!();\n}\n#[ignore = \"slow\"]\nfn b() {}\n";
        assert_eq!(found("crates/app/src/a.rs", text), ["3: `todo!` is a stub", "8: an ignored test proves nothing"]);
    }

    #[test]
    fn sql_stays_in_engines() {
        let text = "const Q: &str = \"SELECT id FROM pins\";\nconst U: &str = \"UPDATE pins SET a = 1\";\n// SELECT id\nconst T: &str = \"DESELECT me\";\n";
        let expected = ["2: SQL outside an engine", "3: SQL outside an engine"];
        assert_eq!(found("crates/app/src/pins.rs", text), expected);
        assert_eq!(found("crates/storage/src/engine/sqlite.rs", text), Vec::<String>::new());
        assert_eq!(found("crates/sqlite/src/file.rs", text), Vec::<String>::new());
    }

    #[test]
    fn libraries_do_not_print() {
        let text = "fn a() {\n    println!(\"x\");\n    writeln!(f, \"x\");\n}\n#[cfg(test)]\nmod tests {\n    fn b() {\n        eprintln!(\"y\");\n    }\n}\n";
        assert_eq!(found("crates/app/src/a.rs", text), ["3: `println!` in a library"]);
        assert_eq!(found("crates/corkboard/src/a.rs", text), Vec::<String>::new());
        assert_eq!(found("crates/feeds/src/contract.rs", text), Vec::<String>::new());
        assert_eq!(found("crates/media/benches/a.rs", text), Vec::<String>::new());
    }

    #[test]
    fn names_say_something() {
        let text = "pub struct PinManager;\npub use pins::*;\npub use pins::{Pin, Board};\nuse pins::*;\nstruct Commoner;\n";
        let expected = ["2: `PinManager`: \"Manager\" says nothing", "3: a glob re-export hides where names come from"];
        assert_eq!(found("crates/app/src/a.rs", text), expected);
        assert_eq!(found("crates/app/src/utils.rs", ""), ["1: `utils.rs` says nothing about what is in it"]);
    }

    #[test]
    fn long_files_are_warned_about_then_refused() {
        let code = |lines: usize| "fn a() {}\n".repeat(lines - 1);
        let of = |path: &str, text: String| check(&TextFile { path: path.into(), text: format!("//! Header.\n{text}") });
        assert!(of("crates/app/src/a.rs", code(500)).is_empty());
        assert_eq!(of("crates/app/src/a.rs", code(501))[0].severity, Severity::Warning);
        assert_eq!(of("crates/app/src/a.rs", code(701))[0].severity, Severity::Error);
        assert!(of("crates/app/src/a.rs", format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", code(400), code(290))).is_empty());
        assert!(of("crates/app/tests/a.rs", code(1_000)).is_empty());
        assert_eq!(of("crates/app/tests/a.rs", code(1_001))[0].severity, Severity::Error);
    }
}
