//! The settings in force, as TOML that would be read back to the same; a secret is shown as `…`.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use super::credentials::{Keeper, Login};
use super::roles::ANONYMOUS;
use super::settings::*;

impl Settings {
    /// The merged settings in the form of the configuration file.
    pub fn to_toml(&self) -> String {
        let mut page = Page(String::new());
        self.show_server(&mut page);
        self.show_stores(&mut page);
        for upstream in &self.upstreams {
            upstream.show(&mut page);
        }
        self.show_rest(&mut page);
        page.0
    }

    fn show_server(&self, page: &mut Page) {
        let Server { listen, external_url, trusted_proxies, limits, tls } = &self.server;
        page.section("[server]");
        page.line("listen", texts(listen.iter().map(ToString::to_string)));
        page.line("external_url", external_url.as_deref().unwrap_or_default());
        page.line("trusted_proxies", texts(trusted_proxies.texts()));
        page.section("[server.limits]");
        page.line("connections", number(limits.connections));
        page.line("connections_per_address", number(limits.connections_per_address));
        page.line("idle", duration(limits.idle));
        page.line("headers", duration(limits.headers));
        page.line("slow", duration(limits.slow));
        page.line("slow_rate", size(limits.slow_rate));
        page.line("shutdown", duration(limits.shutdown));
        page.section("[server.tls]");
        let (mode, certificate, key) = match &tls.mode {
            TlsMode::Off => ("off", String::new(), String::new()),
            TlsMode::Files { certificate, key } => ("files", path(certificate), path(key)),
            TlsMode::SelfSigned => ("self-signed", String::new(), String::new()),
        };
        page.line("mode", mode);
        page.line("hosts", texts(&tls.hosts));
        page.line("certificate", certificate);
        page.line("key", key);
        page.line("client_ca", tls.client_ca.as_deref().map(path).unwrap_or_default());
        page.line("require", tls.require);
    }

    fn show_stores(&self, page: &mut Page) {
        page.section("[storage]");
        page.line("data", path(&self.storage.data));
        page.line("reserve", size(self.storage.reserve));
        page.section("[cache]");
        page.line("offline", self.cache.offline);
        page.section("[hosted]");
        self.hosted.tags.show(page);
        page.line("sparse", if self.hosted.sparse { "allow" } else { "refuse" });
        page.line("reserved", texts(self.hosted.reserved.texts()));
        for rule in &self.hosted.rules {
            page.section("[[hosted.rule]]");
            page.line("repositories", texts(rule.repositories.texts()));
            rule.tags.show(page);
        }
        page.section("[group]");
        page.line("members", texts(self.group.members.iter().map(ToString::to_string)));
        page.line("overlay", texts(self.group.overlay.texts()));
    }

    fn show_rest(&self, page: &mut Page) {
        page.section("[auth]");
        // Beside a role of that name it would be read as a second word on the same thing.
        if !self.auth.roles.iter().any(|role| role.name == ANONYMOUS) {
            let Anonymous { pull, push, delete } = self.auth.anonymous.unwrap_or_default();
            let actions = [("pull", pull), ("push", push), ("delete", delete)];
            page.line("anonymous", texts(actions.into_iter().filter(|(_, may)| *may).map(|(action, _)| action)));
        }
        page.line("htpasswd", self.auth.htpasswd.as_deref().map(path).unwrap_or_default());
        page.line("admin_password", hidden(self.auth.admin_password.as_ref()));
        for role in &self.auth.roles {
            page.section("[[auth.role]]");
            page.line("name", role.name.as_str());
            if !role.members.texts().is_empty() {
                page.line("members", texts(role.members.texts()));
            }
            page.line("allow", toml::Value::Array(role.allow.iter().map(Allow::shown).collect()));
        }
        page.section("[metrics]");
        page.line("enabled", self.metrics.enabled);
        page.section("[log]");
        page.line("level", self.log.level.as_str());
        page.line("format", if self.log.json { "json" } else { "text" });
        page.line(
            "requests",
            match self.log.requests {
                Requests::All => "all",
                Requests::Errors => "errors",
                Requests::Off => "off",
            },
        );
        page.line("audit", self.log.audit.as_deref().map(path).unwrap_or_default());
    }
}

