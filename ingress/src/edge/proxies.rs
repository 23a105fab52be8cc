//! Whom the gateway believes about where a request comes from.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// The proxies that stand in front of this gateway, by their addresses. Whoever is not among them
/// is a caller, and is not believed. Nobody is by default, this machine included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

/// A network of addresses, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// As IPv6, so that both families compare alike.
    first: u128,
    mask: u128,
}

impl Proxies {
    /// Whether the proxy at this address is believed.
    #[must_use]
    pub fn trust(&self, address: IpAddr) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let bits = bits(address);
        self.0.iter().any(|network| bits & network.mask == network.first)
    }
}

impl FromIterator<Network> for Proxies {
    fn from_iter<T: IntoIterator<Item = Network>>(networks: T) -> Self {
        Self(networks.into_iter().collect())
    }
}

impl Network {
    /// Whether it holds every address of a family.
    #[must_use]
    pub fn is_everybody(&self) -> bool {
        self.mask.count_ones() == 0 || *self == Self::of_v4(Ipv4Addr::UNSPECIFIED, 0)
    }

    fn of_v4(address: Ipv4Addr, prefix: u32) -> Self {
        Self { first: bits(address.into()), mask: mask(96 + prefix) }
    }
}

impl FromStr for Network {
    type Err = String;

    /// Reads an address with a prefix length, or an address alone.
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(format!(
                "{text:?} is no network; write addresses with a prefix length, such as 10.0.0.0/8"
            ));
        };
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let length = match length.map(str::parse) {
            None => widest,
            Some(Ok(length)) if length <= widest => length,
            Some(_) => {
                return Err(format!(
                    "{text:?} has no prefix length of 0 to {widest}; write {address}/{widest} for \
                     this address alone"
                ));
            }
        };
        let network = match address {
            IpAddr::V4(address) => Self::of_v4(address, length),
            IpAddr::V6(address) => Self { first: u128::from(address), mask: mask(length) },
        };
        let first = network.first & network.mask;
        if first != network.first {
            let first = match address {
                IpAddr::V4(_) => IpAddr::V6(Ipv6Addr::from(first)).to_canonical(),
                IpAddr::V6(_) => Ipv6Addr::from(first).into(),
            };
            return Err(format!(
                "{text:?} has bits behind its prefix; write {first}/{length} for the network, or \
                 {address}/{widest} for the one address"
            ));
        }
        Ok(network)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn mask(prefix: u32) -> u128 {
    u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(networks: &[&str], inside: &[&str], outside: &[&str]) {
        let proxies: Proxies =
            networks.iter().map(|text| text.parse::<Network>().unwrap()).collect();
        for address in inside {
            assert!(proxies.trust(address.parse().unwrap()), "{address} in {networks:?}");
        }
        for address in outside {
            assert!(!proxies.trust(address.parse().unwrap()), "{address} not in {networks:?}");
        }
    }

    #[test]
    fn a_network_holds_its_addresses_in_every_spelling_and_no_others() {
        check(&[], &[], &["127.0.0.1", "::1", "10.0.0.1"]);
        check(
            &["10.0.0.0/8", "2001:db8::/32"],
            &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3", "2001:db8:ffff::1"],
            &["9.255.255.255", "11.0.0.0", "127.0.0.1", "::1", "2001:db9::", "::a00:1"],
        );
        check(&["192.0.2.7", "::1"], &["192.0.2.7", "::1"], &["192.0.2.6", "::2", "0.0.0.1"]);
        check(&["0.0.0.0/0"], &["1.2.3.4", "255.255.255.255"], &["::1", "2001:db8::1"]);
        check(&["::/0"], &["1.2.3.4", "::1"], &[]);
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_to_write() {
        for (text, said) in [
            ("localhost", "such as 10.0.0.0/8"),
            ("10.0.0", "such as 10.0.0.0/8"),
            ("10.0.0.0/33", "write 10.0.0.0/32"),
            ("::1/129", "write ::1/128"),
            ("10.0.0.0/", "write 10.0.0.0/32"),
            ("10.0.0.1/8", "write 10.0.0.0/8 for the network, or 10.0.0.1/32"),
            ("2001:db8::1/32", "write 2001:db8::/32"),
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn everybody_is_noticed() {
        for text in ["0.0.0.0/0", "::/0"] {
            assert!(text.parse::<Network>().unwrap().is_everybody());
        }
        assert!(!"0.0.0.0/1".parse::<Network>().unwrap().is_everybody());
    }
}
