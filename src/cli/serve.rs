//! `entrepot serve`: starts the server, says what a newcomer needs to know, and ends gracefully.

use std::net::SocketAddr;
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use crate::app;
use crate::auth::Pace;
use crate::config::{Settings, TlsMode};
use crate::registry::flight::Tuning;
use crate::telemetry::{audit, log};
use crate::upstream::Deadlines;

/// Serves until SIGTERM or SIGINT.
pub async fn run(settings: Settings) -> Result<(), String> {
    let lowest = settings.log.requests.lowest_status();
    let _log = log::init(log::Options { filter: &settings.log.level, json: settings.log.json, requests_from: lowest });
    let _audit = settings.log.audit.as_deref().map(audit::to_file).transpose()?;
    let running = app::start(&settings, Deadlines::default(), Tuning::default(), Pace::default()).await.map_err(|e| e.to_string())?;
    let addresses = running.addresses().map_err(|e| e.to_string())?;
    let password = running.made_up.as_ref().map(|made| made.password.reveal());
    let fingerprint = running.fingerprint();
    println!("{}", greeting(&settings, &addresses, password, fingerprint.as_deref()));
    if let Some(fingerprint) = fingerprint {
        tracing::info!(%fingerprint, "the CA of this server");
    }
    let shutdown = ended().map_err(|e| format!("signals cannot be waited for: {e}"))?;
    running.serve(&settings, shutdown).await.map_err(|e| e.to_string())
}

/// Comes when the process is asked to end.
fn ended() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => tracing::warn!("SIGHUP: the configuration is read at the start alone (users are re-read by themselves); restart to change it"),
            }
        }
        tracing::info!("ending: running transfers may finish");
    })
}

fn greeting(settings: &Settings, addresses: &[SocketAddr], password: Option<&str>, fingerprint: Option<&str>) -> String {
    let tls = &settings.server.tls;
    let schemes = match (&tls.mode, tls.require) {
        (TlsMode::Off, _) => "http",
        (_, true) => "https alone",
        (_, false) => "http and https",
    };
    let listens: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    let first = addresses.first().copied().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 5000)));
    let host = if first.ip().is_unspecified() { format!("localhost:{}", first.port()) } else { first.to_string() };
    let mut text = format!(
        "entrepot {} listens on {} ({schemes})\ndata is in {}\n",
        env!("CARGO_PKG_VERSION"),
        listens.join(", "),
        app::shown(&settings.storage.data)
    );
    if let Some(password) = password {
        let kept = app::shown(&settings.storage.data.join("admin-password"));
        text += &format!("the password of admin is {password} (kept in {kept} until you change it)\n");
    }
    if let Some(fingerprint) = fingerprint {
        let ask = if tls.require { "curl -k https" } else { "curl http" };
        text += &format!("the SHA-256 fingerprint of its CA is\n  {fingerprint}\n");
        text += &format!("how clients come to trust it: {ask}://HOST:{}/connect (localhost needs it not)\n", first.port());
    }
    if settings.cache.offline {
        text += "offline: no upstream is asked, what is cached is served\n";
    }
    let data =
        if settings.storage.data == Path::new("./data") { String::new() } else { format!(" --data {}", settings.storage.data.display()) };
    let program = std::env::args().next().unwrap_or_else(|| "entrepot".to_owned());
    text + &format!("\ntry next:\n  docker pull {host}/nginx\n  docker login {host} -u admin\n  {program} prefetch{data} alpine\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_says_where_what_and_how_to_go_on() {
        let settings = Settings::builtin();
        let text = greeting(&settings, &["0.0.0.0:5000".parse().unwrap()], Some("s3cret"), Some("AB:CD"));
        for part in [
            "listens on 0.0.0.0:5000 (http and https)",
            "password of admin is s3cret",
            "fingerprint of its CA is\n  AB:CD\n",
            "curl http://HOST:5000/connect",
            "docker pull localhost:5000/nginx",
            "docker login",
            " prefetch alpine",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let mut settings = settings;
        settings.server.tls.mode = TlsMode::Off;
        let again = greeting(&settings, &["127.0.0.1:81".parse().unwrap()], None, None);
        assert!(!again.contains("password") && !again.contains("CA") && again.contains("docker pull 127.0.0.1:81/nginx"));
    }
}
