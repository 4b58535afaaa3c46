//! Which addresses are on the public internet.
//!
//! IPv4 is judged by a list of what is refused. IPv6 is judged the other way round: only the block from which global
//! addresses are given out (2000::/3) is let through, less what is special in it. So everything that carries an IPv4
//! address inside (mapped, compatible, NAT64, 6to4, Teredo) is refused without being taken apart.
//! Source: IANA's special-purpose address registries.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use ipnet::{Ipv4Net, Ipv6Net};

const REFUSED_V4: [&str; 18] = [
    "0.0.0.0/8",       // this network
    "10.0.0.0/8",      // private
    "100.64.0.0/10",   // carrier-grade NAT
    "127.0.0.0/8",     // loopback
    "169.254.0.0/16",  // link-local, metadata services of clouds
    "172.16.0.0/12",   // private
    "192.0.0.0/24",    // protocol assignments
    "192.0.2.0/24",    // documentation
    "192.31.196.0/24", // AS112
    "192.52.193.0/24", // AMT
    "192.88.99.0/24",  // 6to4 relays
    "192.168.0.0/16",  // private
    "192.175.48.0/24", // AS112
    "198.18.0.0/15",   // benchmarking
    "198.51.100.0/24", // documentation
    "203.0.113.0/24",  // documentation
    "224.0.0.0/4",     // multicast
    "240.0.0.0/4",     // reserved, broadcast
];

const GLOBAL_V6: &str = "2000::/3";
const REFUSED_V6: [&str; 5] = [
    "2001::/23",         // protocol assignments: Teredo, ORCHID, benchmarking
    "2001:db8::/32",     // documentation
    "2002::/16",         // 6to4
    "2620:4f:8000::/48", // AS112
    "3fff::/20",         // documentation
];

static V4: LazyLock<Vec<Ipv4Net>> = LazyLock::new(|| REFUSED_V4.iter().filter_map(|net| net.parse().ok()).collect());
static V6: LazyLock<Vec<Ipv6Net>> = LazyLock::new(|| REFUSED_V6.iter().filter_map(|net| net.parse().ok()).collect());
static V6_GLOBAL: LazyLock<Option<Ipv6Net>> = LazyLock::new(|| GLOBAL_V6.parse().ok());

/// Tells whether an address is on the public internet, so that a foreign URL may lead there.
pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) => is_global_v6(address),
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    !V4.iter().any(|net| net.contains(&address))
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    V6_GLOBAL.is_some_and(|net| net.contains(&address)) && !V6.iter().any(|net| net.contains(&address))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_range_of_the_lists_is_read() {
        assert_eq!(V4.len(), REFUSED_V4.len());
        assert_eq!(V6.len(), REFUSED_V6.len());
        assert!(V6_GLOBAL.is_some());
    }

    #[test]
    fn known_addresses_are_judged() {
        let global = [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.215.14",
            "172.15.255.255",
            "172.32.0.1",
            "100.63.255.255",
            "100.128.0.0",
            "198.17.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
        ];
        for address in global {
            assert!(is_global(address.parse().expect("an address")), "{address}");
        }
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for address in refused {
            assert!(!is_global(address.parse().expect("an address")), "{address}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_carries_an_ipv4_address_gets_through(inner: u32) {
            let inner = Ipv4Addr::from(inner);
            let [a, b, c, d] = inner.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            prop_assert!(!is_global(IpAddr::V6(inner.to_ipv6_mapped())));
            prop_assert!(!is_global(IpAddr::V6(inner.to_ipv6_compatible())));
            prop_assert!(!is_global(IpAddr::V6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low))));
            prop_assert!(!is_global(IpAddr::V6(Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1))));
            prop_assert!(!is_global(IpAddr::V6(Ipv6Addr::new(0x2001, 0, high, low, 0, 0, 0, 1))));
        }

        #[test]
        fn what_the_standard_library_calls_special_is_refused(bits: u32) {
            let address = Ipv4Addr::from(bits);
            let is_special = address.is_private() || address.is_loopback() || address.is_link_local() || address.is_multicast() || address.is_broadcast() || address.is_documentation() || address.is_unspecified();
            prop_assert!(!(is_special && is_global(IpAddr::V4(address))));
        }
    }
}
