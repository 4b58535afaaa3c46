//! `cargo xtask times`: CPU minutes of a clean release build, per crate.
//!
//! ```text
//! cargo build --release ──▶ this program as RUSTC_WRAPPER ──▶ rustc     user + system time of each run goes into a log
//!                └─▶ build scripts ──▶ this program as `cc` ──▶ the C compiler
//! ```
//! The kernel adds up the time of children that were waited for, so each run of this program measures its one child. The
//! total is measured in the same way over the whole of cargo; what no child accounts for is cargo and the build scripts.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use testkit::{Figure, figure, procfs};

use crate::command;

#[derive(clap::Args)]
pub struct Arguments {
    /// Print one JSON object per figure.
    #[arg(long)]
    json: bool,
}

/// What a clean release build may cost.
const GOAL_MINUTES: f64 = 15.0;
/// Crates below this are added up in one row.
const SHOWN_SECONDS: f64 = 2.0;
const LOG_VARIABLE: &str = "CORKBOARD_TIMES_LOG";
/// The folder with this program under the compilers' names, at the head of the PATH.
const SHIMS_VARIABLE: &str = "CORKBOARD_TIMES_SHIMS";
/// Set for what rustc starts: its linker is part of rustc's time.
const INSIDE_VARIABLE: &str = "CORKBOARD_TIMES_INSIDE";
const C_COMPILERS: [&str; 4] = ["cc", "c++", "gcc", "g++"];

/// Stands in for a compiler when cargo or a build script calls this program as one: runs it, logs its time, and gives its
/// exit status. `None` when this is an ordinary call.
pub fn as_compiler() -> Option<anyhow::Result<i32>> {
    let log = PathBuf::from(std::env::var_os(LOG_VARIABLE)?);
    let mut arguments = std::env::args_os();
    let own = arguments.next()?;
    let own_name = Path::new(&own).file_name()?.to_string_lossy().into_owned();
    let arguments: Vec<OsString> = arguments.collect();
    if C_COMPILERS.contains(&own_name.as_str()) {
        return Some(compile(&log, "C", &real_compiler(&own_name), &arguments));
    }
    let (rustc, rest) = arguments.split_first()?;
    Some(compile(&log, "Rust", Path::new(rustc), rest))
}

fn compile(log: &Path, language: &str, compiler: &Path, arguments: &[OsString]) -> anyhow::Result<i32> {
    let mut command = Command::new(compiler);
    command.args(arguments).env(INSIDE_VARIABLE, "1");
    let status = command.status().with_context(|| format!("running {}", compiler.display()))?;
    if std::env::var_os(INSIDE_VARIABLE).is_none() {
        let package = std::env::var("CARGO_PKG_NAME").unwrap_or_else(|_| "(asking the compiler)".into());
        let millis = procfs::cpu_time("self")?.children.as_millis();
        // One short write at the end of the file: other compilers write at the same time.
        let mut file = fs::File::options().create(true).append(true).open(log)?;
        file.write_all(format!("{package}\t{language}\t{millis}\n").as_bytes())?;
    }
    Ok(status.code().unwrap_or(1))
}

/// Finds the compiler that this program stands in front of.
fn real_compiler(name: &str) -> PathBuf {
    let shims = std::env::var_os(SHIMS_VARIABLE).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|folder| Some(folder) != shims.as_ref());
    folders.map(|folder| folder.join(name)).find(|program| program.is_file()).unwrap_or_else(|| PathBuf::from("/usr/bin").join(name))
}