impl TagPolicy {
    fn show(&self, page: &mut Page) {
        page.line(
            "redeploy",
            match self.redeploy {
                Redeploy::Allow => "allow",
                Redeploy::Deny => "deny",
                Redeploy::ReadOnly => "read-only",
            },
        );
        page.line("immutable_tags", texts(self.immutable_tags.texts()));
        for (key, kept) in [("keep_last", self.keep_last), ("keep_days", self.keep_days)] {
            if let Some(kept) = kept {
                page.line(key, number(kept));
            }
        }
    }
}

impl Upstream {
    fn show(&self, page: &mut Page) {
        page.section("[[upstream]]");
        page.line("registry", self.registry.as_str());
        page.line("endpoints", toml::Value::Array(self.endpoints.iter().map(Endpoint::shown).collect()));
        page.line("trusted_realms", texts(&self.trusted_realms));
        page.line(
            "visibility",
            match self.visibility {
                Visibility::Auto => "auto",
                Visibility::Public => "public",
                Visibility::SignedIn => "signed-in",
            },
        );
        page.line("offline", self.offline);
        page.line("allow", texts(self.allow.texts()));
        page.line("deny", texts(self.deny.texts()));
        page.line("tag_ttl", duration(self.tag_ttl));
        page.line("cooldown", duration(self.cooldown));
        page.line("stale_if_error", self.stale_if_error.map_or("forever".into(), duration));
        page.line("negative_ttl", duration(self.negative_ttl));
        page.line("connections", number(self.connections));
        page.line("segments", number(self.segments));
        page.line("prefetch_layers", self.prefetch_layers);
        page.line("ca_file", self.ca_file.as_deref().map(path).unwrap_or_default());
        page.line("insecure", self.insecure);
        match &self.proxy {
            Proxy::Environment => page.line("proxy", ""),
            Proxy::Direct => page.line("proxy", "direct"),
            Proxy::At { url, except } => {
                page.line("proxy", without_password(url));
                page.line("no_proxy", texts(except));
            }
        }
        for rule in &self.freshness {
            page.section("[[upstream.freshness]]");
            page.line("repositories", texts(rule.repositories.texts()));
            page.line("tags", texts(rule.tags.texts()));
            page.line("ttl", duration(rule.times.ttl));
            page.line("cooldown", duration(rule.times.cooldown));
        }
    }
}

impl Endpoint {
    fn shown(&self) -> toml::Value {
        let url = self.url.as_str().trim_end_matches('/').to_owned();
        let Some(credentials) = &self.credentials else { return url.into() };
        let logins = credentials.logins().iter().map(|login| toml::Value::Table(login.shown())).collect();
        toml::Value::Table(toml::Table::from_iter([("url".to_owned(), url.into()), ("credentials".to_owned(), toml::Value::Array(logins))]))
    }
}

impl Allow {
    fn shown(&self) -> toml::Value {
        let entries = [("repositories", texts(self.repositories.texts())), ("actions", texts(self.rights.words()))];
        toml::Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

impl Login {
    fn shown(&self) -> toml::Table {
        let entries = match &self.keeper {
            Keeper::Password { username, password } => {
                vec![("username", username.as_str().into()), ("password", hidden(Some(password)).into())]
            }
            Keeper::DockerConfig(file) => vec![("docker_config", path(file).into())],
            // Arguments may hold a password.
            Keeper::Command(command) => {
                vec![("command", texts(command.iter().enumerate().map(|(at, part)| if at == 0 { part } else { "…" })))]
            }
        };
        let repositories = ("repositories", texts(self.repositories.texts()));
        std::iter::once(repositories).chain(entries).map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

struct Page(String);

impl Page {
    fn section(&mut self, header: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        writeln!(self.0, "{gap}{header}").expect("text takes text");
    }

    fn line(&mut self, key: &str, value: impl Into<toml::Value>) {
        writeln!(self.0, "{key} = {}", value.into()).expect("text takes text");
    }
}

fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> toml::Value {
    toml::Value::Array(items.into_iter().map(|item| toml::Value::String(item.to_string())).collect())
}

fn number(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// In the largest unit that keeps it exact.
fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = units.iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    whole.map_or(format!("{bytes}B"), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

fn hidden(secret: Option<&Secret>) -> String {
    secret.map(|_| "…".to_owned()).unwrap_or_default()
}

fn without_password(proxy: &url::Url) -> String {
    let mut url = proxy.clone();
    if url.password().is_some() {
        url.set_password(Some("***")).expect("an address with a password has a host");
    }
    url.to_string()
}
