//! The fault upstream as a program, for tests that use real clients:
//! `fault_upstream --listen ADDR --cdn ADDR --backend HOST:PORT|URL [--tokens] [--redirect] [--hub-401]`
//!
//! It prints its two addresses, then serves until killed. `GET /_fault/stats` counts, `POST /_fault/script` with
//! `{"rules": [{"path": "/v2/", "fault": {"status": 503}}]}` replaces the script, `POST /_fault/reset` forgets both.

#[path = "../tests/support/fault_upstream/mod.rs"]
mod fault_upstream;

use fault_upstream::FaultUpstream;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut listen, mut cdn, mut backend) = ("127.0.0.1:0".to_owned(), "127.0.0.2:0".to_owned(), None);
    let (mut tokens, mut redirect, mut hub_401) = (false, false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--listen" => listen = value()?,
            "--cdn" => cdn = value()?,
            "--backend" => backend = Some(value()?.trim_start_matches("http://").trim_end_matches('/').to_owned()),
            "--tokens" => tokens = true,
            "--redirect" => redirect = true,
            "--hub-401" => hub_401 = true,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let upstream = FaultUpstream::listen(&listen, &cdn, backend).await?;
    upstream.behave(|b| (b.tokens, b.redirect, b.hub_401) = (tokens, redirect, hub_401));
    println!("registry {}\ncdn {}", upstream.address(), upstream.cdn());
    upstream.run().await;
    Ok(())
}
