//! Which nodes a key lives on: its home, and a spare for when the home is away.
//!
//! Highest random weight: every node has a weight for every key, and the heaviest two are home and spare. A node more or less moves only
//! the keys that are its own. The hash is the same in every process and for ever: processes must agree.

use model::id::fnv1a;

/// Places of a key's home and its spare among the nodes; no spare with one node.
pub(super) fn places(nodes: &[u64], key: &[u8]) -> (usize, Option<usize>) {
    let key = hash(key);
    let mut home = (0, 0);
    let mut spare: Option<(u64, usize)> = None;
    for (index, node) in nodes.iter().enumerate() {
        let weight = mixed(key ^ node);
        if index == 0 {
            home = (weight, index);
        } else if weight > home.0 {
            spare = Some(home);
            home = (weight, index);
        } else if spare.is_none_or(|(other, _)| weight > other) {
            spare = Some((weight, index));
        }
    }
    (home.1, spare.map(|(_, index)| index))
}

/// FNV-1a, mixed: spreads well, and is written down so that it never changes.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    mixed(fnv1a(bytes.iter()))
}

/// The finaliser of splitmix64.
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(names: &[&str]) -> Vec<u64> {
        names.iter().map(|name| hash(name.as_bytes())).collect()
    }

    #[test]
    fn keys_spread_and_only_those_of_a_lost_node_move_to_their_spare() {
        let three = nodes(&["a:1", "b:1", "c:1"]);
        let mut counts = [0; 3];
        for key in 0..30_000_u32 {
            let key = key.to_le_bytes();
            let (home, spare) = places(&three, &key);
            let spare = spare.expect("a spare of three");
            assert_ne!(home, spare);
            counts[home] += 1;
            let without: Vec<u64> = three.iter().enumerate().filter(|(index, _)| *index != home).map(|(_, node)| *node).collect();
            let moved = without[places(&without, &key).0];
            assert_eq!(moved, three[spare], "the spare is the home without the home");
        }
        assert!(counts.iter().all(|count| (9_000..11_000).contains(count)), "{counts:?}");
        assert_eq!(places(&nodes(&["a:1"]), b"x"), (0, None));
    }

    #[test]
    fn places_never_change() {
        let three = nodes(&["a:1", "b:1", "c:1"]);
        let homes: Vec<usize> = (0..12_u8).map(|key| places(&three, &[key]).0).collect();
        assert_eq!(homes, [2, 1, 0, 0, 2, 1, 0, 2, 1, 0, 0, 1]);
        assert_eq!(hash(b"corkboard"), 0xa8ae_b045_203f_77c6);
    }
}
