//! `cargo xtask test`: every test there is, in sections, with one table and one line at the end.
//!
//! ```text
//! pure       unit tests of every crate                          nextest, else cargo test
//! contract   what every engine must do (tests named contract)   nextest, else cargo test
//! product    integration tests                                  nextest, else cargo test
//! bench      the small input of every bench, unoptimised        cargo test --bench
//! browser    a click-through in a real browser                  node, tests/browser
//! live       real data goes in whole (tests named live_…)       nextest, else cargo test
//! crash      kill -9 during writes (tests named crash_…)        nextest, else cargo test
//! chaos      a storage fleet, and feeds and cache, under kills   crates/storage/tests/chaos, crates/testkit/tests/chaos_feeds
//! ```
//! Pure, contract, product, live and crash run beside one MariaDB server, in which each test has a database of its own. Redis and
//! memcached start so fast that each test has servers of its own.
//!
//! What a section needs from outside is installed when that is possible. What can't be had is skipped with its reason, or
//! fails with `--require-live`. A test that skips itself says so through `testkit::skip`, and is counted here.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::ValueEnum;
use testkit::mariadb;

use crate::{
    chaos::{self, Chaos},
    command,
    install::{self, Need},
    summary::{self, Counts},
};

#[derive(clap::Args)]
pub struct Arguments {
    /// Fail where something would be skipped because it can't be had.
    #[arg(long)]
    require_live: bool,
    /// Run only these sections.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Section>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Section {
    Pure,
    Contract,
    Product,
    Bench,
    Browser,
    Live,
    Crash,
    Chaos,
}

/// (package, bench): each runs a small input when it is asked to with `--test`.
const BENCHES: [&str; 5] = ["thumbnails", "site", "storage", "cache", "feeds"];
const BROWSER_FOLDER: &str = "tests/browser";

impl Section {
    fn name(self) -> &'static str {
        match self {
            Section::Pure => "pure",
            Section::Contract => "contract",
            Section::Product => "product",
            Section::Bench => "bench",
            Section::Browser => "browser",
            Section::Live => "live",
            Section::Crash => "crash",
            Section::Chaos => "chaos",
        }
    }

    fn needs(self) -> &'static [Need] {
        match self {
            Section::Browser => &[install::CHROMIUM, install::NODE],
            Section::Live => &[install::OPENCLIPART],
            Section::Chaos => &[install::MARIADB, install::REDIS, install::MEMCACHED],
            _ => &[],
        }
    }

    /// What some of its tests want; they skip themselves without it.
    fn wants(self) -> &'static [Need] {
        match self {
            Section::Pure => &[install::OPENCLIPART, install::MARIADB, install::REDIS, install::MEMCACHED],
            Section::Bench => &[install::VIPS, install::MARIADB, install::REDIS, install::MEMCACHED],
            section if section.shares_a_server() => &[install::MARIADB, install::REDIS, install::MEMCACHED],
            _ => &[],
        }
    }

    /// Whether its tests share one MariaDB server, which runs as long as the section.
    fn shares_a_server(self) -> bool {
        matches!(self, Section::Pure | Section::Contract | Section::Product | Section::Live | Section::Crash)
    }

    /// The tests of this section in nextest's words.
    fn nextest_filter(self) -> &'static str {
        match self {
            Section::Contract => "test(/contract/) - kind(test)",
            Section::Product => "kind(test) - test(/^(crash|live)_/)",
            Section::Live => "kind(test) & test(/^live_/)",
            Section::Crash => "kind(test) & test(/^crash_/)",
            _ => "not kind(test) - test(/contract/)",
        }
    }

    /// The same tests in the words of `cargo test`.
    fn cargo_test_arguments(self) -> &'static [&'static str] {
        match self {
            Section::Contract => &["--lib", "--bins", "--", "contract"],
            Section::Product => &["--test", "*", "--", "--skip", "live_", "--skip", "crash_"],
            Section::Live => &["--test", "*", "--", "live_"],
            Section::Crash => &["--test", "*", "--", "crash_"],
            _ => &["--lib", "--bins", "--", "--skip", "contract"],
        }
    }
}

/// How a section went.
struct Outcome {
    section: Section,
    counts: Counts,
    /// Why something was skipped or could not run.
    notes: Vec<String>,
    took: Duration,
}

