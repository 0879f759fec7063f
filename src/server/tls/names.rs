//! The names and addresses by which clients may reach this machine.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// This machine's own name.
pub(super) fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// What this machine knows of itself: its name, whole where the hosts file has it so, and the addresses of its interfaces.
pub(super) fn of_this_machine(listen: &[SocketAddr]) -> BTreeSet<String> {
    let host = host_name();
    let mut names = BTreeSet::from(["localhost".to_owned()]);
    names.extend(whole(&host, &std::fs::read_to_string("/etc/hosts").unwrap_or_default()));
    names.insert(host);
    // Without them there are still those that are configured.
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let own = interfaces.iter().map(|interface| interface.ip()).chain(listen.iter().map(SocketAddr::ip));
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    names.extend(own.chain(loopback).filter(|address| is_reachable(*address)).map(|address| address.to_canonical().to_string()));
    names
}

/// An address that can stand in a URL: one that is valid on a link alone needs the link's name beside it.
fn is_reachable(address: IpAddr) -> bool {
    let on_link = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    !address.is_unspecified() && !on_link
}

/// The names in the hosts file that go on where the host's name ends.
fn whole(host: &str, hosts: &str) -> Vec<String> {
    let begins = format!("{host}.");
    let names = hosts.lines().flat_map(|line| line.split('#').next().unwrap_or("").split_ascii_whitespace().skip(1));
    names.map(str::to_ascii_lowercase).filter(|name| name.starts_with(&begins)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_known_by_its_loopback_its_addresses_and_where_it_listens() {
        let names = of_this_machine(&["192.0.2.9:5000".parse().unwrap(), "0.0.0.0:80".parse().unwrap(), "[fe80::1]:1".parse().unwrap()]);
        for name in ["localhost", "127.0.0.1", "::1", "192.0.2.9", &host_name()] {
            assert!(names.contains(name), "{name} in {names:?}");
        }
        assert!(!names.contains("0.0.0.0") && !names.iter().any(|name| name.starts_with("fe80:")), "{names:?}");
    }

    #[test]
    fn the_hosts_file_tells_the_whole_name() {
        let hosts = "127.0.1.1 build.example.com build # build.not.this\n::1 localhost builder.example.com\n";
        assert_eq!(whole("build", hosts), ["build.example.com"]);
    }
}
