//! Where hops may lead, with names that resolve as a test wants it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;
use crate::config;
use crate::oci::Reference;

/// Link-local and metadata addresses, as themselves and inside of others.
const FORBIDDEN: [&str; 24] = [
    "169.254.169.254",
    "169.254.0.1",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "fe80::1",
    "febf::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
    "::ffff:169.254.169.254",
    "::ffff:100.100.100.200",
    "::ffff:0:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::169.254.169.254",
    "2002:a9fe:a9fe::1",
];

/// A name that resolves to the address.
fn name_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("{:08x}.test", u32::from(v4)),
        IpAddr::V6(v6) => format!("{:032x}.test", u128::from(v6)),
    }
}

fn resolve(name: String) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> {
    let label = name.trim_end_matches(".test").to_owned();
    let address = match label.len() {
        8 => IpAddr::V4(Ipv4Addr::from(u32::from_str_radix(&label, 16).unwrap())),
        _ => IpAddr::V6(Ipv6Addr::from(u128::from_str_radix(&label, 16).unwrap())),
    };
    async move { Ok(vec![SocketAddr::new(address, 0)]) }.boxed()
}

fn upstream(url: &str, resolver: addresses::Resolver, deadlines: Deadlines) -> Upstream {
    let endpoint = config::Endpoint { url: url.parse().unwrap(), credentials: None };
    let settings = config::Upstream {
        endpoints: vec![endpoint],
        insecure: true,
        proxy: config::Proxy::Direct,
        ..config::Upstream::builtin("registry.test")
    };
    let mut upstream = Upstream::new(&settings, deadlines).unwrap();
    upstream.wire.resolver = resolver;
    upstream
}

async fn head(upstream: &Upstream, time: Duration) -> Result<HeadAnswer, Refusal> {
    let latest: Reference = "latest".parse().unwrap();
    upstream.head_manifest(&"a/b".parse().unwrap(), &latest, Budget::lasting(time)).await
}

/// Answers everything on this listener so.
fn answering(listener: TcpListener, answer: String) {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let head = answer.replacen("\r\n", "\r\nConnection: close\r\nContent-Length: 0\r\n", 1);
            let _ = stream.write_all(format!("HTTP/1.1 {head}\r\n").as_bytes()).await;
        }
    });
}

#[tokio::test]
async fn sec_07_no_hop_leads_to_a_link_local_or_metadata_address_in_whatever_spelling_or_behind_whatever_name() {
    let mut refused = 0;
    for address in FORBIDDEN.map(|text| text.parse::<IpAddr>().unwrap()) {
        let literal = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
        for host in [literal, name_of(address)] {
            for hop in ["first", "redirect", "realm"] {
                let bad = format!("http://{host}:81/x");
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let home = format!("http://{}", listener.local_addr().unwrap());
                match hop {
                    "redirect" => answering(listener, format!("307 Temporary Redirect\r\nLocation: {bad}\r\n")),
                    "realm" => answering(listener, format!("401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"{bad}\"\r\n")),
                    _ => {}
                }
                let upstream = upstream(if hop == "first" { &bad } else { &home }, addresses::Resolver(resolve), Deadlines::default());
                let error = head(&upstream, Duration::from_secs(10)).await.unwrap_err().to_string();
                assert!(error.contains("which is never asked"), "{hop} {host}: {error}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 144);
}

/// An address where connections are neither accepted nor refused, as long as what is returned lives.
async fn black_hole() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.3:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(connected) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
    }
    (address, listener, waiting)
}

#[tokio::test]
async fn ipv4_is_tried_beside_an_ipv6_address_that_never_answers() {
    // The same port at both addresses.
    let (hole, listener) = loop {
        let hole = black_hole().await;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", hole.0.port())).await {
            break (hole, listener);
        }
    };
    let manifest = "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n";
    let digest = Digest::of(b"");
    answering(listener, format!("200 OK\r\n{manifest}Docker-Content-Digest: {digest}\r\n"));
    let both = |_| {
        let hole = IpAddr::V6(Ipv4Addr::new(127, 0, 0, 3).to_ipv6_mapped());
        let addresses = [hole, IpAddr::V4(Ipv4Addr::LOCALHOST)].map(|address| SocketAddr::new(address, 0)).to_vec();
        async move { Ok(addresses) }.boxed()
    };
    // One after the other, the second would have its turn after half of this time.
    let long = Duration::from_secs(600);
    let deadlines = Deadlines { connect: long, budget: long, ..Deadlines::default() };
    let upstream = upstream(&format!("http://both.test:{}", hole.0.port()), addresses::Resolver(both), deadlines);
    assert_eq!(head(&upstream, Duration::from_secs(30)).await.unwrap().digest, Some(digest));
}
