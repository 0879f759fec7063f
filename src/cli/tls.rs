//! `entrepot tls init`: a CA and a server's certificate for other uses. It asks nothing and touches no data folder.

use super::arguments::{TlsCommand, TlsInit};
use crate::app;
use crate::config::certificate_hosts;
use crate::server::tls;

/// Runs a command about certificates.
pub fn run(command: TlsCommand) -> Result<(), String> {
    let TlsCommand::Init(TlsInit { host, output }) = command;
    let hosts = certificate_hosts(&host).map_err(|why| format!("--host: {why}"))?;
    let authority = tls::init(&output, &hosts).map_err(|error| error.to_string())?;
    println!(
        "wrote ca.crt, ca.key, server.crt and server.key to {}\nthe CA's SHA-256 fingerprint is {}",
        app::shown(&output),
        authority.fingerprint()
    );
    println!("clients trust ca.crt; a server shows server.crt with server.key; keep ca.key where nobody else reads it");
    Ok(())
}
