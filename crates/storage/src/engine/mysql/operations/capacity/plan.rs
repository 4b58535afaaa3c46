//! What to do before a server fills, pure: move shards to whoever has room, or add a server.

use super::forecast::{DAYS_MIN, SAMPLES_MIN, days_until};

/// A server that fills within so many days wants something done: machines take weeks to come.
const SOON_DAYS: f64 = 90.0;
/// So does one whose disk is used to this part, and one that takes shards must stay below it.
const USED_SHARE_MAX: f64 = 0.7;

/// What is known of one server.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub name: String,
    pub bytes: u64,
    pub disk_bytes: Option<u64>,
    pub bytes_per_day: Option<f64>,
    pub samples: usize,
    /// Its shards, as ranges of first and last.
    pub ranges: Vec<(u16, u16)>,
}

/// Says what to do about one of the servers; nothing when there is nothing to do.
pub(super) fn plan(servers: &[Load], index: usize) -> Vec<String> {
    let server = &servers[index];
    let mut advice = Vec::new();
    if server.bytes_per_day.is_none() {
        advice.push(format!(
            "Too few samples to tell how it grows: {}; it takes {SAMPLES_MIN} over {DAYS_MIN} days without a move. The storage service takes one an hour.",
            server.samples
        ));
    }
    let Some(disk) = server.disk_bytes else {
        advice.push(format!("Its disk's size is not known: `corkboard storage init --disk-gib {}=GIB` tells it.", server.name));
        return advice;
    };
    let fills_soon = server.bytes_per_day.and_then(|per_day| days_until(server.bytes, per_day, disk)).is_some_and(|days| days <= SOON_DAYS);
    if fills_soon || used(server.bytes as f64, disk) > USED_SHARE_MAX {
        advice.push(relief(servers, index, disk));
    }
    advice
}

/// Finds room for some of a server's shards.
fn relief(servers: &[Load], index: usize, disk: u64) -> String {
    let server = &servers[index];
    let others = servers.iter().enumerate().filter(|(other, _)| *other != index);
    let with_disk = others.filter_map(|(_, other)| other.disk_bytes.filter(|disk| *disk > 0).map(|disk| (other, disk)));
    let share = |(other, disk): &(&Load, u64)| used(other.bytes as f64, *disk);
    let emptiest = with_disk.min_by(|a, b| share(a).total_cmp(&share(b)));
    let shards: u32 = server.ranges.iter().map(|(first, last)| u32::from(last - first) + 1).sum();
    if let (Some((target, room)), Some((first, last)), 2..) = (emptiest, server.ranges.last(), shards) {
        // So many bytes that both disks are used to the same part.
        let moving = (server.bytes as f64 * room as f64 - target.bytes as f64 * disk as f64) / (disk as f64 + room as f64);
        let length = u32::from(last - first) + 1;
        let count = (moving / (server.bytes as f64 / f64::from(shards))).round().clamp(0.0, f64::from(length.min(shards - 1))) as u32;
        let moved = server.bytes as f64 / f64::from(shards) * f64::from(count);
        if count > 0 && used(target.bytes as f64 + moved, room) <= USED_SHARE_MAX {
            let begin = u32::from(*last) + 1 - count;
            return format!(
                "Move {count} shards to {}: `corkboard storage move --shards {begin}-{last} --to {}`.",
                target.name, target.name
            );
        }
    }
    format!(
        "No other server has room: let one join with `corkboard storage init --server NEW=HOST:PORT/DATABASE --disk-gib NEW=GIB`, then `corkboard storage split {} --to NEW`.",
        server.name
    )
}

fn used(bytes: f64, disk: u64) -> f64 {
    bytes / disk.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(name: &str, bytes: u64, disk: u64, per_day: f64, ranges: &[(u16, u16)]) -> Load {
        Load {
            name: name.to_owned(),
            bytes,
            disk_bytes: (disk > 0).then_some(disk),
            bytes_per_day: Some(per_day),
            samples: 100,
            ranges: ranges.to_vec(),
        }
    }

    #[test]
    fn shards_go_to_whoever_has_room() {
        let servers = [load("a", 800, 1_000, 1.0, &[(0, 2_047)]), load("b", 200, 1_000, 1.0, &[(2_048, 4_095)])];
        assert_eq!(plan(&servers, 0), ["Move 768 shards to b: `corkboard storage move --shards 1280-2047 --to b`."]);
        assert_eq!(plan(&servers, 1), Vec::<String>::new());
        // One that is far from full but fills within three months.
        let soon = [load("a", 500, 1_000, 5.0, &[(0, 2_047)]), load("b", 0, 1_000, 1.0, &[])];
        assert_eq!(plan(&soon, 0), ["Move 1024 shards to b: `corkboard storage move --shards 1024-2047 --to b`."]);
    }

    #[test]
    fn without_room_a_server_must_come() {
        for servers in [
            vec![load("a", 800, 1_000, 1.0, &[(0, 4_095)])],
            vec![load("a", 800, 1_000, 1.0, &[(0, 2_047)]), load("b", 790, 1_000, 1.0, &[(2_048, 4_095)])],
            vec![load("a", 800, 1_000, 1.0, &[(7, 7)]), load("b", 0, 1_000, 1.0, &[])],
            vec![load("a", 800, 1_000, 1.0, &[(0, 2_047)]), load("b", 0, 0, 1.0, &[])],
        ] {
            let found = plan(&servers, 0);
            assert!(found.len() == 1 && found[0].contains("split a --to NEW"), "{found:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_said() {
        let unknown = Load { bytes_per_day: None, samples: 5, ..load("a", 1, 0, 0.0, &[(0, 4_095)]) };
        let found = plan(&[unknown], 0);
        assert!(found[0].contains("Too few samples") && found[0].contains(": 5;") && found[1].contains("--disk-gib a=GIB"), "{found:?}");
    }
}
