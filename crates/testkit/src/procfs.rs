//! CPU time, resident memory and threads of a process, from `/proc`. Linux only, like the benches.

use std::time::Duration;

use anyhow::Context as _;

/// `USER_HZ` of every Linux: how many ticks of `/proc/PID/stat` make a second.
const TICKS_PER_SECOND: u64 = 100;

/// What a process and the children that it waited for have used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTime {
    pub own: Duration,
    pub children: Duration,
}

/// Reads user plus system time; `pid` may be `"self"`.
pub fn cpu_time(pid: &str) -> anyhow::Result<CpuTime> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    parse_stat(&stat).with_context(|| format!("{path} is not as proc(5) says: {stat}"))
}

fn parse_stat(stat: &str) -> Option<CpuTime> {
    // The command's name in parentheses may hold spaces and parentheses. After it, utime is the 12th field.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let duration = |ticks: u64| Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND);
    Some(CpuTime { own: duration(ticks(11)? + ticks(12)?), children: duration(ticks(13)? + ticks(14)?) })
}

/// Gives the letters of proc(5) for what each thread of a process does just now: `R` runs, `S` sleeps, `T` is stopped, …
pub fn thread_states(pid: u32) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/task");
    let mut states = String::new();
    for entry in std::fs::read_dir(&path).with_context(|| format!("reading {path}"))? {
        // A thread may end between the two looks.
        let Ok(stat) = std::fs::read_to_string(entry?.path().join("stat")) else { continue };
        states.extend(parse_state(&stat));
    }
    Ok(states)
}

fn parse_state(stat: &str) -> Option<char> {
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Reads the resident set in bytes.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.with_context(|| format!("{path} has no VmRSS"))? * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_line_with_a_nasty_name() {
        let line = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 200 0 0 150 50 300 100 20 0 1 0 5000";
        let expected = CpuTime { own: Duration::from_secs(2), children: Duration::from_secs(4) };
        assert_eq!(parse_stat(line), Some(expected));
        assert_eq!(parse_stat("42 (a) S 1"), None);
        assert_eq!(parse_state(line), Some('S'));
    }

    #[test]
    fn this_process_has_memory() {
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
        assert!(cpu_time("self").is_ok());
        assert!(thread_states(std::process::id()).unwrap().contains('R'), "the thread that asks runs");
    }
}
