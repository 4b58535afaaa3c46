//! Ports that stay with a server while it is down, so that it comes back where it was.
//!
//! They lie below those that the kernel gives to outgoing connections, and a lock on a file of the port's name keeps other tests away.

use std::{fs::File, net::TcpListener, path::PathBuf};

use anyhow::Context as _;

/// Most kernels give outgoing connections ports from 32,768 on; well-known servers lie below 15,000.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// A port of 127.0.0.1 that no other test takes.
pub(super) struct Port {
    pub number: u16,
    _lock: File,
}

impl Port {
    /// Takes the first port that is free, from a place on that depends on this process, so that few meet.
    pub fn reserve() -> anyhow::Result<Port> {
        let folder = folder()?;
        let count = PORTS.len() as u32;
        let first = std::process::id().wrapping_mul(101) % count;
        for step in 0..count {
            let number = PORTS.start + ((first + step) % count) as u16;
            // One that can't be opened is another user's.
            let Ok(lock) = File::create(folder.join(number.to_string())) else { continue };
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Ok(Port { number, _lock: lock });
            }
        }
        anyhow::bail!("none of the ports {PORTS:?} is free");
    }
}

fn folder() -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let uid = std::fs::metadata("/proc/self").context("reading /proc/self")?.uid();
    let folder = std::env::temp_dir().join(format!("corkboard-ports-{uid}"));
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_not_given_twice_and_can_be_listened_on() {
        let [first, second] = [Port::reserve().unwrap(), Port::reserve().unwrap()];
        assert_ne!(first.number, second.number);
        TcpListener::bind(("127.0.0.1", first.number)).unwrap();
    }
}
