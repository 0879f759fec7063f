//! The accept loop against clients that are silent, slow, too many, or speak something else. Deadlines are a hundredth of the real ones.

#[path = "edges/floods.rs"]
mod floods;
#[path = "support/http2_flood.rs"]
mod http2_flood;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use entrepot::config::{Limits, Networks};
use entrepot::server::listen::{ClientAddress, bind, serve};
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Longer than every deadline here, even on a busy machine.
const LONG: Duration = Duration::from_secs(20);
const GET: &[u8] = b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n";
const GET_LARGE: &[u8] = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
const GET_PAUSES: &[u8] = b"GET /pauses HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn limits() -> Limits {
    Limits {
        connections: 1000,
        connections_per_address: 1000,
        idle: Duration::from_millis(300),
        headers: Duration::from_millis(300),
        slow: Duration::from_millis(500),
        slow_rate: 1024,
        shutdown: LONG,
    }
}

/// Limits for tests that are about others.
fn patient() -> Limits {
    Limits { idle: LONG * 2, headers: LONG * 2, slow: LONG * 2, ..limits() }
}

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    cut: JoinHandle<usize>,
    /// What happens in the service: `begun`, `dropped`, `stalled`.
    events: mpsc::UnboundedReceiver<&'static str>,
}

impl Server {
    async fn start(limits: Limits) -> Server {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, events) = mpsc::unbounded_channel();
        let service = Router::new()
            .route("/ok", get(async |Extension(ClientAddress(client)): Extension<ClientAddress>| client.to_string()))
            .route("/large", get(large))
            .route("/pauses", get(pauses))
            .route("/upload", post(upload))
            .with_state(tell);
        let cut = tokio::spawn(serve(vec![listener], service, limits, Networks::default(), None, async {
            let _ = stopped.await;
        }));
        Server { address, stop, cut, events }
    }

    async fn connect(&self, first: &[u8]) -> TcpStream {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(first).await.unwrap();
        client
    }

    async fn event(&mut self) -> &'static str {
        timeout(LONG, self.events.recv()).await.expect("something happens in the service").unwrap()
    }
}

type Tell = mpsc::UnboundedSender<&'static str>;

struct Dropped(Tell);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

/// Bytes without end.
async fn large(State(tell): State<Tell>) -> Body {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let _ = tell.send("begun");
    let dropped = Dropped(tell);
    Body::from_stream(stream::repeat(()).map(move |()| {
        let _held = &dropped;
        Ok::<_, Infallible>(Bytes::from_static(&ZEROS))
    }))
}

/// Two bytes, each after a pause that is longer than a slow client may take.
async fn pauses(State(tell): State<Tell>) -> Body {
    let _ = tell.send("begun");
    Body::from_stream(stream::iter(["a", "b"]).then(async |letter| {
        sleep(limits().slow * 2).await;
        Ok::<_, Infallible>(letter)
    }))
}

async fn upload(State(tell): State<Tell>, body: Body) -> Response {
    let mut body = body.into_data_stream();
    let _ = tell.send("begun");
    while let Some(piece) = body.next().await {
        if piece.is_err() {
            let _ = tell.send("stalled");
            return StatusCode::REQUEST_TIMEOUT.into_response();
        }
    }
    "got it".into_response()
}

/// All that the server sends until it closes, and whether it closed without a reset.
async fn rest(client: &mut TcpStream) -> (String, bool) {
    let mut bytes = Vec::new();
    let end = timeout(LONG, client.read_to_end(&mut bytes)).await.expect("the server closes the connection");
    (String::from_utf8_lossy(&bytes).into_owned(), end.is_ok())
}

/// SEC-44, C1: a connection that said nothing stayed for ever.
#[tokio::test]
async fn axum_2741_whoever_does_not_finish_a_request_is_closed_in_time() {
    let server = Server::start(limits()).await;
    for first in [&b""[..], b"P", b"G", b"PRI * HTTP/2.0", PREFACE, b"GET /ok HTTP/1.1\r\nHost: x\r\n"] {
        let mut client = server.connect(first).await;
        let (answer, _) = rest(&mut client).await;
        assert!(!answer.contains("200"), "{answer}");
    }
}

