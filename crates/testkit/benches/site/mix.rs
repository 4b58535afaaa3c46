//! What the site asks of its servers for one request, on average: counted by the servers themselves, with samples of what was asked.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use testkit::mariadb;

use super::fleet::Fleet;

/// A deadline that never passes, in milliseconds of the server's own time: what was sampled is asked long after its own has.
const NEVER: &[u8] = b"9999999999999";
/// How long Redis and MariaDB write down what they are asked. It slows them, so it is not while anything is measured, and so short that what is
/// asked does not change: after five seconds of lag pins are not pushed to feeds but put where they belong.
const SAMPLE_TIME: Duration = Duration::from_secs(1);
/// The load has found its pace by then.
const SAMPLE_AFTER: Duration = Duration::from_millis(1_500);
/// Of a statement's shape, so much is looked at; and so many shapes are shown.
const SHAPE_CHARS: usize = 130;
const SHAPES_SHOWN: usize = 16;

/// Counts since the servers' start, by what is counted.
pub struct Counts(BTreeMap<String, f64>);

impl Counts {
    pub fn read(fleet: &Fleet) -> anyhow::Result<Counts> {
        let mut counts = BTreeMap::new();
        for line in fleet.redis.command(&["INFO", "stats"])?.lines() {
            if let Some((name, value)) = line.trim().split_once(':').filter(|(name, _)| name.starts_with("total_")) {
                counts.insert(format!("redis {name}"), value.parse().unwrap_or(0.0));
            }
        }
        for line in fleet.redis.command(&["INFO", "commandstats"])?.lines() {
            if let Some((name, rest)) = line.trim().strip_prefix("cmdstat_").and_then(|line| line.split_once(":calls=")) {
                counts.insert(format!("redis command {name}"), rest.split(',').next().unwrap_or("0").parse().unwrap_or(0.0));
            }
        }
        for row in fleet.database.sql("SHOW GLOBAL STATUS WHERE Variable_name LIKE 'Com_%' OR Variable_name LIKE 'Handler_%'")? {
            if let [name, value] = &row[..] {
                counts.insert(format!("mariadb {name}"), value.parse().unwrap_or(0.0));
            }
        }
        for node in &fleet.nodes {
            for (name, value) in stats(&node.address())? {
                *counts.entry(format!("memcached {name}")).or_default() += value;
            }
        }
        Ok(Counts(counts))
    }

    /// Gives what came on since `before`, per request.
    pub fn since(&self, before: &Counts, requests: f64) -> Counts {
        let of = |(name, value): (&String, &f64)| (name.clone(), (value - before.of(name)).max(0.0) / requests);
        Counts(self.0.iter().map(of).collect())
    }

    pub fn of(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// What matters, largest first.
    pub fn shown(&self) -> String {
        let mut rows: Vec<(&String, &f64)> = self.0.iter().filter(|(name, value)| **value >= 0.005 && !name.contains("bytes")).collect();
        rows.sort_by(|a, b| b.1.total_cmp(a.1));
        rows.iter().map(|(name, value)| format!("  {value:>8.2}  {name}")).collect::<Vec<_>>().join("\n")
    }
}

fn stats(address: &str) -> anyhow::Result<Vec<(String, f64)>> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"stats\r\n")?;
    let mut found = Vec::new();
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("STAT"), Some(name), Some(value)) => found.extend(value.parse().ok().map(|value| (name.to_owned(), value))),
            _ => break,
        }
    }
    Ok(found)
}

/// What servers were really asked, to be asked again.
pub struct Samples {
    /// Commands of Redis as it takes them.
    pub redis: Vec<Vec<u8>>,
    /// Of all that Redis counts, the part that was sent; the rest was called by scripts.
    pub sent_part: f64,
    /// Statements of MariaDB that read.
    pub selects: Vec<String>,
    /// Keys that memcached holds, by node.
    pub keys: Vec<Vec<String>>,
}

