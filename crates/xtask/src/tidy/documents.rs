//! Rules for documents, for the comments on outside libraries, and for lock files.

use std::path::Path;

use anyhow::Context as _;

use super::{Finding, text_files};

/// A newcomer reads these in one sitting.
const LINES_MAX: usize = 250;
const SHORT_DOCUMENTS: [&str; 2] = ["README.md", "ARCHITECTURE.md"];
const DECISION_PARTS: [&str; 4] = ["Status", "Context", "Decision", "Consequences"];
/// Lock files of npm in the tree.
const LOCK_FILES: [&str; 1] = ["tests/browser/package-lock.json"];

/// Applies every rule to the tree at `root`.
pub fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for name in SHORT_DOCUMENTS {
        let Ok(text) = std::fs::read_to_string(root.join(name)) else { continue };
        let count = text.lines().count();
        if count > LINES_MAX {
            let what = format!("the file has {count} lines, more than {LINES_MAX}");
            findings.push(Finding::error(Path::new(name), count, what, "Say it shorter, or move parts into docs/"));
        }
    }
    for file in text_files(root, Path::new("docs/decisions"))? {
        decision(&file.path, &file.text, &mut findings);
    }
    if root.join("Cargo.toml").is_file() {
        let text = std::fs::read_to_string(root.join("Cargo.toml")).context("reading Cargo.toml")?;
        workspace_table(&text, &mut findings);
    }
    for name in LOCK_FILES {
        let Ok(text) = std::fs::read_to_string(root.join(name)) else { continue };
        lock_file(Path::new(name), &text, &mut findings);
    }
    Ok(findings)
}

fn decision(path: &Path, text: &str, findings: &mut Vec<Finding>) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    if name.len() < 6 || !name.bytes().take(4).all(|byte| byte.is_ascii_digit()) || name.as_bytes()[4] != b'-' {
        findings.push(Finding::error(path, 1, "a decision has a number", "Name it NNNN-title.md with the next free number"));
    }
    let has = |part: &str| {
        text.lines().any(|line| {
            let line = line.trim_start_matches(['#', '*', '-', ' ']);
            line.strip_prefix(part).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
        })
    };
    for part in DECISION_PARTS.into_iter().filter(|part| !has(part)) {
        findings.push(Finding::error(path, 1, format!("the decision has no \"{part}\""), format!("Add a part that begins with {part}")));
    }
}

/// Every outside library says in one comment on its line what it is for.
fn workspace_table(text: &str, findings: &mut Vec<Finding>) {
    let mut is_inside = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            is_inside = line == "[workspace.dependencies]";
            continue;
        }
        let is_entry = is_inside && line.starts_with(|c: char| c.is_ascii_alphanumeric()) && line.contains('=');
        if is_entry && !line.contains("path = ") && !line.contains(" # ") {
            let name = line.split(['=', '.', ' ']).next().unwrap_or(line);
            let what = format!("`{name}` has no comment");
            findings.push(Finding::error(Path::new("Cargo.toml"), index + 1, what, "Say at the end of its line what it is for"));
        }
    }
}

fn lock_file(path: &Path, text: &str, findings: &mut Vec<Finding>) {
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("\"resolved\":") {
            let advice = "Make the lock file with omit-lockfile-registry-resolved=true in .npmrc";
            findings.push(Finding::error(path, index + 1, "the lock file names a registry's host", advice));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::tidy::tests::findings_of;

    #[test]
    fn long_readme() {
        assert_eq!(findings_of(&[("README.md", &"a\n".repeat(250))]), Vec::<String>::new());
        let found = findings_of(&[("README.md", &"a\n".repeat(251))]);
        assert!(found[0].starts_with("README.md:251: error: the file has 251 lines"), "{found:?}");
    }

    #[test]
    fn decisions_are_whole() {
        let whole = "# 1. Use it\n\nStatus: accepted\n\n## Context\n\n**Decision.** Yes.\n\n## Consequences\n";
        assert_eq!(findings_of(&[("docs/decisions/0001-use-it.md", whole)]), Vec::<String>::new());
        let found = findings_of(&[("docs/decisions/use-it.md", "# Statuses\n## Context\n## Decision\n")]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().any(|finding| finding.contains("no \"Status\"")), "{found:?}");
    }

    #[test]
    fn dependencies_are_explained() {
        let text = "[workspace]\nresolver = \"3\"\n[workspace.dependencies]\nmodel = { path = \"crates/model\" }\nserde = \"1\" # schemas\nurl = \"2\"\n[profile.dev]\ndebug = true\n";
        let found = findings_of(&[("Cargo.toml", text)]);
        assert_eq!(found, ["Cargo.toml:6: error: `url` has no comment. Say at the end of its line what it is for."]);
    }

    #[test]
    fn lock_files_name_no_host() {
        let found = findings_of(&[("tests/browser/package-lock.json", "{\n  \"resolved\": \"https://example.org/a.tgz\"\n}\n")]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("tests/browser/package-lock.json:2: error"), "{found:?}");
    }
}
