//! SEC-45: requests whose end two readers could see in different places. However such a request is taken, there is one answer to it, and
//! what is hidden in it is never one of its own.

use std::time::Duration;

use super::app::*;
use super::raw::said_to;

/// What an attacker would have understood as a request of its own.
const HIDDEN: &str = "GET /v2/hidden/tags/list HTTP/1.1\r\nHost: hidden\r\n\r\n";

/// A request with these header lines (each with its own end) and this body.
fn post(lines: &str, body: &str) -> String {
    format!("POST /token HTTP/1.1\r\nHost: x\r\n{lines}\r\n{body}")
}

/// Chunked, with the hidden request in the one chunk.
fn chunked(lines: &str) -> String {
    post(lines, &format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len()))
}

/// Chunked as it should be, but for the chunks.
fn chunks(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

/// With one Content-Length, which spans the hidden request.
fn length(value: &str) -> String {
    post(&format!("Content-Length: {}\r\n", value.replace('N', &HIDDEN.len().to_string())), HIDDEN)
}

/// Where CL would end before the hidden request, and TE after it, or the other way round.
fn both(lines: &str) -> [String; 2] {
    let ends = post(&lines.replace('N', &(HIDDEN.len() + 5).to_string()), &format!("0\r\n\r\n{HIDDEN}"));
    [ends, chunked(&lines.replace('N', "4"))]
}

fn vectors() -> Vec<String> {
    let n = HIDDEN.len();
    let mut vectors = Vec::new();
    for lines in [
        "Content-Length: N\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: N\r\n",
        "Content-Length: N\r\nTransfer-Encoding: xchunked\r\n",
        "Content-Length: N\r\nTransfer-Encoding: chunked, identity\r\n",
        "Content-Length: N\r\nTransfer-Encoding:\r\n chunked\r\n",
        "Content-Length: N\r\nTransfer-Encoding : chunked\r\n",
        "Content-Length: N\r\n Transfer-Encoding: chunked\r\n",
        "Content-Length: N\r\nTransfer-Encoding: \x0bchunked\r\n",
        "Content-Length: N\r\nTransfer-Encoding: chunked\0\r\n",
        "Content-Length: N\r\nTransfer-Encoding\0: chunked\r\n",
        "Content-Length: N\r\nX: a\nTransfer-Encoding: chunked\r\n",
        "Content-Length: N\r\nX: a\rTransfer-Encoding: chunked\r\n",
        "Content-Length: N\r\nTransfer-Encoding: \"chunked\"\r\n",
    ] {
        vectors.extend(both(lines));
    }
    vectors.extend([
        post(&format!("Content-Length: 0\r\nContent-Length: {n}\r\n"), HIDDEN),
        post(&format!("Content-Length: {n}\r\nContent-Length: 0\r\n"), HIDDEN),
        length("0, N"),
        length("N, N"),
    ]);
    for value in ["+N", "-1", "0xN", "N N", "", "N;", "1e1", "18446744073709551616", "0N,", "N\x0b", "\u{663}"] {
        vectors.push(length(value));
    }
    vectors.extend([
        post(&format!("Content-Length : {n}\r\n"), HIDDEN),
        post(&format!("Content-Length\t: {n}\r\n"), HIDDEN),
        post(&format!("Content-Length:\r\n {n}\r\n"), HIDDEN),
        post(&format!("Content-Length: {n}\n"), HIDDEN),
        chunked("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        chunked("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
        chunked("Transfer-Encoding: gzip, chunked\r\n"),
        chunked("Transfer-Encoding: chunked\r\n").replace("HTTP/1.1\r\nHost: x", "HTTP/1.0\r\nHost: x"),
    ]);
    for size in ["+N", "-N", "0xN", " N", "N N", "N\n", "N;a\n", "FFFFFFFFFFFFFFFFN", "1000000000000000N", ""] {
        let size = size.replace('N', &format!("{n:x}"));
        vectors.push(chunks(&format!("{size}\r\n{HIDDEN}\r\n0\r\n\r\n")));
    }
    vectors.extend([
        chunks(&format!("{n:x}\r\n{HIDDEN}0\r\n\r\n")),
        chunks(&format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", n + 2)),
        chunks(&format!("0\r\nContent-Length: {n}\r\n\r\n")),
        chunks(&format!("0\r\nX: {HIDDEN}")),
    ]);
    vectors
}

#[tokio::test]
async fn rustsec_2021_0078_there_is_one_answer_to_one_request_whatever_it_says_of_its_length() {
    let app = App::with(|settings| {
        // What is unfinished by one reading waits for its end.
        let limits = &mut settings.server.limits;
        (limits.idle, limits.headers, limits.slow) = (Duration::from_millis(300), Duration::from_millis(300), Duration::from_millis(300));
    })
    .await;
    let vectors = vectors();
    assert!(vectors.len() >= 40);
    let said = futures_util::future::join_all(vectors.iter().map(|vector| said_to(&app, vector.as_bytes()))).await;
    for (vector, said) in vectors.iter().zip(said) {
        let right = said.matches("HTTP/1.1 ").count() == 1 && !said.contains("hidden");
        assert!(right && ["200", "400"].contains(&&said[9..12]), "{vector:?}\n{said}");
    }
}

#[tokio::test]
async fn rustsec_2021_0078_requests_that_follow_each_other_have_an_answer_each() {
    let app = App::start().await;
    let two = format!("{}{}", chunked("Transfer-Encoding: chunked\r\n"), post("Connection: close\r\n", ""));
    assert_eq!(said_to(&app, two.as_bytes()).await.matches("HTTP/1.1 200").count(), 2);
}
