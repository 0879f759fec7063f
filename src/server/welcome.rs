//! A few lines of text for whoever asks the root with curl: where one is, and what to try next.

use std::time::Duration;

use crate::index::Totals;

/// Where one is, how it stands, and what to try next. `host` is an address as image names begin with it, `base` a URL.
pub fn welcome(host: &str, base: &str, totals: Totals, up: Duration) -> String {
    let megabytes = totals.bytes / 1_000_000;
    format!(
        "This is entrepot {version}, a private image registry and a cache of the public ones.
It has {blobs} blobs ({megabytes} MB) and has been up for {minutes} minutes.

  docker pull {host}/nginx                  through the cache, from Docker Hub
  docker pull {host}/ghcr.io/ORG/IMAGE      from any other upstream
  docker login {host}                       then docker push {host}/team/app:1

As a mirror of Docker Hub, in /etc/docker/daemon.json:  {{ \"registry-mirrors\": [\"{base}\"] }}
How clients come to trust it: {base}/connect
Probes: {base}/healthz  {base}/readyz   Figures: {base}/metrics
",
        version = env!("CARGO_PKG_VERSION"),
        blobs = totals.blobs,
        minutes = up.as_secs() / 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_welcome_names_the_address_that_was_asked() {
        let text =
            welcome("registry.lan:5000", "http://registry.lan:5000", Totals { blobs: 3, bytes: 5_000_000 }, Duration::from_secs(120));
        assert!(text.contains("docker pull registry.lan:5000/nginx") && text.contains("3 blobs (5 MB)") && text.contains("2 minutes"));
    }
}