impl Samples {
    /// Takes samples; call it while the load runs.
    pub fn take(fleet: &Fleet) -> anyhow::Result<Samples> {
        std::thread::sleep(SAMPLE_AFTER);
        // One after the other: a MariaDB that writes everything down has fewer saves done, and Redis is asked for less.
        let (redis, called) = monitored(&fleet.redis.address())?;
        let sent_part = redis.len() as f64 / (redis.len() + called).max(1) as f64;
        let log = fleet.database.data().join("general.log");
        fleet.database.sql(&format!("SET GLOBAL general_log_file = '{}'; SET GLOBAL general_log = ON", log.display()))?;
        std::thread::sleep(SAMPLE_TIME);
        fleet.database.sql("SET GLOBAL general_log = OFF")?;
        let text = String::from_utf8_lossy(&std::fs::read(&log).context("MariaDB's log of statements")?).into_owned();
        let selects = text.lines().filter_map(|line| Some(&line[line.find("\tSELECT ").or_else(|| line.find("\tselect "))? + 1..]));
        // A statement over several lines is left out.
        let selects = selects.filter(|statement| !statement.contains('?')).map(str::to_owned).collect();
        let keys = fleet.nodes.iter().map(|node| held_keys(&node.address())).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Samples { redis, sent_part, selects, keys })
    }

    /// What reads there were, by their shape, with how many of each stand in the samples.
    pub fn shapes(&self) -> String {
        let mut shapes: BTreeMap<String, usize> = BTreeMap::new();
        for statement in &self.selects {
            let mut shape = String::new();
            for char in statement.chars().take(SHAPE_CHARS) {
                if !char.is_ascii_digit() {
                    shape.push(char);
                } else if !shape.ends_with('N') {
                    shape.push('N');
                }
            }
            *shapes.entry(shape.replace("N,N", "N").replace("N, N", "N")).or_default() += 1;
        }
        let mut rows: Vec<(String, usize)> = shapes.into_iter().collect();
        rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        rows.iter().take(SHAPES_SHOWN).map(|(shape, count)| format!("  {count:>6}  {shape}")).collect::<Vec<_>>().join("\n")
    }
}

/// Reads what Redis is asked, and counts what scripts ask.
fn monitored(address: &str) -> anyhow::Result<(Vec<Vec<u8>>, usize)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SAMPLE_TIME))?;
    stream.write_all(b"MONITOR\r\n")?;
    let started = Instant::now();
    let (mut commands, mut called) = (Vec::new(), 0);
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { break };
        if line.contains(" lua] ") {
            called += 1;
        } else {
            commands.extend(line.split_once("] ").and_then(|(_, words)| encoded(words)));
        }
        if started.elapsed() > SAMPLE_TIME {
            break;
        }
    }
    Ok((commands, called))
}

/// Makes a command out of a line of `MONITOR`: words in quotes, with escapes.
fn encoded(words: &str) -> Option<Vec<u8>> {
    let mut arguments: Vec<Vec<u8>> = Vec::new();
    let mut bytes = words.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'"' {
            continue;
        }
        let mut argument = Vec::new();
        loop {
            match bytes.next()? {
                b'"' => break,
                b'\\' => match bytes.next()? {
                    b'x' => {
                        let digits = [bytes.next()?, bytes.next()?];
                        argument.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                    }
                    b'n' => argument.push(b'\n'),
                    b'r' => argument.push(b'\r'),
                    b't' => argument.push(b'\t'),
                    b'a' => argument.push(7),
                    b'b' => argument.push(8),
                    other => argument.push(other),
                },
                other => argument.push(other),
            }
        }
        arguments.push(argument);
    }
    let first = arguments.first()?.to_ascii_uppercase();
    if [&b"MONITOR"[..], b"INFO", b"HELLO", b"CLIENT", b"PING"].contains(&&first[..]) {
        return None;
    }
    if first == b"EVALSHA" {
        // Behind the keys stands until when the script may run.
        let keys: usize = std::str::from_utf8(arguments.get(2)?).ok()?.parse().ok()?;
        *arguments.get_mut(3 + keys)? = NEVER.to_vec();
    }
    let mut command = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        command.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        command.extend_from_slice(&argument);
        command.extend_from_slice(b"\r\n");
    }
    Some(command)
}

fn held_keys(address: &str) -> anyhow::Result<Vec<String>> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"lru_crawler metadump all\r\n")?;
    let mut keys = Vec::new();
    for line in BufReader::new(stream).lines() {
        let line = line?;
        match line.strip_prefix("key=") {
            Some(rest) => keys.extend(rest.split(' ').next().map(|key| key.replace("%2F", "/").replace("%3A", ":"))),
            None => break,
        }
    }
    Ok(keys)
}

/// The administrator of the database, for who opens connections by itself.
pub fn administrator() -> mariadb::Login {
    mariadb::OPERATIONS
}
