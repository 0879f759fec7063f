//! The grammar of addresses: registries' names, URLs of three kinds, where to listen, whom to trust.
//! Nothing that may hold a password is repeated in a message.

use std::net::SocketAddr;

use url::Url;

/// A registry's name as clients write it: a host with a dot, a port, or `localhost`.
pub(super) fn registry(text: &str) -> Result<String, String> {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let told_apart = host.contains('.') || port.is_some() || host == "localhost";
    let dialled = Url::parse(&format!("https://{text}")).is_ok();
    match told_apart && is_host(host) && port.is_none_or(is_port) && dialled {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is no registry's name; write a host as in docker pull, like \"ghcr.io\" or \"registry.lan:5000\"")),
    }
}

/// A host that may see credentials.
pub(super) fn realm(text: &str) -> Result<String, String> {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    match is_host(host) && port.is_none_or(is_port) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is no host; write only the host, like \"auth.docker.io\"")),
    }
}

fn is_host(text: &str) -> bool {
    let part = |part: &str| {
        let letters = part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        !part.is_empty() && letters && !part.starts_with('-') && !part.ends_with('-')
    };
    text.split('.').all(part)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Where an upstream is asked: http or https, a path allowed, nothing else in it.
pub(super) fn endpoint(text: &str) -> Result<Url, String> {
    let url = web_address(text, "https://registry.example.com")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials do not belong in the address; write { url = \"…\", username = \"…\", password = \"…\" }".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it has more than a host and a path; leave out everything from ? or # on".into());
    }
    Ok(url)
}

/// How clients reach the server: scheme and host alone. Returned without a slash at its end.
pub(super) fn external_url(text: &str) -> Result<String, String> {
    let url = web_address(text, "https://registry.example.com")?;
    let plain =
        url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    match plain {
        true => Ok(url.as_str().trim_end_matches('/').to_owned()),
        false => Err(format!("only scheme, host and port are possible; write {:?}", url.origin().ascii_serialization())),
    }
}

/// A proxy, with a name and a password where it wants them.
pub(super) fn proxy(text: &str) -> Result<Url, String> {
    web_address(text, "http://proxy.example.com:3128")
}

/// What a proxy is not asked for: a name with all below it, an address, a network, or `*`.
pub(super) fn exception(text: &str) -> Result<String, String> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let network = match (address.parse::<std::net::IpAddr>(), bits.map(str::parse::<u8>)) {
        (Ok(_), None) => true,
        (Ok(address), Some(Ok(bits))) => bits <= if address.is_ipv4() { 32 } else { 128 },
        _ => false,
    };
    match network || text == "*" || (bits.is_none() && is_host(text.trim_start_matches('.'))) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is neither a host nor a network; write it like \"registry.lan\", \".corp.lan\" or \"10.0.0.0/8\"")),
    }
}

fn web_address(text: &str, like: &str) -> Result<Url, String> {
    let parsed = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    parsed.ok_or_else(|| match realm(text) {
        Ok(host) => format!("{host:?} lacks its scheme; write \"https://{host}\""),
        Err(_) => format!("not an http:// or https:// address; write it like {like:?}"),
    })
}

/// An address to listen on.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let port = text.rsplit(':').next().filter(|port| is_port(port)).unwrap_or("5000");
        format!("{text:?} is no address to listen on; write IP and port, like \"0.0.0.0:{port}\" or \"[::]:{port}\"")
    })
}

/// A level, or directives for parts of the program: `info`, `warn,entrepot::upstream=debug`.
pub(super) fn log_level(text: &str) -> Result<String, String> {
    let level = |word: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&word);
    let target = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':');
    let directive = |one: &str| one.split_once('=').map_or(level(one), |(name, word)| target(name) && level(word));
    match text.split(',').map(str::trim).all(directive) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is no level; write \"error\", \"warn\", \"info\", \"debug\" or \"trace\", or by part: \"info,hyper=debug\""
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Upstream;

    #[test]
    fn a_registry_is_named_as_a_host_that_can_be_dialled() {
        for good in ["docker.io", "localhost", "localhost:5000", "lan:5000", "registry.lan:5000", "192.0.2.1", "a-b.c"] {
            let name = registry(good).unwrap();
            assert_eq!(Upstream::builtin(&name).registry, good);
        }
        let bad = [
            "",
            "hosted",
            "lan",
            "Docker.io",
            "a.b/c",
            "https://a.b",
            "a..b",
            "-a.b",
            "a.b:",
            "a.b:0",
            "a.b:99999",
            "1.2.3.4.5",
            "999.1.1.1",
        ];
        for bad in bad {
            assert!(registry(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_refused_without_telling_the_password_in_them() {
        for bad in
            ["https://a.b?token=hunter2", "https://me:hunter2@a.b", "https://me:hunter2@a.b/?x", "me:hunter2@a.b", "ftp://me:hunter2@a.b"]
        {
            for message in [endpoint(bad).unwrap_err(), external_url(bad).unwrap_err()] {
                assert!(!message.contains("hunter2"), "{message}");
            }
        }
        assert_eq!(endpoint("http://mirror.lan:5000/hub").unwrap().as_str(), "http://mirror.lan:5000/hub");
        assert_eq!(external_url("https://a.b:8443/").unwrap(), "https://a.b:8443");
    }

    #[test]
    fn a_level_is_a_word_or_words_by_part() {
        for good in ["info", "off", "warn,hyper=debug", "info, hyper=trace"] {
            assert!(log_level(good).is_ok(), "{good}");
        }
        for bad in ["", "INFORM", "info,", "a=b", "=info", "info;x=debug"] {
            assert!(log_level(bad).is_err(), "{bad}");
        }
    }
}