/// SEC-44, C1: and so did one that said little.
#[tokio::test]
async fn axum_2741_headers_that_drip_do_not_move_the_deadline() {
    let server = Server::start(Limits { idle: LONG * 2, ..limits() }).await;
    let (mut reader, mut writer) = server.connect(b"GET /ok HTTP/1.1\r\nX-Drip: ").await.into_split();
    let drip = async {
        while writer.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let mut answer = Vec::new();
    let closed = async { drop(reader.read_to_end(&mut answer).await) };
    timeout(LONG, async {
        tokio::select! { () = drip => {}, () = closed => {} }
    })
    .await
    .expect("the server closes the connection");
}

#[tokio::test]
async fn a_connection_that_rested_serves_again_and_is_closed_when_idle() {
    let server = Server::start(Limits { headers: LONG * 2, ..limits() }).await;
    let mut client = server.connect(GET).await;
    let mut room = [0; 4096];
    let count = client.read(&mut room).await.unwrap();
    let address = client.local_addr().unwrap().to_string();
    assert!(String::from_utf8_lossy(&room[..count]).ends_with(&address), "the service knows the client's address");
    sleep(limits().idle / 2).await;
    client.write_all(GET).await.unwrap();
    let (answer, clean) = rest(&mut client).await;
    assert!(clean && answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_tls_hello_is_answered_in_plain_http() {
    let server = Server::start(patient()).await;
    let mut hello = vec![0x16, 3, 1, 2, 0];
    hello.resize(517, 7);
    let mut client = server.connect(&hello).await;
    let (answer, clean) = rest(&mut client).await;
    assert!(clean, "no reset may overtake the answer");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("plain HTTP"), "{answer}");
}

#[tokio::test]
async fn above_the_cap_of_an_address_a_client_is_told_and_later_admitted() {
    let server = Server::start(Limits { connections_per_address: 2, ..patient() }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = server.connect(GET).await;
        assert!(client.read(&mut [0; 4096]).await.unwrap() > 0);
        held.push(client);
    }
    let mut refused = server.connect(GET).await;
    let (answer, clean) = rest(&mut refused).await;
    assert!(clean && answer.starts_with("HTTP/1.1 503 ") && answer.contains("TOOMANYREQUESTS"), "{answer}");
    held.pop();
    let admitted = async {
        loop {
            let mut client = server.connect(GET).await;
            let mut room = [0; 12];
            if client.read_exact(&mut room).await.is_ok() && &room == b"HTTP/1.1 200" {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, admitted).await.expect("the place that was given back is given again");
}

#[tokio::test]
async fn a_flood_of_headers_is_bounded() {
    let server = Server::start(patient()).await;
    let mut client = server.connect(b"GET /ok HTTP/1.1\r\n").await;
    let line = format!("X-Flood: {}\r\n", "x".repeat(1000));
    let mut sent = 0;
    while sent < 64 << 20 && timeout(LONG, client.write_all(line.as_bytes())).await.expect("nobody waits").is_ok() {
        sent += line.len();
    }
    // What the kernels hold comes on top of the server's buffer.
    assert!(sent < 32 << 20, "{sent} bytes of headers were taken");
}

#[tokio::test]
async fn who_does_not_read_is_cut_and_others_are_not() {
    let mut server = Server::start(limits()).await;
    let mut waiting = server.connect(GET_PAUSES).await;
    assert_eq!(server.event().await, "begun");
    let mut reader = server.connect(GET_LARGE).await;
    assert_eq!(server.event().await, "begun");
    let reading = tokio::spawn(async move {
        let mut room = vec![0; 1 << 20];
        while reader.read(&mut room).await.is_ok_and(|count| count > 0) {
            sleep(Duration::from_millis(5)).await;
        }
    });
    let mut idler = server.connect(GET_LARGE).await;
    assert_eq!(server.event().await, "begun");
    assert_eq!(server.event().await, "dropped");
    assert!(!reading.is_finished(), "a client that reads goes on");
    let (_, clean) = rest(&mut idler).await;
    assert!(!clean, "the connection is reset, so that the kernel keeps nothing");
    let (answer, _) = rest(&mut waiting).await;
    assert!(answer.contains("\r\na\r\n") && answer.ends_with("0\r\n\r\n"), "time without bytes to send does not count: {answer}");
    reading.abort();
}

#[tokio::test]
async fn who_does_not_open_the_window_of_http2_is_cut() {
    let mut server = Server::start(limits()).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let answer = client.get(format!("http://{}/large", server.address)).send().await.unwrap();
    assert_eq!(server.event().await, "begun");
    assert_eq!(server.event().await, "dropped");
    drop(answer);
}

#[tokio::test]
async fn http2_is_served_without_tls() {
    let server = Server::start(limits()).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let answer = client.get(format!("http://{}/ok", server.address)).send().await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 200));
}

#[tokio::test]
async fn an_upload_that_stalls_is_cut_and_one_that_goes_on_is_not() {
    let mut server = Server::start(limits()).await;
    let head = b"POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\n";
    let mut steady = server.connect(head).await;
    assert_eq!(server.event().await, "begun");
    let steady = tokio::spawn(async move {
        for _ in 0..10 {
            steady.write_all(b"x").await.unwrap();
            sleep(limits().slow / 5).await;
        }
        rest(&mut steady).await.0
    });
    let mut stalled = server.connect(head).await;
    assert_eq!(server.event().await, "begun");
    stalled.write_all(b"12345").await.unwrap();
    assert_eq!(server.event().await, "stalled");
    assert!(rest(&mut stalled).await.0.starts_with("HTTP/1.1 408 "));
    assert!(steady.await.unwrap().ends_with("got it"));
}

#[tokio::test]
async fn a_running_answer_finishes_after_the_signal_and_nothing_new_begins() {
    let mut server = Server::start(patient()).await;
    let mut idle = server.connect(GET).await;
    assert!(idle.read(&mut [0; 4096]).await.unwrap() > 0);
    let mut silent = server.connect(b"").await;
    let mut running = server.connect(GET_PAUSES).await;
    assert_eq!(server.event().await, "begun");
    server.stop.send(()).unwrap();
    assert_eq!(rest(&mut idle).await.0, "");
    rest(&mut silent).await;
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
    assert!(rest(&mut running).await.0.ends_with("0\r\n\r\n"));
    assert_eq!(timeout(LONG, server.cut).await.expect("serving ends").unwrap(), 0);
}

#[tokio::test]
async fn what_runs_too_long_after_the_signal_is_cut_and_counted() {
    let mut server = Server::start(Limits { shutdown: Duration::from_millis(50), ..patient() }).await;
    let _running = server.connect(GET_LARGE).await;
    assert_eq!(server.event().await, "begun");
    server.stop.send(()).unwrap();
    assert_eq!(timeout(LONG, server.cut).await.expect("serving ends").unwrap(), 1);
    assert_eq!(server.events.recv().await, Some("dropped"));
}

#[tokio::test]
async fn an_idle_connection_and_its_client_cost_at_most_32_kib() {
    const MANY: usize = 2000;
    let server = Server::start(Limits { connections: 2 * MANY, connections_per_address: 2 * MANY, ..patient() }).await;
    let mut held = Vec::with_capacity(2 * MANY);
    let mut before = 0;
    // The first tenth pays for what all share.
    for number in 0..MANY + MANY / 10 {
        if number == MANY / 10 {
            before = resident_kib();
        }
        let mut client = server.connect(GET).await;
        assert!(client.read(&mut [0; 256]).await.unwrap() > 0);
        held.push(client);
    }
    let each = (resident_kib() - before) / MANY;
    assert!(each <= 32, "{each} KiB each");
}

/// The resident memory of this process in KiB.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
