//! What an upstream may do wrong, where, and what a client gets for it.
//!
//! An expectation is a word, how often the struck path is asked for, and how many failures the log tells where that is not
//! the same: `ok` is right and whole, `stale` is right, old and says so, `cut` breaks off and goes on at another endpoint,
//! `wrong` breaks off because the bytes were wrong, a number is an error with that status. `-` means nothing there.

use super::app::Fault;
use Fault::*;

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// HEAD of a tag that is not here.
    Head,
    /// GET of a tag that is not here.
    Tag,
    /// GET of a manifest by its digest.
    Digest,
    /// GET of a blob at a registry that has it itself.
    Blob,
    /// The same where a redirect leads to a CDN, which the fault strikes.
    Cdn,
    /// GET of a tag that is here and no longer believed.
    Stale,
    /// The token service, for a tag that is not here.
    Token,
}

/// A way to misbehave, and what comes of it at each place.
pub struct Row {
    pub name: &'static str,
    pub faults: Vec<Fault>,
    wants: Vec<(Place, &'static str)>,
}

impl Row {
    pub fn wants(&self) -> impl Iterator<Item = (Place, &'static str)> {
        self.wants.iter().copied().filter(|(_, want)| *want != "-")
    }
}

fn row(name: &'static str, faults: &[Fault], wants: [&'static str; 6]) -> Row {
    let places = [Place::Head, Place::Tag, Place::Digest, Place::Blob, Place::Cdn, Place::Stale];
    Row { name, faults: faults.to_vec(), wants: places.into_iter().zip(wants).collect() }
}

fn token(name: &'static str, fault: Fault, want: &'static str) -> Row {
    Row { name, faults: vec![fault], wants: vec![(Place::Token, want)] }
}

fn raw(text: &str) -> Fault {
    Raw(text.to_owned())
}

fn to(url: &str) -> Fault {
    RedirectTo(url.to_owned())
}

fn header(name: &str, value: &str) -> Fault {
    Header(name.to_owned(), value.to_owned())
}

fn limited(retry_after: &str) -> Fault {
    TooMany { retry_after: Some(retry_after.to_owned()) }
}

fn page(status: u16) -> Fault {
    Instead(status, "text/html".into(), "<html>no</html>".into())
}

fn json(body: &str) -> Fault {
    Instead(200, "application/json".into(), body.to_owned())
}

