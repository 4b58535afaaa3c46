//! As whom a server runs, when the tests run as root.

use std::{os::unix::fs::MetadataExt as _, path::Path, process::Command};

use anyhow::Context as _;

use crate::program;

/// Whom to become.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub uid: u32,
    pub gid: u32,
}

/// The user that runs this: the owner of its own process folder.
pub(crate) fn own_uid() -> anyhow::Result<u32> {
    Ok(std::fs::metadata("/proc/self").context("reading /proc/self")?.uid())
}

/// Prepares a command line of a server that becomes another user and dies with its parent where that is possible. `user_argument` is how
/// the server itself is told to change its user where it is not.
pub(crate) fn server_command(server: &Path, account: Option<Account>, user_argument: &[&str]) -> Command {
    let Some(setpriv) = program::find("setpriv") else {
        let mut command = Command::new(server);
        command.args(account.iter().flat_map(|_| user_argument));
        return command;
    };
    // The kernel forgets whose death to follow when a process changes its user. So setpriv does both, in the right order, and the server
    // needs not change any more.
    let mut command = Command::new(setpriv);
    if let Some(Account { uid, gid }) = account {
        command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]);
    }
    command.args(["--pdeathsig", "KILL", "--"]).arg(server);
    command
}

impl Account {
    /// Gives the account of a user whom a server's package makes, when this is root; everybody else stays who they are.
    pub fn for_server(user: &str) -> anyhow::Result<Option<Account>> {
        if own_uid()? != 0 {
            return Ok(None);
        }
        let users = std::fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
        let account = Account::among(&users, user);
        account.map(Some).with_context(|| format!("there is no user {user} in /etc/passwd, and the server does not run as root"))
    }

    /// Reads `name:password:uid:gid:…`.
    fn among(users: &str, name: &str) -> Option<Account> {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields.first() == Some(&name)).then_some(())?;
            Some(Account { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
        })
    }

    /// Gives a file or folder to this user.
    pub fn own(self, path: &Path) -> anyhow::Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).with_context(|| format!("giving {} to its user", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_list_of_users() {
        let users = "root:x:0:0:root:/root:/bin/sh\nmysqlx:x:1:2::/:\nmysql:x:102:104:MySQL Server,,,:/nonexistent:/bin/false\n";
        let account = Account::among(users, "mysql").unwrap();
        assert_eq!((account.uid, account.gid), (102, 104));
        assert!(Account::among(users, "nobody").is_none());
        assert!(Account::among("mysql:x:many:104:", "mysql").is_none());
    }
}