/// Everything that the sections share.
struct Run<'a> {
    root: &'a Path,
    require_live: bool,
    has_nextest: bool,
    /// Collects what tests say through `testkit::skip`.
    skips: PathBuf,
}

/// Runs the chosen sections. The line with the sum is the last that is printed.
pub fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let has_nextest = command::is_on_path("cargo-nextest");
    if !has_nextest {
        println!("cargo-nextest is not installed; using cargo test, which is slower and says less");
    }
    let run = Run { root, require_live: arguments.require_live, has_nextest, skips: folder.path().join("skips") };
    let is_wanted = |section: &Section| arguments.only.is_empty() || arguments.only.contains(section);
    let mut outcomes = Vec::new();
    for section in Section::value_variants().iter().copied().filter(is_wanted) {
        println!("\n━━━━ {} ━━━━", section.name());
        let started = Instant::now();
        let (mut counts, mut notes) = run.section(section);
        if run.require_live && counts.skipped > 0 {
            notes.push("nothing may be skipped with --require-live".into());
            counts.failed += std::mem::take(&mut counts.skipped);
        }
        outcomes.push(Outcome { section, counts, notes, took: started.elapsed() });
    }
    let total = report(&outcomes);
    Ok(if total.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Run<'_> {
    fn section(&self, section: Section) -> (Counts, Vec<String>) {
        let missing = |needs: &[Need]| needs.iter().filter_map(|need| need.provide().err()).collect::<Vec<String>>();
        let needed = missing(section.needs());
        if !needed.is_empty() {
            return (Counts { skipped: 1, ..Counts::default() }, needed);
        }
        let wanted = missing(section.wants());
        let ran = match section {
            Section::Bench => self.benches(),
            Section::Browser => self.browser(),
            Section::Chaos => self.chaos(),
            _ => self.rust(section),
        };
        let (mut counts, mut notes) = ran.unwrap_or_else(|error| failure(format!("{error:#}")));
        if section == Section::Bench {
            // A bench runs without its peer, but then it compares with nobody.
            counts.skipped += wanted.len() as u64;
        }
        notes.extend(wanted);
        let skips = std::fs::read_to_string(&self.skips).unwrap_or_default();
        let _ = std::fs::remove_file(&self.skips);
        for line in skips.lines() {
            // It ran and returned, so that the runner took it for a pass.
            counts.passed = counts.passed.saturating_sub(1);
            counts.skipped += 1;
            notes.push(line.to_owned());
        }
        (counts, notes)
    }

    fn cargo(&self) -> std::process::Command {
        let mut command = command::cargo(self.root);
        command.env("CORKBOARD_SKIPS", &self.skips);
        if self.require_live {
            command.env("CORKBOARD_REQUIRE_LIVE", "1");
        }
        command
    }

    /// Builds the binary that the sections from outside run. With the tests of the whole workspace, so that libraries keep the features
    /// that those ask for: else all of them are built a second time.
    fn binary(&self) -> anyhow::Result<PathBuf> {
        command::run(self.cargo().args(["build", "--workspace", "--bin", "corkboard", "--tests"]))?;
        Ok(command::target_folder(self.root).join("debug/corkboard"))
    }

    fn rust(&self, section: Section) -> anyhow::Result<(Counts, Vec<String>)> {
        let mut cargo = self.cargo();
        if matches!(section, Section::Product | Section::Live | Section::Crash) {
            cargo.env("CORKBOARD_BIN", self.binary()?);
        }
        // Without the server's programs the tests that want one skip themselves.
        let server = if section.shares_a_server() && mariadb::missing().is_none() {
            Some(mariadb::Server::start(mariadb::shared_options()).context("starting MariaDB for the tests of this section")?)
        } else {
            None
        };
        cargo.envs(server.as_ref().map(|server| (mariadb::SHARED_VARIABLE, server.address())));
        let counts_of = if self.has_nextest {
            cargo.args(["nextest", "run", "--workspace", "--no-fail-fast", "--no-tests=pass", "-E", section.nextest_filter()]);
            summary::of_nextest
        } else {
            cargo.args(["test", "--workspace", "--no-fail-fast"]).args(section.cargo_test_arguments());
            summary::of_cargo_test
        };
        let finished = command::run_and_keep(&mut cargo)?;
        Ok(judged(finished.status.success(), counts_of(&finished.lines)))
    }

    fn benches(&self) -> anyhow::Result<(Counts, Vec<String>)> {
        let binary = self.binary()?;
        let mut counts = Counts::default();
        let mut notes = Vec::new();
        for bench in BENCHES {
            let mut cargo = self.cargo();
            cargo.env("CORKBOARD_BIN", &binary).args(["test", "--workspace", "--bench", bench, "--", "--test"]);
            match command::run_and_keep(&mut cargo)? {
                finished if finished.status.success() => counts.passed += 1,
                finished => {
                    counts.failed += 1;
                    notes.push(format!("bench {bench}: {}", finished.status));
                }
            }
        }
        Ok((counts, notes))
    }

    /// Each seed counts as a test.
    fn chaos(&self) -> anyhow::Result<(Counts, Vec<String>)> {
        let binary = self.binary()?;
        let (mut counts, mut notes) = (Counts::default(), Vec::new());
        for what in Chaos::value_variants() {
            let finished = command::run_and_keep(chaos::for_tests(self.cargo(), *what).env("CORKBOARD_BIN", &binary))?;
            let (of_one, why) = judged(finished.status.success(), summary::of_chaos(&finished.lines));
            counts.add(of_one);
            notes.extend(why);
        }
        Ok((counts, notes))
    }

    fn browser(&self) -> anyhow::Result<(Counts, Vec<String>)> {
        let folder = self.root.join(BROWSER_FOLDER);
        let mut npm = std::process::Command::new("npm");
        command::run(npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder))?;
        let mut node = std::process::Command::new("node");
        node.args(["--test", "all.test.mjs"]).current_dir(&folder).env("CORKBOARD_BIN", self.binary()?);
        let finished = command::run_and_keep(&mut node)?;
        Ok(judged(finished.status.success(), summary::of_node(&finished.lines)))
    }
}