/// Builds from clean in a folder of its own and prints what that cost.
pub fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let target = command::target_folder(root);
    fs::create_dir_all(&target)?;
    let folder = tempfile::Builder::new().prefix("times-").tempdir_in(&target)?;
    command::run(command::cargo(root).args(["fetch", "--locked"]))?;
    let log = folder.path().join("log");
    fs::write(&log, "")?;
    let shims = folder.path().join("shims");
    fs::create_dir(&shims)?;
    let own = std::env::current_exe()?;
    for name in C_COMPILERS.into_iter().filter(|name| command::is_on_path(name)) {
        symlink(&own, shims.join(name))?;
    }
    let old_path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(shims.clone()).chain(std::env::split_paths(&old_path)))?;
    let before = procfs::cpu_time("self")?.children;
    eprintln!("building from clean in {}", folder.path().display());
    let mut build = command::cargo(root);
    build
        .args(["build", "--release", "--locked", "--offline"])
        .env("CARGO_TARGET_DIR", folder.path().join("target"))
        .env("RUSTC_WRAPPER", &own)
        .env("PATH", path)
        .env(LOG_VARIABLE, &log)
        .env(SHIMS_VARIABLE, &shims);
    command::run(&mut build)?;
    let total = procfs::cpu_time("self")?.children - before;
    let costs = Costs::of(&fs::read_to_string(&log)?, total)?;
    if arguments.json {
        for figure in costs.figures() {
            println!("{}", figure.json());
        }
    } else {
        print!("{}", costs.table());
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cost {
    rust_seconds: f64,
    c_seconds: f64,
}

impl Cost {
    fn seconds(self) -> f64 {
        self.rust_seconds + self.c_seconds
    }
}

/// What each crate cost, the dearest first, and the whole.
struct Costs {
    crates: Vec<(String, Cost)>,
    total_seconds: f64,
}

impl Costs {
    /// Adds up a log of lines `package, language, milliseconds`.
    fn of(log: &str, total: Duration) -> anyhow::Result<Costs> {
        let mut sums: BTreeMap<&str, Cost> = BTreeMap::new();
        for line in log.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let &[package, language, millis] = &fields[..] else { anyhow::bail!("not a line of the log: {line:?}") };
            let seconds = millis.parse::<f64>().with_context(|| format!("not a line of the log: {line:?}"))? / 1_000.0;
            let cost = sums.entry(package).or_default();
            if language == "C" {
                cost.c_seconds += seconds;
            } else {
                cost.rust_seconds += seconds;
            }
        }
        let mut crates: Vec<(String, Cost)> = sums.into_iter().map(|(name, cost)| (name.to_owned(), cost)).collect();
        crates.sort_by(|a, b| b.1.seconds().total_cmp(&a.1.seconds()));
        Ok(Costs { crates, total_seconds: total.as_secs_f64() })
    }

    /// What cargo itself and the build scripts took beside the compilers that they called.
    fn rest_seconds(&self) -> f64 {
        let accounted: f64 = self.crates.iter().map(|(_, cost)| cost.seconds()).sum();
        (self.total_seconds - accounted).max(0.0)
    }

    fn total_figure(&self) -> Figure {
        Figure::new("times", "release_build", self.total_seconds / 60.0, "CPU-min").at_most(GOAL_MINUTES)
    }

    fn figures(&self) -> Vec<Figure> {
        let of_crate = |(name, cost): &(String, Cost)| Figure::new("times", name, cost.seconds() / 60.0, "CPU-min");
        let rest = Figure::new("times", "cargo and build scripts", self.rest_seconds() / 60.0, "CPU-min");
        self.crates.iter().map(of_crate).chain([rest, self.total_figure()]).collect()
    }

    fn table(&self) -> String {
        let row = |name: &str, cost: Cost, seconds: f64| {
            let parts = [cost.rust_seconds, cost.c_seconds, seconds / 60.0];
            let mut row = vec![name.to_owned()];
            row.extend([format!("{:.1}", parts[0]), format!("{:.1}", parts[1]), format!("{:.2}", parts[2])]);
            row
        };
        let mut rows = vec![["crate", "Rust s", "C s", "CPU-min"].map(str::to_owned).to_vec()];
        let (shown, small): (Vec<_>, Vec<_>) = self.crates.iter().partition(|(_, cost)| cost.seconds() >= SHOWN_SECONDS);
        rows.extend(shown.iter().map(|(name, cost)| row(name, *cost, cost.seconds())));
        let small_seconds: f64 = small.iter().map(|(_, cost)| cost.seconds()).sum();
        let small_cost = small.iter().fold(Cost::default(), |sum, (_, cost)| Cost {
            rust_seconds: sum.rust_seconds + cost.rust_seconds,
            c_seconds: sum.c_seconds + cost.c_seconds,
        });
        rows.push(row(&format!("{} crates under {SHOWN_SECONDS} s each", small.len()), small_cost, small_seconds));
        rows.push(row("cargo and build scripts", Cost::default(), self.rest_seconds()));
        let total = self.total_figure();
        let verdict = if total.meets == Some(true) { "within" } else { "OVER" };
        let sum = format!("\ntotal {:.2} CPU-minutes, {verdict} the goal of {GOAL_MINUTES}\n", self.total_seconds / 60.0);
        figure::aligned(&rows, &[1, 2, 3]) + &sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "serde\tRust\t60000\nring\tRust\t3000\nring\tC\t6000\nserde\tRust\t30000\ntiny\tRust\t500\n";

    #[test]
    fn a_log_is_added_up() {
        let costs = Costs::of(LOG, Duration::from_secs(120)).unwrap();
        assert_eq!(costs.crates[0], ("serde".into(), Cost { rust_seconds: 90.0, c_seconds: 0.0 }));
        assert_eq!(costs.crates[1], ("ring".into(), Cost { rust_seconds: 3.0, c_seconds: 6.0 }));
        assert!((costs.rest_seconds() - 20.5).abs() < 1e-9);
        assert_eq!(costs.figures().last().unwrap().meets, Some(true));
        let expected = "crate                    Rust s  C s  CPU-min\n\
                        serde                      90.0  0.0     1.50\n\
                        ring                        3.0  6.0     0.15\n\
                        1 crates under 2 s each     0.5  0.0     0.01\n\
                        cargo and build scripts     0.0  0.0     0.34\n\
                        \ntotal 2.00 CPU-minutes, within the goal of 15\n";
        assert_eq!(costs.table(), expected);
        assert!(Costs::of("half a line", Duration::ZERO).is_err());
    }

    #[test]
    fn a_build_over_the_goal_is_said_so() {
        assert!(Costs::of(LOG, Duration::from_secs(901)).unwrap().table().ends_with("OVER the goal of 15\n"));
    }
}
