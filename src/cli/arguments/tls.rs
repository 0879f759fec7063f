//! The arguments of `entrepot tls`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Make certificates.
#[derive(Clone, Debug, Args)]
pub struct Tls {
    #[command(subcommand)]
    pub command: TlsCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum TlsCommand {
    Init(TlsInit),
}

/// Write a CA and a server's certificate under it: ca.crt, ca.key, server.crt, server.key. Nothing is written over.
///
/// For other servers, or to keep the CA's key elsewhere (server.tls.mode = "files"). `entrepot serve` makes its own by itself.
/// The CA is good for 10 years, the certificate for 395 days.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TlsInit {
    /// A name or address that the certificate is for; may be repeated
    #[arg(long, value_name = "NAME|IP", required = true)]
    pub host: Vec<String>,
    /// The folder to write to
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,
}

const EXAMPLES: &str = "Examples:
  entrepot tls init --host registry.lan --host 192.0.2.7 --output certificates";