/// Everything but the token service.
pub fn rows() -> Vec<Row> {
    let failed = ["502 1", "502 1", "502 1", "502 1", "502 1", "stale 1"];
    let silent = ["504 1", "504 1", "504 1", "504 1", "504 1", "stale 1"];
    let limits = ["429 1", "429 1", "429 1", "429 1", "429 1", "stale 1"];
    // The sixth hop is not made; to the CDN the first one leads.
    let looped = ["502 6/1", "502 6/1", "502 6/1", "502 6/1", "502 5/1", "stale 6/1"];
    let right = ["ok 1", "ok 1", "ok 1", "ok 1", "ok 1", "ok 1"];
    // After a token was granted, a registry's own words deny. A CDN's are no registry's.
    let denied = ["404 1", "404 1", "404 1", "404 1", "502 1", "404 1"];
    let mut rows = vec![
        row("takes its time", &[Latency { ms: 30 }], right),
        row("says nothing", &[NoAnswer], silent),
        row("is much too late", &[Latency { ms: 20_000 }], silent),
        row("resets", &[Reset], failed),
        row("hangs up", &[raw("")], failed),
        row("hangs up in the status line", &[raw("HTTP/1.1 2")], failed),
        row("hangs up in the headers", &[raw("HTTP/1.1 200 OK\r\nContent-")], failed),
        row("speaks no HTTP", &[raw("SSH-2.0-OpenSSH_9.2\r\n\r\n")], failed),
        row(
            "names a negative length",
            &[raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: -1\r\n\r\n{}")],
            ["502 2/1", "502 1", "502 1", "502 1", "502 1", "stale 2/1"],
        ),
        row("names two lengths", &[raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ")], failed),
        row("falls silent after the headers", &[StallAfter(0)], ["ok 1", "504 1", "504 1", "cut 5", "cut 5", "ok 1"]),
        row("ends after the headers", &[CutAfter(0)], ["ok 1", "502 1", "502 1", "cut 5", "cut 5", "ok 1"]),
        row("ends in the middle each time", &[CutAfter(70_000)], ["-", "-", "-", "ok 3", "ok 3", "-"]),
        row("ends in the middle of a manifest", &[CutAfter(100)], ["-", "502 1", "502 1", "-", "-", "-"]),
        row("sends a manifest byte by byte", &[Drip { bytes: 1, every_ms: 20 }], ["ok 1", "504 1", "504 1", "-", "-", "ok 1"]),
        row("sends a blob in drops", &[Drip { bytes: 20_000, every_ms: 10 }], ["-", "-", "-", "ok 1", "ok 1", "-"]),
        row("flips a bit", &[Flip], ["ok 1", "502 1", "502 1", "wrong 1", "wrong 1", "ok 1"]),
        row("sends other bytes", &[Swap], ["ok 1", "502 1", "502 1", "wrong 1", "wrong 1", "ok 1"]),
        row("leaves out the end", &[Truncate(1)], ["ok 1", "502 1", "502 1", "502 1", "502 1", "ok 1"]),
        row("adds to the end", &[Append(1)], ["ok 1", "502 1", "502 1", "502 1", "502 1", "ok 1"]),
        row("names too short a length", &[LengthLie(-1)], ["ok 1", "502 1", "502 1", "502 1", "502 1", "ok 1"]),
        row("names too long a length", &[LengthLie(1)], ["ok 1", "502 1", "502 1", "502 1", "502 1", "ok 1"]),
        row("names an absurd length", &[LengthLie(1 << 62)], ["ok 1", "502 1", "502 1", "502 1", "502 1", "ok 1"]),
        row("sends chunks", &[Chunked], right),
        row("sends chunks without the end", &[Chunked, Truncate(1)], ["ok 1", "502 1", "502 1", "cut 5", "cut 5", "ok 1"]),
        row("sends chunks and more", &[Chunked, Append(1)], ["ok 1", "502 1", "502 1", "ok 1", "ok 1", "ok 1"]),
        row("sends chunks with a wrong bit", &[Chunked, Flip], ["ok 1", "502 1", "502 1", "wrong 1", "wrong 1", "ok 1"]),
        row(
            "breaks its chunks",
            &[raw(
                "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            )],
            ["502 2/1", "502 1", "502 1", "cut 5", "cut 5", "stale 2/1"],
        ),
        row("codes its bytes", &[Coded], failed),
        row("shows a page to log in", &[HtmlPage], failed),
        row(
            "shows a page behind another type",
            &[page(200), header("Content-Type", "application/json")],
            ["-", "502 1", "502 1", "502 1", "502 1", "-"],
        ),
        row("sends nothing, with 200", &[EmptyOk], failed),
        row("has no content", &[raw("HTTP/1.1 204 No Content\r\n\r\n")], failed),
        row(
            "says that nothing has changed",
            &[raw("HTTP/1.1 304 Not Modified\r\n\r\n")],
            ["502 1", "502 1", "502 1", "502 1", "502 1", "-"],
        ),
        row(
            "sends a part that nobody asked for",
            &[raw("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/2\r\nContent-Length: 2\r\n\r\n{}")],
            ["-", "502 1", "502 1", "502 1", "502 1", "-"],
        ),
        row("tells no digest", &[NoDigest], ["ok 2/0", right[1], right[2], right[3], right[4], "ok 1"]),
        row(
            "tells what is no digest",
            &[header("Docker-Content-Digest", "sha256:short")],
            ["ok 2/0", right[1], right[2], right[3], right[4], "ok 1"],
        ),
        row(
            "tells another digest",
            &[header("Docker-Content-Digest", "sha256:0000000000000000000000000000000000000000000000000000000000000000")],
            ["-", "502 1", right[2], right[3], right[4], "-"],
        ),
        row("forgets the type", &[header("Content-Type", "application/octet-stream")], ["-", "ok 1", "ok 1", "ok 1", "ok 1", "ok 1"]),
        row("says that a manifest is a picture", &[header("Content-Type", "image/png")], ["-", "502 1", "502 1", "-", "-", "-"]),
        row("has too many requests", &[TooMany { retry_after: None }], limits),
        row("has too many requests for a minute", &[limited("60")], limits),
        row("has too many requests for ages", &[limited("99999999999")], limits),
        row("has too many requests until a day in 2099", &[limited("Thu, 01 Jan 2099 00:00:00 GMT")], limits),
        row("has too many requests until yesterday", &[limited("Thu, 01 Jan 1970 00:00:00 GMT")], limits),
        row("has too many requests until soon", &[limited("soon")], limits),
        row("forbids without a registry's words", &[BareForbidden], failed),
        row("forbids by a page", &[page(403)], failed),
        row("denies", &[Status(403)], denied),
        row("wants no token any more", &[Status(401)], denied),
        row("does not have it", &[Status(404)], ["404 1"; 6]),
        row("says that a page is missing", &[page(404)], ["404 1"; 6]),
        row("redirects in a circle", &[to("?again")], looped),
        row("redirects to nowhere", &[to("")], failed),
        row("redirects to the cloud's secrets", &[to("http://169.254.169.254/latest/meta-data/")], failed),
        row("redirects to them in other words", &[to("http://[::ffff:169.254.169.254]/latest/")], failed),
        row("redirects to a file", &[to("file:///etc/passwd")], failed),
        row("redirects to where nobody listens", &[to("http://127.0.0.1:1/")], failed),
        row("redirects to a name that does not exist", &[to("http://nowhere.invalid/")], failed),
        row("redirects to what speaks no TLS", &[to("https://127.0.0.1:1/")], failed),
    ];
    for (name, status) in [
        ("finds the request bad", 400),
        ("wants money", 402),
        ("knows no such method", 405),
        ("waited too long", 408),
        ("says that it is gone", 410),
        ("is not satisfied with the range", 416),
        ("obeys the law", 451),
        ("is broken", 500),
        ("cannot do that", 501),
        ("has a broken backend", 502),
        ("is not there just now", 503),
        ("waits for its backend in vain", 504),
        ("is full", 507),
    ] {
        rows.push(row(name, &[Status(status)], failed));
    }
    rows
}

/// The token service.
pub fn token_rows() -> Vec<Row> {
    let long = format!(r#"{{"token":"{}"}}"#, "x".repeat(300 << 10));
    vec![
        token("grants late", Latency { ms: 30 }, "ok 1"),
        token("grants in chunks", Chunked, "ok 1"),
        token("grants with a page's type", header("Content-Type", "text/html"), "ok 1"),
        token("says nothing", NoAnswer, "504 1"),
        token("falls silent after the headers", StallAfter(0), "504 1"),
        token("resets", Reset, "502 1"),
        token("hangs up", raw(""), "502 1"),
        token("speaks no HTTP", raw("+OK ready\r\n\r\n"), "502 1"),
        token("ends after some bytes", CutAfter(5), "502 1"),
        token("is broken", Status(500), "502 1"),
        token("is not there just now", Status(503), "502 1"),
        token("has a broken backend", page(502), "502 1"),
        token("finds the request bad", Status(400), "502 1"),
        token("is missing", Status(404), "502 1"),
        token("has too many requests", TooMany { retry_after: None }, "429 1"),
        token("has too many requests for a minute", limited("60"), "429 1"),
        token("denies", Status(401), "404 1"),
        token("forbids", Status(403), "404 1"),
        token("forbids without a registry's words", BareForbidden, "502 1"),
        token("shows a page to log in", HtmlPage, "502 1"),
        token("sends nothing, with 200", EmptyOk, "502 1"),
        token("sends other bytes", Swap, "502 1"),
        token("codes its bytes", Coded, "ok 1"),
        token("grants no token", json("{}"), "502 1"),
        token("grants an empty token", json(r#"{"token":""}"#), "502 1"),
        token("grants what is no header", json(r#"{"token":"a\r\nb"}"#), "502 1"),
        token("grants a number", json(r#"{"token":7}"#), "502 1"),
        token("grants an endless token", json(&long), "502 1"),
        token("grants what the registry does not take", json(r#"{"token":"made-up"}"#), "404 1"),
        token("redirects in a circle", to("?again"), "502 6/1"),
        token("redirects to nowhere", to(""), "502 1"),
        token("redirects to the cloud's secrets", to("http://169.254.169.254/latest/"), "502 1"),
    ]
}
