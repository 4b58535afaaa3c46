//! Statements through MariaDB's own command-line client, so that this crate needs no driver. For tests: a process per call.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Seek as _},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};

use super::software;
use crate::wait_for;

/// Somebody whom every private server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    pub user: &'static str,
    pub password: &'static str,
}

/// The site: all rights on tables of databases `corkboard…`, may see how replication is, can't write to a server that is read-only.
pub const SITE: Login = Login { user: "corkboard", password: "corkboard" };
/// Whoever moves shards and fails over: every right.
pub const OPERATIONS: Login = Login { user: "root", password: "operations" };
/// Replicas, at their primary.
pub const REPLICATION: Login = Login { user: "repl", password: "repl" };

/// Writes the part of a site's configuration that is about its storage, with what it takes to come to private servers.
pub fn storage_config(url: Option<&str>) -> String {
    let url = url.map(|url| format!("url = \"{url}\"\n")).unwrap_or_default();
    format!(
        "[storage]\n{url}user = \"{}\"\npassword = \"{}\"\nadmin_user = \"{}\"\nadmin_password = \"{}\"\n",
        SITE.user, SITE.password, OPERATIONS.user, OPERATIONS.password
    )
}

/// A server that is frozen or cut off lets a statement hang; the test then fails after this instead of with the runner.
const STATEMENT_LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT_SECONDS: u32 = 10;

/// A way to a server. Every call is a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    arguments: Vec<String>,
}

impl Client {
    /// The administrator of a server on this machine, who needs no password.
    pub fn over_socket(socket: &Path) -> Client {
        Client { arguments: vec!["--protocol=socket".into(), format!("--socket={}", socket.display()), "--user=root".into()] }
    }

    /// Somebody over the network, straight or through a [`crate::Proxy`].
    pub fn over_tcp(address: SocketAddr, login: Login) -> Client {
        let (host, port) = (address.ip(), address.port());
        let way = ["--protocol=tcp".to_owned(), format!("--host={host}"), format!("--port={port}")];
        let who = [format!("--user={}", login.user), format!("--password={}", login.password)];
        Client { arguments: way.into_iter().chain(who).collect() }
    }

    /// Runs statements up to the first that fails; gives the rows of all of them. NULL comes as the text `NULL`.
    ///
    /// # Errors
    /// What the server said: `ERROR 1290 (HY000) at line 1: …`.
    pub fn sql(&self, statements: &str) -> anyhow::Result<Vec<Vec<String>>> {
        Ok(rows(&self.run(statements, "--skip-column-names")?))
    }

    /// Gives the only value that a statement has.
    pub fn value(&self, statement: &str) -> anyhow::Result<String> {
        let mut found = self.sql(statement)?.concat();
        match (found.pop(), found.is_empty()) {
            (Some(value), true) => Ok(value),
            (last, _) => bail!("{statement} gives {} values instead of one", found.len() + usize::from(last.is_some())),
        }
    }

    /// Gives the first row by names of columns; empty when there is none. For `SHOW SLAVE STATUS`.
    pub fn row(&self, statement: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let mut lines = rows(&self.run(statement, "--column-names")?).into_iter();
        let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return Ok(BTreeMap::new()) };
        Ok(names.into_iter().zip(values).collect())
    }

    fn run(&self, statements: &str, form: &str) -> anyhow::Result<String> {
        // Files instead of pipes: a client that hangs is ended without anybody left reading.
        let [mut output, mut errors] = [tempfile::tempfile()?, tempfile::tempfile()?];
        let mut command = Command::new(software::path_of("mariadb")?);
        command
            .args(["--no-defaults", "--batch", "--default-character-set=utf8mb4", form])
            .arg(format!("--connect-timeout={CONNECT_LIMIT_SECONDS}"))
            .args(&self.arguments)
            .arg(format!("--execute={statements}"))
            .env_remove("MYSQL_PWD")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(errors.try_clone()?);
        let mut child = command.spawn().context("starting the program mariadb")?;
        let ended = wait_for("the answer to a statement", STATEMENT_LIMIT, || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("none yet".into()),
            Err(error) => Err(error.to_string()),
        });
        if ended.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let status = ended.with_context(|| statements.to_owned())?;
        ensure!(status.success(), "{}; in: {statements}", contents(&mut errors)?.trim());
        contents(&mut output)
    }
}

fn contents(file: &mut File) -> anyhow::Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text).context("the client's output is not UTF-8")?;
    Ok(text)
}

/// Reads what `--batch` prints: a line per row, tabs between values, special characters escaped with a backslash.
fn rows(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|line| line.split('\t').map(unescaped).collect()).collect()
}

fn unescaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('t')) => out.push('\t'),
            ('\\', Some('0')) => out.push('\0'),
            ('\\', Some(other)) => out.push(other),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rows_with_special_characters() {
        assert_eq!(rows("1\ta\\tb\\nc\\\\d\n2\t\n"), [["1", "a\tb\nc\\d"], ["2", ""]]);
        assert!(rows("").is_empty());
    }
}
