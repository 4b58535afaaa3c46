//! Which crate may use which. Dependencies point one way:
//!
//! ```text
//! model ◀─ runtime ◀─ sqlite ◀─ storage jobs events ┐
//!             ▲◀─ grpc ◀─ storage feeds
//!   ▲         ▲◀──── cache feeds search media discovery ┤◀─ app ◀─ monitor ◀─ web ┐
//!   └─ import ◀────────────────────────────────────────┘          ◀──────────────┴─ corkboard
//! testkit ◀─ tests and benches of every crate, xtask
//! ```
//! Services don't know each other. Some outside libraries belong to one crate, so that they can be replaced there.

use std::path::Path;

use anyhow::Context as _;

use super::{Finding, TextFile, mask, text_files};

const SERVICES: [&str; 8] = ["storage", "cache", "feeds", "jobs", "events", "search", "media", "discovery"];

/// What each crate may use of this workspace; `None` for a crate that the table does not know.
fn allowed(name: &str) -> Option<Vec<&'static str>> {
    let below_app = |more: &[&'static str]| [&["model", "runtime"], &SERVICES[..], more].concat();
    Some(match name {
        "model" | "testkit" => vec![],
        "runtime" | "import" => vec!["model"],
        "grpc" => vec!["runtime"],
        "xtask" => vec!["testkit"],
        "sqlite" | "mysql" | "cache" | "search" | "media" | "discovery" => vec!["model", "runtime"],
        "feeds" => vec!["model", "runtime", "grpc"],
        "storage" => vec!["model", "runtime", "sqlite", "mysql", "grpc"],
        "jobs" | "events" => vec!["model", "runtime", "sqlite", "mysql"],
        "app" => below_app(&["import"]),
        "monitor" => below_app(&["app"]),
        "web" => below_app(&["app", "monitor"]),
        "corkboard" => below_app(&["app", "monitor", "web", "import"]),
        _ => return None,
    })
}

/// Outside libraries that only these crates may use, and why.
const OWNED: [(&[&str], &[&str], &str); 9] = [
    (&["axum", "tower-http", "askama", "hyper-util"], &["web", "corkboard"], "only web knows HTTP and pages"),
    (&["rusqlite"], &["sqlite", "storage", "jobs", "events"], "only engines know SQL"),
    (&["mysql_async"], &["mysql"], "one crate knows the driver"),
    (&["redis"], &["feeds"], "only the feeds' engine knows the client"),
    (&["tantivy"], &["search"], "only search's engine knows the index"),
    (&["reqwest"], &["media"], "every foreign URL goes through media's safe fetcher"),
    (&["object_store"], &["corkboard"], "storage knows places for backups by its own trait"),
    (&["lettre"], &["app"], "mail is a job of app"),
    (&["clap", "toml", "indicatif"], &["corkboard", "xtask"], "only the binary reads the command line and the config"),
];
/// `model` and `import` are pure: no runtime, no tasks.
const WITHOUT_RUNTIME: [&str; 2] = ["model", "import"];
const TABLES: [&str; 3] = ["dependencies", "build-dependencies", "dev-dependencies"];

/// Checks the manifest of every crate.
pub fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let Ok(entries) = std::fs::read_dir(root.join("crates")) else { return Ok(findings) };
    let mut manifests = Vec::new();
    for entry in entries {
        let path = Path::new("crates").join(entry?.file_name()).join("Cargo.toml");
        if root.join(&path).is_file() {
            manifests.push(path);
        }
    }
    let crates: Vec<String> = manifests.iter().map(|path| crate_of(path)).collect();
    for path in &manifests {
        let text = std::fs::read_to_string(root.join(path)).with_context(|| format!("reading {}", path.display()))?;
        let table: toml::Table = text.parse().with_context(|| format!("{} is not TOML", path.display()))?;
        check_manifest(path, &text, &table, &crates, &mut findings);
        let folder = path.parent().unwrap_or(path);
        unused(path, &text, &table, &text_files(root, folder)?, &mut findings);
    }
    Ok(findings)
}

