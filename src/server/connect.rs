//! `/connect`: the lines by which a client comes to reach and to trust this server, and the certificate of its CA.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::Server;
use super::tls::Authority;

/// The path of the CA's certificate, which is given over plain HTTP too: how else would a client get it?
pub const CA: &str = "/connect/ca.crt";

/// `GET /connect`
pub async fn lines(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let host = server.host(&parts);
    let authority = server.tls.as_ref().and_then(|tls| tls.authority());
    let secure = server.tls.is_some() || server.base(&parts).starts_with("https");
    if secure { trusting(&host, authority) } else { plain(&host) }.into_response()
}

/// `GET /connect/ca.crt`
pub async fn ca(State(server): State<Arc<Server>>) -> Response {
    match server.tls.as_ref().and_then(|tls| tls.authority()) {
        Some(authority) => ([(CONTENT_TYPE, "application/x-pem-file")], authority.pem().to_owned()).into_response(),
        None => {
            let text = "this server has no CA of its own (server.tls.mode is not \"self-signed\"); /connect says how to reach it\n";
            (StatusCode::NOT_FOUND, text).into_response()
        }
    }
}

fn trusting(host: &str, authority: Option<&Authority>) -> String {
    let first = match authority {
        Some(authority) => format!(
            "First get the certificate of its CA, and compare the fingerprint with the one that the server printed at its start:

  curl -fsSo ca.crt http://{host}{CA}
  openssl x509 -in ca.crt -noout -fingerprint -sha256
  # {}
",
            authority.fingerprint()
        ),
        None => "Its certificate comes from its owner. A client that trusts the CA of that needs nothing of this; for others ask\n\
                 the owner for the certificate of the CA, as ca.crt.\n"
            .to_owned(),
    };
    format!(
        "How a client comes to trust this server, https://{host}. On the server itself, localhost needs nothing of this.

{first}
Docker, without a restart:

  sudo install -D -m 644 ca.crt /etc/docker/certs.d/{host}/ca.crt
  docker pull {host}/nginx

As a mirror of Docker Hub, in /etc/docker/daemon.json, then restart Docker:

  {{ \"registry-mirrors\": [\"https://{host}\"] }}

containerd, without a restart where its config_path is /etc/containerd/certs.d:

  sudo install -D -m 644 ca.crt /etc/containerd/certs.d/{host}/ca.crt
  printf 'server = \"https://{host}\"\\n[host.\"https://{host}\"]\\n  ca = \"/etc/containerd/certs.d/{host}/ca.crt\"\\n' |
    sudo tee /etc/containerd/certs.d/{host}/hosts.toml

podman, buildah, skopeo:

  sudo install -D -m 644 ca.crt /etc/containers/certs.d/{host}/ca.crt
  podman pull {host}/nginx

The whole system, Debian and Ubuntu (then restart Docker and containerd):

  sudo install -m 644 ca.crt /usr/local/share/ca-certificates/entrepot.crt
  sudo update-ca-certificates

The whole system, Fedora, RHEL and their kin:

  sudo install -m 644 ca.crt /etc/pki/ca-trust/source/anchors/entrepot.crt
  sudo update-ca-trust
"
    )
}

fn plain(host: &str) -> String {
    format!(
        "How a client reaches this server, which speaks plain HTTP alone (server.tls.mode = \"off\"). localhost needs nothing of this.

Docker, in /etc/docker/daemon.json, then restart it:

  {{ \"registry-mirrors\": [\"http://{host}\"], \"insecure-registries\": [\"{host}\"] }}

containerd, in /etc/containerd/certs.d/{host}/hosts.toml:

  server = \"http://{host}\"

podman, buildah, skopeo, in /etc/containers/registries.conf:

  [[registry]]
  location = \"{host}\"
  insecure = true
"
    )
}
