//! Networks: addresses that something holds for, written alone or as a range of them.

use std::net::IpAddr;

use ipnet::IpNet;

/// A list of networks; an address is in it when any of them has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// # Errors
    /// Says which text is no network, and how one is written.
    pub fn new<T: AsRef<str>>(texts: &[T]) -> Result<Networks, String> {
        texts.iter().map(|text| network(text.as_ref())).collect::<Result<_, _>>().map(Networks)
    }

    /// An IPv4 address counts as such also where it came in an IPv6 one.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether all addresses of a kind are in it.
    pub(super) fn has_everybody(&self) -> bool {
        self.0.iter().any(|network| network.prefix_len() == 0)
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|network| match network.prefix_len() == network.max_prefix_len() {
            true => network.addr().to_string(),
            false => network.to_string(),
        })
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let parsed =
        parsed.ok_or_else(|| format!("{text:?} is no network; write an address or a range, like \"127.0.0.1\" or \"10.0.0.0/8\""))?;
    // Connections from IPv4 addresses are told as such, also on an IPv6 socket.
    Ok(match (parsed.addr().to_canonical(), parsed.prefix_len().checked_sub(96)) {
        (IpAddr::V4(address), Some(bits)) if parsed.addr().is_ipv6() => IpNet::new_assert(address.into(), bits),
        _ => parsed.trunc(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_its_network_however_it_is_written() {
        let networks = Networks::new(&["10.1.2.3/8", "127.0.0.1", "fd00::/8", "::ffff:192.0.2.0/120"]).unwrap();
        for inside in ["10.255.0.1", "::ffff:10.0.0.1", "127.0.0.1", "fd12::1", "192.0.2.77"] {
            assert!(networks.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["11.0.0.1", "127.0.0.2", "fe00::1", "::a00:1", "192.0.3.1"] {
            assert!(!networks.contains(outside.parse().unwrap()), "{outside}");
        }
        assert_eq!(networks.texts().collect::<Vec<_>>(), ["10.0.0.0/8", "127.0.0.1", "fd00::/8", "192.0.2.0/24"]);
        assert!(!networks.has_everybody() && Networks::new(&["::/0"]).unwrap().has_everybody());
        assert!(!Networks::default().contains("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_says_how_one_is_written() {
        for bad in ["", "proxy", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/255.0.0.0", "*"] {
            let message = Networks::new(&[bad]).unwrap_err();
            assert!(message.contains("10.0.0.0/8"), "{message}");
        }
    }
}
