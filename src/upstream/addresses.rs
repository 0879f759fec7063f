//! Which addresses are never dialled: link-local ones and those where clouds hand out their secrets.
//!
//! Every URL of every hop passes `check_literal`, and every name is resolved by `Resolver`, so a name that points
//! to such an address, or begins to later, is refused when the connection is made.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Metadata services that live outside the link-local ranges.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
];

/// Whether nothing may ever be asked of this address. Loopback and private addresses are fine: a LAN has registries.
pub(super) fn is_forbidden(address: IpAddr) -> bool {
    let address = unwrapped(address);
    let special = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified(),
    };
    special || METADATA.contains(&address)
}

/// The IPv4 address inside an IPv6 one: mapped, translated, compatible, 6to4 or NAT64.
fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let parts = v6.segments();
    let inner = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match parts {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inner(high, low),
        [0, 0, 0, 0, 0xffff, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] => inner(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => inner(high, low),
        [0x2002, high, low, ..] => inner(high, low),
        _ => address,
    }
}

/// Refuses a URL whose host is itself a forbidden address.
pub(super) fn check_literal(url: &Url) -> Result<(), String> {
    let address = match url.host() {
        Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
        Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    if is_forbidden(address) { Err(refusal(address)) } else { Ok(()) }
}

fn refusal(address: IpAddr) -> String {
    format!("{address} is a link-local or metadata address, which is never asked")
}

/// Asks which addresses a name has.
type Lookup = fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// The system's resolver without the forbidden addresses.
#[derive(Clone, Copy)]
pub(super) struct Resolver(pub(super) Lookup);

impl Default for Resolver {
    fn default() -> Resolver {
        Resolver(|name| async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }.boxed())
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.0(name.as_str().to_owned());
        Box::pin(async move {
            let (bad, good): (Vec<_>, Vec<_>) = found.await?.into_iter().partition(|a| is_forbidden(a.ip()));
            match (good.is_empty(), bad.first()) {
                (true, Some(address)) => Err(refusal(address.ip()).into()),
                _ => Ok(Box::new(good.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_07_metadata_is_refused_in_every_spelling_and_the_lan_is_not() {
        for bad in [
            "http://169.254.169.254/",
            "http://169.254.0.1:5000/v2/",
            "http://0xa9fea9fe/",
            "http://2852039166/",
            "http://0251.0376.0251.0376/",
            "http://[::ffff:169.254.169.254]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[::169.254.169.254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::1]/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://[fd20:ce::254]/",
            "http://100.100.100.200/",
            "http://168.63.129.16/",
            "http://192.0.0.192/",
            "http://0.0.0.0/",
            "http://[::]/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
        ] {
            assert!(check_literal(&bad.parse().unwrap()).is_err(), "{bad}");
        }
        for good in [
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://10.0.0.1/",
            "http://192.168.1.1/",
            "http://172.16.0.1/",
            "http://[fd00::1]/",
            "https://1.1.1.1/",
            "https://registry-1.docker.io/",
        ] {
            assert!(check_literal(&good.parse().unwrap()).is_ok(), "{good}");
        }
    }
}
