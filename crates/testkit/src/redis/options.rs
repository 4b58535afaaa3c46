//! How a private server is to be, and the command line that makes it so.

use std::path::Path;

/// What is still there after the process has died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persistence {
    #[default]
    None,
    /// What was there at the last snapshot: after a `stop`, a `SAVE`, or an hour with a change.
    Snapshot,
    /// Everything that was acknowledged; what the power takes with it is up to a second's worth.
    Aof,
}

/// What a private server is for decides these; `..Options::default()` gives the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub persistence: Persistence,
    /// More of the command line, behind everything else, so that it wins: `["--maxmemory", "32mb"]`.
    pub arguments: Vec<String>,
}

impl Options {
    /// The whole command line but for the program: nothing comes from the machine's own configuration.
    pub(super) fn arguments(&self, folder: &Path, port: u16, bus: Option<u16>) -> Vec<String> {
        let (save, append_only) = match self.persistence {
            Persistence::None => ("", "no"),
            Persistence::Snapshot => ("3600 1", "no"),
            Persistence::Aof => ("", "yes"),
        };
        let (port, folder) = (port.to_string(), folder.display().to_string());
        let mut arguments = vec!["--port", &port, "--bind", "127.0.0.1", "--dir", &folder, "--save", save, "--appendonly", append_only];
        // Several servers share few cores and no disk: no threads for what a test never has, and no syncs that a test can't see.
        arguments.extend(["--appendfsync", "everysec", "--daemonize", "no", "--io-threads", "1"]);
        let bus = bus.map(|bus| bus.to_string());
        if let Some(bus) = &bus {
            arguments.extend(["--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-config-file", "nodes.conf"]);
            // Milliseconds after which a silent member is taken for dead.
            arguments.extend(["--cluster-node-timeout", "2000"]);
        }
        arguments.into_iter().map(str::to_owned).chain(self.arguments.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(options: &Options, bus: Option<u16>, words: [&str; 2]) -> bool {
        options.arguments(Path::new("/f"), 4_000, bus).windows(2).any(|pair| pair == words)
    }

    #[test]
    fn options_become_arguments() {
        let none = Options::default();
        for words in [["--port", "4000"], ["--dir", "/f"], ["--save", ""], ["--appendonly", "no"]] {
            assert!(has(&none, None, words), "{words:?}");
        }
        assert!(!none.arguments(Path::new("/f"), 4_000, None).iter().any(|word| word.starts_with("--cluster")));
        assert!(has(&none, Some(4_001), ["--cluster-port", "4001"]));
        let aof = Options { persistence: Persistence::Aof, arguments: vec!["--maxmemory".into(), "32mb".into()] };
        assert!(has(&aof, None, ["--appendonly", "yes"]) && has(&aof, None, ["--maxmemory", "32mb"]));
        assert!(has(&Options { persistence: Persistence::Snapshot, ..none }, None, ["--save", "3600 1"]));
    }
}
