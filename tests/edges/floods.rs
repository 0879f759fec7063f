//! Many clients that mean harm at once: the server stays as small as it was, and others are served.
//! `examples/measure_edges` has the same with the full numbers.

use std::net::SocketAddr;

use super::http2_flood::Flood;
use super::*;

/// Frames of a flood come in batches of two hundred.
const BATCHES: u32 = 1000;
const MANY: usize = 50;

/// Sends the flood until it is all sent, the server closes, or it takes no more.
async fn flood(flood: Flood, address: SocketAddr) {
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let path = if flood == Flood::Streams { "/large" } else { "/ok" };
    let drain = async {
        let mut room = vec![0; 64 << 10];
        while flood.reads() && reader.read(&mut room).await.is_ok_and(|count| count > 0) {}
        std::future::pending::<()>().await;
    };
    let send = async {
        drop(writer.write_all(&flood.opening(path)).await);
        for turn in 0..BATCHES {
            if writer.write_all(&flood.batch(turn, path)).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = drain => {}, () = send => {} }
}

/// SEC-43, C6: floods of frames that cost their sender nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rustsec_2024_0003_no_flood_of_frames_fills_the_memory_or_shuts_others_out() {
    for kind in Flood::ALL {
        let server = Server::start(limits()).await;
        let before = resident_kib();
        let flooding = tokio::spawn(timeout(LONG * 3, flood(kind, server.address)));
        let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
        let mut served = 0;
        while !flooding.is_finished() || served == 0 {
            let answer = timeout(LONG, client.get(format!("http://{}/ok", server.address)).send()).await.expect("others are served");
            assert_eq!(answer.unwrap().status().as_u16(), 200, "{kind:?}");
            served += 1;
        }
        flooding.await.unwrap().unwrap_or_else(|_| panic!("{kind:?}: the server neither took it nor closed"));
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < 64 << 10, "{kind:?}: {grown} KiB more");
    }
}

/// C2: who reads nothing of a large answer is given little of it, and is cut; all of them are.
#[tokio::test]
async fn fifty_who_read_nothing_are_all_cut_and_cost_little() {
    let mut server = Server::start(limits()).await;
    let before = resident_kib();
    let mut stalled = Vec::new();
    for _ in 0..MANY {
        stalled.push(server.connect(GET_LARGE).await);
    }
    let (mut begun, mut dropped, mut most) = (0, 0, 0);
    while dropped < MANY {
        match server.event().await {
            "begun" => begun += 1,
            _ => dropped += 1,
        }
        most = most.max(resident_kib().saturating_sub(before));
    }
    assert_eq!(begun, MANY);
    assert!(most / MANY <= 160, "{} KiB each", most / MANY);
}

/// C4: headers that are too large are not kept until they end, which they never do.
#[tokio::test]
async fn axum_2741_fifty_unfinished_headers_of_380_kb_cost_little() {
    let server = Server::start(patient()).await;
    let line = format!("X-Large: {}\r\n", "x".repeat(989));
    let text = format!("GET /ok HTTP/1.1\r\nHost: x\r\n{}", line.repeat(380));
    let before = resident_kib();
    for _ in 0..MANY {
        let mut client = server.connect(b"").await;
        // It may be closed before all of it is sent.
        drop(timeout(LONG, client.write_all(text.as_bytes())).await.expect("nobody waits"));
        rest(&mut client).await;
    }
    let grown = resident_kib().saturating_sub(before);
    assert!(grown <= 5 << 10, "{grown} KiB more");
}
