//! Rules of the house that the compiler does not know. Each finding says where, what, and what to do.
//! Errors fail the run; warnings are for the next person who touches the file.

mod dependencies;
mod documents;
mod mask;
mod pages;
mod source;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// One place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub severity: Severity,
    /// Relative to the workspace.
    pub path: PathBuf,
    /// From 1.
    pub line: usize,
    pub what: String,
    pub advice: String,
}

impl Finding {
    fn error(path: &Path, line: usize, what: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { severity: Severity::Error, path: path.to_owned(), line, what: what.into(), advice: advice.into() }
    }

    fn warning(path: &Path, line: usize, what: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(path, line, what, advice) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.severity == Severity::Error { "error" } else { "warning" };
        write!(f, "{}:{}: {word}: {}. {}.", self.path.display(), self.line, self.what, self.advice)
    }
}

/// A text file of the tree: its path relative to the workspace, and what it holds.
pub struct TextFile {
    pub path: PathBuf,
    pub text: String,
}

/// Prints all findings; fails when one of them is an error.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let findings = check(root)?;
    for finding in &findings {
        println!("{finding}");
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    println!("tidy: {errors} errors, {warnings} warnings");
    if errors > 0 {
        bail!("tidy found {errors} errors");
    }
    Ok(())
}

/// Applies every rule to the tree at `root`.
pub fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut findings = dependencies::check(root)?;
    findings.extend(documents::check(root)?);
    for file in text_files(root, Path::new("crates"))? {
        match file.path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => findings.extend(source::check(&file)),
            Some("html") => findings.extend(pages::check(&file)),
            _ => {}
        }
    }
    findings.sort();
    Ok(findings)
}

/// Reads all files under a folder that the rules speak about, in order of their paths.
fn text_files(root: &Path, folder: &Path) -> anyhow::Result<Vec<TextFile>> {
    const EXTENSIONS: [&str; 3] = ["rs", "html", "md"];
    const SKIPPED: [&str; 3] = ["target", "node_modules", "data"];
    let mut files = Vec::new();
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else { return Ok(files) };
    for entry in entries {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            if !SKIPPED.contains(&name.as_str()) && !name.starts_with('.') {
                files.extend(text_files(root, &path)?);
            }
        } else if path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known)) {
            let text = std::fs::read_to_string(root.join(&path)).with_context(|| format!("reading {}", path.display()))?;
            files.push(TextFile { path, text });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a made-up tree and gives what the rules say about it, one line each.
    pub fn findings_of(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        check(folder.path()).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_clean_tree_has_no_findings() {
        let found = findings_of(&[
            ("Cargo.toml", "[workspace.dependencies]\nmodel = { path = \"crates/model\" }\nserde = \"1\" # schemas\n"),
            ("crates/model/Cargo.toml", "[package]\nname = \"model\"\n[dependencies]\nserde.workspace = true\n"),
            ("crates/model/src/lib.rs", "//! The vocabulary.\n\n#[derive(serde::Serialize)]\npub struct One;\n"),
            ("README.md", "# It\n"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn findings_say_where_what_and_what_to_do() {
        let found = findings_of(&[("crates/model/src/lib.rs", "pub fn one() -> u8 {\n    todo!()\n}\n")]);
        assert_eq!(
            found,
            [
                "crates/model/src/lib.rs:1: error: the file has no header. Start it with `//!` lines: purpose, layout or flow, invariants.",
                "crates/model/src/lib.rs:2: error: `todo!` is a stub. Write it, or leave the whole thing out.",
            ]
        );
    }

    #[test]
    fn this_project_is_tidy_in_what_it_builds_on() {
        // The rules are run on the real tree by `cargo xtask tidy`; here, that they can read it at all.
        let root = crate::command::workspace_root().unwrap();
        check(&root).unwrap();
    }
}
