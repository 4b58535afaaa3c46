//! Finds programs of the machine.

use std::path::{Path, PathBuf};

/// Where servers are installed. Ordinary people don't have these on their PATH.
const SERVER_FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/libexec"];

/// Finds a program on the PATH, or where servers are installed.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SERVER_FOLDERS.iter().map(PathBuf::from));
    first_in(folders, name)
}

fn first_in(folders: impl Iterator<Item = PathBuf>, name: &str) -> Option<PathBuf> {
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Finds cargo's target folder, in which the running program lies; cargo marks it with a file.
pub fn target_folder() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    own.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_that_has_it_wins() {
        let [first, second] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let folders = || [first.path().to_owned(), second.path().to_owned()].into_iter();
        assert_eq!(first_in(folders(), "served"), None);
        std::fs::write(second.path().join("served"), "").unwrap();
        assert_eq!(first_in(folders(), "served"), Some(second.path().join("served")));
        std::fs::write(first.path().join("served"), "").unwrap();
        assert_eq!(first_in(folders(), "served"), Some(first.path().join("served")));
    }

    #[test]
    fn the_shell_is_there_and_nonsense_is_not() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program"), None);
    }
}