fn failure(note: String) -> (Counts, Vec<String>) {
    (Counts { failed: 1, ..Counts::default() }, vec![note])
}

/// Trusts neither the exit status nor the summary alone: a runner that failed has at least one failure.
fn judged(is_success: bool, counts: Option<Counts>) -> (Counts, Vec<String>) {
    match counts {
        Some(counts) if is_success || counts.failed > 0 => (counts, Vec::new()),
        Some(counts) => (Counts { failed: 1, ..counts }, vec!["the runner failed, though no test did".into()]),
        None if is_success => failure("the runner did not say how many tests it ran".into()),
        None => failure("the tests could not be built or run".into()),
    }
}

fn report(outcomes: &[Outcome]) -> Counts {
    let mut rows = vec![["section", "passed", "failed", "skipped", "seconds", ""].map(str::to_owned).to_vec()];
    let mut total = Counts::default();
    for outcome in outcomes {
        let Counts { passed, failed, skipped } = outcome.counts;
        total.add(outcome.counts);
        let numbers = [passed, failed, skipped, outcome.took.as_secs()].map(|number| number.to_string());
        let mut row = vec![outcome.section.name().to_owned()];
        row.extend(numbers);
        row.push(outcome.notes.first().cloned().unwrap_or_default());
        rows.push(row);
        for note in outcome.notes.iter().skip(1) {
            rows.push([vec![String::new(); 5], vec![note.clone()]].concat());
        }
    }
    println!("\n{}", testkit::figure::aligned(&rows, &[1, 2, 3, 4]));
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_runner_never_counts_as_a_pass() {
        let passed = Counts { passed: 3, ..Counts::default() };
        assert_eq!(judged(true, Some(passed)).0, passed);
        assert_eq!(judged(false, Some(passed)).0.failed, 1);
        assert_eq!(judged(false, Some(Counts { failed: 2, ..passed })).0.failed, 2);
        assert_eq!(judged(true, None).0.failed, 1);
        assert_eq!(judged(false, None).0.failed, 1);
    }

    #[test]
    fn every_section_of_rust_tests_has_its_own_filter() {
        let rust = [Section::Pure, Section::Contract, Section::Product, Section::Live, Section::Crash];
        let filters: std::collections::HashSet<&str> = rust.iter().map(|section| section.nextest_filter()).collect();
        assert_eq!(filters.len(), rust.len());
    }
}