/// What a comment right above a dependency begins with that is there for its features alone.
const EXCUSE: &str = "# Not called here:";

fn is_excused(manifest: &str, dependency: &str) -> bool {
    let lines: Vec<&str> = manifest.lines().collect();
    let names = |line: &str| line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
    lines.windows(2).any(|pair| pair[0].starts_with(EXCUSE) && names(pair[1]))
}

/// Names dependencies that no file of the crate mentions: they cost build time for nothing.
fn unused(path: &Path, text: &str, table: &toml::Table, files: &[TextFile], findings: &mut Vec<Finding>) {
    let code: Vec<String> = files
        .iter()
        .filter(|file| file.path.extension().is_some_and(|extension| extension == "rs"))
        .map(|file| code_of(&file.text))
        .collect();
    for kind in TABLES {
        for dependency in table.get(kind).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys) {
            let name = dependency.replace('-', "_");
            // Some packages name their library shorter: kamadak-exif is `exif`.
            let short = dependency.rsplit('-').next().unwrap_or(dependency);
            let is_used = code.iter().any(|code| [name.as_str(), short].iter().any(|word| has_name(code, word)));
            if !is_used && !code.is_empty() && !is_excused(text, dependency) {
                let what = format!("`{dependency}` is not used");
                findings.push(Finding::warning(path, line_of(text, kind, dependency), what, "Take it out, it costs build time"));
            }
        }
    }
}

fn code_of(source: &str) -> String {
    mask::lines(source).into_iter().map(|line| line.code + "\n").collect()
}

/// Tells whether the whole word stands somewhere in the code.
fn has_name(code: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name)
        .any(|(at, _)| !code[..at].chars().next_back().is_some_and(is_part) && !code[at + name.len()..].chars().next().is_some_and(is_part))
}

