//! What the last lines of the test runners say.
//!
//! ```text
//! nextest        Summary [   2.634s] 22 tests run: 20 passed (1 slow), 1 failed, 1 timed out, 3 skipped
//! cargo test     test result: ok. 20 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out; …   (one per binary)
//! chaos          chaos: 20 passed, 0 failed
//! node --test    # pass 20 / # fail 1 / # cancelled 0 / # skipped 3        (or with ℹ instead of #)
//! ```

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
}

impl Counts {
    pub fn add(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Reads nextest's summary. Its "skipped" are those that the filter left to other sections, so they are not counted.
pub fn of_nextest(lines: &[String]) -> Option<Counts> {
    let line = lines.iter().rev().map(|line| line.trim()).find(|line| line.starts_with("Summary ["))?;
    let (_, parts) = line.split_once(" run: ")?;
    let mut counts = Counts::default();
    for part in parts.split(',') {
        let (number, word) = leading_number(part)?;
        match word {
            "passed" => counts.passed += number,
            "skipped" => {}
            // failed, timed out, exec failed, leaky …: nothing that is not a pass counts as one.
            _ => counts.failed += number,
        }
    }
    Some(counts)
}

/// Adds up the results of all binaries that `cargo test` ran.
pub fn of_cargo_test(lines: &[String]) -> Option<Counts> {
    let results: Vec<&str> = lines.iter().filter_map(|line| line.trim().strip_prefix("test result: ")).collect();
    if results.is_empty() {
        return None;
    }
    let mut counts = Counts::default();
    for result in results {
        let (_, parts) = result.split_once(". ")?;
        for part in parts.split(';') {
            match leading_number(part) {
                Some((number, "passed")) => counts.passed += number,
                Some((number, "failed")) => counts.failed += number,
                Some((number, "ignored")) => counts.skipped += number,
                _ => {}
            }
        }
    }
    Some(counts)
}

/// Reads how many seeds of a chaos run passed.
pub fn of_chaos(lines: &[String]) -> Option<Counts> {
    let line = lines.iter().rev().find_map(|line| line.trim().strip_prefix("chaos: "))?;
    let (passed, failed) = line.split_once(", ")?;
    match (leading_number(passed)?, leading_number(failed)?) {
        ((passed, "passed"), (failed, "failed")) => Some(Counts { passed, failed, skipped: 0 }),
        _ => None,
    }
}

/// Reads the summary of Node's own test runner.
pub fn of_node(lines: &[String]) -> Option<Counts> {
    let mut counts = Counts::default();
    let mut seen = false;
    for line in lines {
        let Some(rest) = line.trim().strip_prefix(['#', 'ℹ']) else { continue };
        let mut words = rest.split_whitespace();
        let (Some(word), Some(number), None) = (words.next(), words.next(), words.next()) else { continue };
        let Ok(number) = number.parse::<u64>() else { continue };
        match word {
            "pass" => counts.passed += number,
            "fail" | "cancelled" => counts.failed += number,
            "skipped" | "todo" => counts.skipped += number,
            _ => continue,
        }
        seen = true;
    }
    seen.then_some(counts)
}

/// Splits "20 passed (1 slow)" into 20 and "passed".
fn leading_number(part: &str) -> Option<(u64, &str)> {
    let (number, rest) = part.trim().split_once(' ')?;
    let word = rest.split(" (").next().unwrap_or(rest).trim();
    Some((number.parse().ok()?, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn nextest() {
        let text =
            "PASS x\n     Summary [   2.634s] 22 tests run: 20 passed (1 slow), 1 failed, 1 timed out, 3 skipped\nerror: test run failed";
        assert_eq!(of_nextest(&lines(text)), Some(Counts { passed: 20, failed: 2, skipped: 0 }));
        let single = "     Summary [   0.005s] 1 test run: 1 passed, 0 skipped";
        assert_eq!(of_nextest(&lines(single)), Some(Counts { passed: 1, failed: 0, skipped: 0 }));
        let aborted = "     Summary [   0.005s] 5/9 tests run: 4 passed, 1 failed, 0 skipped";
        assert_eq!(of_nextest(&lines(aborted)), Some(Counts { passed: 4, failed: 1, skipped: 0 }));
        assert_eq!(of_nextest(&lines("error: could not compile")), None);
    }

    #[test]
    fn cargo_test() {
        let text = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s\n\
                    test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(of_cargo_test(&lines(text)), Some(Counts { passed: 4, failed: 2, skipped: 1 }));
        assert_eq!(of_cargo_test(&lines("error")), None);
    }

    #[test]
    fn chaos() {
        let text = "seed 1: passed in 9.1 s; 800 batches were acknowledged\nchaos: 19 passed, 1 failed";
        assert_eq!(of_chaos(&lines(text)), Some(Counts { passed: 19, failed: 1, skipped: 0 }));
        assert_eq!(of_chaos(&lines("chaos: storage init: no")), None);
    }

    #[test]
    fn node() {
        let text = "# a comment 7\nℹ tests 5\nℹ pass 3\nℹ fail 1\nℹ cancelled 1\nℹ skipped 0";
        assert_eq!(of_node(&lines(text)), Some(Counts { passed: 3, failed: 2, skipped: 0 }));
        assert_eq!(of_node(&lines("# pass 4\n# fail 0\n# skipped 2")), Some(Counts { passed: 4, failed: 0, skipped: 2 }));
        assert_eq!(of_node(&lines("Error: Cannot find module")), None);
    }
}
