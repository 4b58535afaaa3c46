//! The data folder that every private server starts from a copy of. Making one takes half a second, copying it some milliseconds.
//!
//! ```text
//! target/mariadb-template-HASH.lock    whoever makes the template holds it
//! target/mariadb-template-HASH/        complete once it has this name; HASH is of the program, its user and the users below
//! ```

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use super::{options::FAST_LOG_MIB, software::Software};
use crate::{
    private::{Folder, tail},
    program,
};

/// Who may do what. The site's own user can't write to a server that is read-only, and creates nothing but its own databases; it may see
/// how replication is. Operations have every right. Nobody is anonymous.
const USERS: &str = "\
FLUSH PRIVILEGES;
DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');
DELETE FROM mysql.proxies_priv;
DROP DATABASE IF EXISTS test;
FLUSH PRIVILEGES;
CREATE USER root@127.0.0.1 IDENTIFIED BY 'operations';
GRANT ALL PRIVILEGES ON *.* TO root@127.0.0.1 WITH GRANT OPTION;
CREATE USER corkboard@127.0.0.1 IDENTIFIED BY 'corkboard';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, TRIGGER ON `corkboard%`.* TO corkboard@127.0.0.1;
GRANT BINLOG MONITOR, SLAVE MONITOR ON *.* TO corkboard@127.0.0.1;
CREATE USER repl@127.0.0.1 IDENTIFIED BY 'repl';
GRANT REPLICATION SLAVE ON *.* TO repl@127.0.0.1;
";

/// Gives the template's path; makes it when it is not there.
pub(super) fn provide(software: &Software) -> anyhow::Result<PathBuf> {
    let parent = program::target_folder().unwrap_or_else(std::env::temp_dir);
    let name = format!("mariadb-template-{:016x}", recipe(software)?);
    let path = parent.join(&name);
    if path.is_dir() {
        return Ok(path);
    }
    let lock_path = parent.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).with_context(|| format!("creating {}", lock_path.display()))?;
    lock.lock().with_context(|| format!("locking {}", lock_path.display()))?;
    if path.is_dir() {
        return Ok(path);
    }
    let made = make(software)?;
    // The copy is complete before it gets the name by which others take it.
    let staged = tempfile::Builder::new().prefix("mariadb-template-new-").tempdir_in(&parent)?;
    copy(&made.path().join("data"), &staged.path().join("data"))?;
    fs::rename(staged.path().join("data"), &path).with_context(|| format!("naming {}", path.display()))?;
    Ok(path)
}

/// Copies a data folder with the owners of its files.
pub(super) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).stdin(Stdio::null()).status().context("running cp")?;
    ensure!(status.success(), "copying {} to {}: {status}", from.display(), to.display());
    Ok(())
}

/// Another program, another user or other rights need another template.
fn recipe(software: &Software) -> anyhow::Result<u64> {
    let program = fs::metadata(&software.server).with_context(|| format!("looking at {}", software.server.display()))?;
    let mut hasher = DefaultHasher::new();
    (&software.server, program.len(), program.modified()?).hash(&mut hasher);
    (USERS, FAST_LOG_MIB, software.uid).hash(&mut hasher);
    Ok(hasher.finish())
}

fn make(software: &Software) -> anyhow::Result<Folder> {
    let folder = Folder::create("mariadb", software.account, false)?;
    let users = folder.path().join("users.sql");
    fs::write(&users, USERS)?;
    let log_path = folder.path().join("install.log");
    let log = File::create(&log_path)?;
    let mut install = Command::new(&software.install);
    install
        .arg("--no-defaults")
        .args(software.user_argument())
        .arg(format!("--datadir={}", folder.path().join("data").display()))
        .arg(format!("--extra-file={}", users.display()))
        .arg(format!("--innodb-log-file-size={FAST_LOG_MIB}M"))
        // Root needs no password on this machine's socket, which lies in a private folder.
        .args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let status = install.status().with_context(|| format!("running {}", software.install.display()))?;
    ensure!(status.success(), "{}: {status}\n{}", software.install.display(), tail(&log_path));
    Ok(folder)
}