fn crate_of(manifest: &Path) -> String {
    manifest.parent().and_then(Path::file_name).map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn check_manifest(path: &Path, text: &str, table: &toml::Table, crates: &[String], findings: &mut Vec<Finding>) {
    let name = crate_of(path);
    let Some(allowed) = allowed(&name) else {
        let advice = "Say in crates/xtask/src/tidy/dependencies.rs and ARCHITECTURE.md what it may use";
        findings.push(Finding::error(path, 1, format!("the crate `{name}` has no place in the house"), advice));
        return;
    };
    for kind in TABLES {
        let Some(used) = table.get(kind).and_then(toml::Value::as_table) else { continue };
        let is_dev = kind == "dev-dependencies";
        for (dependency, value) in used {
            let line = line_of(text, kind, dependency);
            let mut report = |what: String, advice: String| findings.push(Finding::error(path, line, what, advice));
            let is_ours = crates.iter().any(|other| other == dependency);
            if is_ours && dependency == "testkit" {
                if !is_dev && name != "xtask" {
                    report(format!("`{name}` ships with `testkit`"), "Move it to [dev-dependencies]".into());
                }
            } else if is_ours && !allowed.contains(&dependency.as_str()) {
                let known = if allowed.is_empty() { "nothing of this workspace".to_owned() } else { allowed.join(", ") };
                report(format!("`{name}` uses `{dependency}`"), format!("It may use {known}; let the caller bring the two together"));
            }
            let owned =
                OWNED.iter().find(|(libraries, owners, _)| libraries.contains(&dependency.as_str()) && !owners.contains(&name.as_str()));
            if !is_dev && let Some((_, owners, why)) = owned {
                report(format!("`{name}` uses `{dependency}`, but {why}"), format!("Go through {}", owners.join(" or ")));
            }
            if !is_dev && dependency == "tokio" && WITHOUT_RUNTIME.contains(&name.as_str()) {
                report(format!("`{name}` uses `tokio`, but it is pure"), "Move what waits or does I/O to another crate".into());
            }
            let is_shared = value.get("workspace").is_some_and(|value| value.as_bool() == Some(true));
            if !is_shared {
                let advice = "Put it into [workspace.dependencies] with a comment and write `.workspace = true` here";
                report(format!("`{dependency}` has a version of its own"), advice.into());
            }
        }
    }
}

/// Finds the line of a dependency in its table, for the finding; the first line when it is written in another way.
fn line_of(text: &str, table: &str, dependency: &str) -> usize {
    let mut is_inside = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            is_inside = line == format!("[{table}]");
        }
        let rest = line.strip_prefix(dependency);
        if is_inside && rest.is_some_and(|rest| rest.starts_with(['.', ' ', '='])) {
            return index + 1;
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use crate::tidy::tests::findings_of;

    /// Gives `line: what` of the findings for `name` among crates of all names used here.
    fn found(name: &str, manifest: &str) -> Vec<String> {
        let path = format!("crates/{name}/Cargo.toml");
        let mut files = vec![(path.as_str(), manifest)];
        for other in ["crates/model/Cargo.toml", "crates/app/Cargo.toml", "crates/storage/Cargo.toml", "crates/testkit/Cargo.toml"] {
            if other != path {
                files.push((other, "[package]\n"));
            }
        }
        let prefix = format!("{path}:");
        findings_of(&files).iter().map(|line| line.strip_prefix(&prefix).unwrap_or(line).replace("error: ", "")).collect()
    }

    #[test]
    fn services_do_not_know_each_other() {
        let text = "[dependencies]\nmodel.workspace = true\nstorage.workspace = true\n[dev-dependencies]\ntestkit.workspace = true\n";
        let advice = "It may use model, runtime; let the caller bring the two together.";
        assert_eq!(found("cache", text), [format!("3: `cache` uses `storage`. {advice}")]);
        let dev = "[dev-dependencies]\nstorage.workspace = true\n";
        assert_eq!(found("cache", dev), [format!("2: `cache` uses `storage`. {advice}")]);
    }

    #[test]
    fn nothing_points_upwards() {
        assert!(found("model", "[dependencies]\napp.workspace = true\n")[0].contains("`model` uses `app`. It may use nothing"));
        assert!(found("app", "[dependencies]\nmodel.workspace = true\nstorage.workspace = true\n").is_empty());
        assert!(found("storage", "[dependencies]\ntestkit.workspace = true\n")[0].contains("ships with `testkit`"));
    }

    #[test]
    fn libraries_belong_somewhere() {
        assert!(found("app", "[dependencies]\naxum.workspace = true\n")[0].contains("only web knows HTTP"));
        assert!(found("model", "[dependencies]\ntokio.workspace = true\n")[0].contains("it is pure"));
        assert!(found("app", "[dependencies]\nserde = \"1\"\n")[0].contains("`serde` has a version of its own"));
        assert!(found("app", "[dev-dependencies]\naxum.workspace = true\n").is_empty());
    }

    #[test]
    fn what_is_not_used_costs_time() {
        let manifest = "[dependencies]\nserde.workspace = true\nkamadak-exif.workspace = true\nurl.workspace = true\n";
        let source = "//! It.\n\nuse exif::Tag;\n\n// url\n#[derive(serde::Serialize)]\nstruct CurlUrl;\n";
        let found = findings_of(&[("crates/media/Cargo.toml", manifest), ("crates/media/src/lib.rs", source)]);
        assert_eq!(found, ["crates/media/Cargo.toml:4: warning: `url` is not used. Take it out, it costs build time."]);
        let excused = manifest.replace("url.", "# Not called here: for its features.\nurl.");
        assert!(findings_of(&[("crates/media/Cargo.toml", &excused), ("crates/media/src/lib.rs", source)]).is_empty());
    }

    #[test]
    fn a_new_crate_needs_a_place() {
        assert!(found("attic", "[package]\n")[0].contains("`attic` has no place in the house"));
    }
}
