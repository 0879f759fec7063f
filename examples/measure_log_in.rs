//! Measures what a flood of wrong passwords costs those who log in with right ones: 100 users, each asking ten times a second with name and
//! password, alone and beside 200 wrong log-ins a second, from another address and from their own.
//!
//! `cargo run --release --example measure_log_in` takes four minutes: a checked password is remembered for one, so every phase hashes all again.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use entrepot::app;
use entrepot::auth::{Pace, hashed};
use entrepot::config::{Secret, Settings};
use entrepot::registry::flight::Tuning;
use entrepot::upstream::Deadlines;

const USERS: usize = 100;
const PHASE: Duration = Duration::from_secs(75);
/// Between two questions of a user, and between two wrong log-ins.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(5)];

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines: Vec<_> =
        (0..USERS).map(|user| format!("user{user}:{}\n", hashed(&Secret::new(format!("right {user}"))).expect("a hash"))).collect();
    let users = folder.path().join("users");
    std::fs::write(&users, lines.concat()).expect("a file");
    let mut settings = Settings::builtin();
    settings.server.listen = vec![([127, 0, 0, 1], 0).into()];
    settings.storage.data = folder.path().join("data");
    settings.auth.htpasswd = Some(users);
    let running = app::start(&settings, Deadlines::default(), Tuning::default(), Pace::default()).await.expect("a server");
    let url = format!("http://{}/v2/", running.addresses().expect("an address")[0]);
    let served = tokio::spawn(async move { running.serve(&settings, std::future::pending()).await });
    for (what, flood) in
        [("no flood", None), ("a flood from elsewhere", Some([127, 0, 0, 2])), ("a flood from the same address", Some([127, 0, 0, 1]))]
    {
        let end = Instant::now() + PHASE;
        let wrong = flood.map(|address| tokio::spawn(guess(client(address.into()), url.clone(), end)));
        let good = (0..USERS).map(|user| tokio::spawn(ask(client([127, 0, 0, 1].into()), url.clone(), user, end)));
        let mut times: Vec<_> = futures_util::future::join_all(good).await.into_iter().flat_map(|times| times.expect("no panic")).collect();
        let wrong = match wrong {
            Some(wrong) => wrong.await.expect("no panic"),
            None => 0,
        };
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 1000];
        println!(
            "{what}: {} right log-ins, {wrong} wrong; half in {:?}, p99 {:?}, p99.9 {:?}, all in {:?}",
            times.len(),
            at(500),
            at(990),
            at(999),
            at(1000)
        );
    }
    served.abort();
}

fn client(from: IpAddr) -> reqwest::Client {
    reqwest::Client::builder().no_proxy().local_address(from).build().expect("a client")
}

/// How long each answer took.
async fn ask(client: reqwest::Client, url: String, user: usize, end: Instant) -> Vec<Duration> {
    let mut times = Vec::new();
    while Instant::now() < end {
        let start = Instant::now();
        let answer = client.get(&url).basic_auth(format!("user{user}"), Some(format!("right {user}"))).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "a right password is never refused");
        times.push(start.elapsed());
        tokio::time::sleep(PAUSES[0]).await;
    }
    times
}

/// Sends wrong log-ins, half of them for users that are there, without waiting for their answers. Tells how many.
async fn guess(client: reqwest::Client, url: String, end: Instant) -> usize {
    let mut sent = 0;
    while Instant::now() < end {
        let user = if sent % 2 == 0 { format!("user{}", sent % USERS) } else { format!("nobody{sent}") };
        tokio::spawn(client.get(&url).basic_auth(user, Some(format!("wrong {sent}"))).timeout(Duration::from_secs(10)).send());
        sent += 1;
        tokio::time::sleep(PAUSES[1]).await;
    }
    sent
}
