//! C7: what a `Range` header is answered with (RFC 9110, section 14): sixty of them, each with one part or the whole.

use bytes::Bytes;
use reqwest::Method;

use crate::app::*;

const SIZE: usize = 1000;

/// What comes: the whole, a part, or nothing, because it lies outside.
enum Comes {
    Whole,
    Part(usize, usize),
    Nothing,
}

use Comes::{Nothing, Part, Whole};

/// `Range`, and what a blob of a thousand bytes answers.
const RANGES: [(&str, Comes); 51] = [
    ("bytes=0-0", Part(0, 0)),
    ("bytes=0-1", Part(0, 1)),
    ("bytes=0-998", Part(0, 998)),
    ("bytes=0-999", Part(0, 999)),
    ("bytes=0-1000", Part(0, 999)),
    ("bytes=0-", Part(0, 999)),
    ("bytes=1-", Part(1, 999)),
    ("bytes=500-500", Part(500, 500)),
    ("bytes=998-", Part(998, 999)),
    ("bytes=999-", Part(999, 999)),
    ("bytes=999-999", Part(999, 999)),
    ("bytes=999-1000", Part(999, 999)),
    ("bytes=0-2147483648", Part(0, 999)),
    ("bytes=0-9223372036854775807", Part(0, 999)),
    ("bytes=0-9223372036854775808", Part(0, 999)),
    ("bytes=0-18446744073709551615", Part(0, 999)),
    ("bytes=0-18446744073709551616", Part(0, 999)),
    ("bytes=1-99999999999999999999999999", Part(1, 999)),
    ("bytes=00000000000000000000000000005-6", Part(5, 6)),
    ("BYTES=2-3", Part(2, 3)),
    ("Bytes=2-3", Part(2, 3)),
    ("bytes= 2-3", Part(2, 3)),
    ("bytes=-1", Part(999, 999)),
    ("bytes=-999", Part(1, 999)),
    ("bytes=-1000", Part(0, 999)),
    ("bytes=-1001", Part(0, 999)),
    ("bytes=-9223372036854775808", Part(0, 999)),
    ("bytes=-99999999999999999999999999", Part(0, 999)),
    ("bytes=1000-", Nothing),
    ("bytes=1000-1000", Nothing),
    ("bytes=1000-2000", Nothing),
    ("bytes=9223372036854775807-", Nothing),
    ("bytes=9223372036854775808-9223372036854775809", Nothing),
    ("bytes=18446744073709551615-", Nothing),
    ("bytes=18446744073709551616-", Nothing),
    ("bytes=-0", Nothing),
    ("bytes=0-0,2-3", Whole),
    ("bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0", Whole),
    ("bytes=0-,0-,0-,0-,0-,0-,0-,0-", Whole),
    ("bytes=-1,-1", Whole),
    ("bytes=0-1,", Whole),
    ("bytes=", Whole),
    ("bytes=-", Whole),
    ("bytes=--1", Whole),
    ("bytes=+0-1", Whole),
    ("bytes=0x0-1", Whole),
    ("bytes=0-1-2", Whole),
    ("bytes=a-b", Whole),
    ("bytes 0-1", Whole),
    ("lines=0-1", Whole),
    ("nonsense", Whole),
];

fn check(answer: &Answer, layer: &Bytes, comes: &Comes, of: &str) {
    assert!(answer.whole, "{of}");
    assert!(!answer.header("content-type").starts_with("multipart/"), "{of}: one part at most");
    match comes {
        Whole => {
            assert_eq!((answer.status, answer.header("content-range")), (200, ""), "{of}");
            assert!(answer.body == layer, "{of}");
        }
        Part(first, last) => {
            assert_eq!(answer.status, 206, "{of}");
            assert_eq!(answer.header("content-range"), format!("bytes {first}-{last}/{SIZE}"), "{of}");
            assert!(answer.body == layer.slice(first..&(last + 1)), "{of}");
        }
        Nothing => assert_eq!((answer.status, answer.header("content-range")), (416, "bytes */1000"), "{of}"),
    }
}

/// C7, and SEC-42: no range makes the server answer with more than the blob, or with several parts.
#[tokio::test]
async fn cve_2011_3192_sixty_ranges_are_answered_as_rfc_9110_says() {
    let app = App::start().await;
    let layer = bytes(1, SIZE);
    let digest = app.user("alice").push_blob("team/app", &layer).await;
    app.hub.image("library/nginx", "latest", std::slice::from_ref(&layer));
    app.anonymous().pull("nginx", "latest").await;
    app.landed().await;
    for path in [format!("/v2/team/app/blobs/{digest}"), format!("/v2/nginx/blobs/{digest}")] {
        let client = app.anonymous();
        for (range, comes) in &RANGES {
            check(&client.range(&path, range).await, &layer, comes, range);
        }
        let head = client.send(Method::HEAD, &path, &[("range", "bytes=0-1")], "".into()).await.expect(200);
        assert_eq!((head.header("content-length"), head.header("content-range")), ("1000", ""), "a range is for GET");
        let etag = head.header("etag").to_owned();
        assert_eq!(etag, format!("\"{digest}\""));
        let weak = format!("W/{etag}");
        let ifs = [
            (etag.as_str(), Part(2, 3)),
            (&weak, Whole),
            ("\"other\"", Whole),
            (&etag[1..etag.len() - 1], Whole),
            ("Sat, 21 Nov 2026 00:00:00 GMT", Whole),
            ("*", Whole),
            ("", Whole),
        ];
        for (validator, comes) in &ifs {
            let answer = client.send(Method::GET, &path, &[("range", "bytes=2-3"), ("if-range", validator)], "".into()).await;
            check(&answer, &layer, comes, &format!("If-Range: {validator}"));
        }
        let outside = [("range", "bytes=1000-"), ("if-range", "\"other\"")];
        check(&client.send(Method::GET, &path, &outside, "".into()).await, &layer, &Whole, "what is not to be looked at is not outside");
    }
}

/// C7: of nothing there is no part.
#[tokio::test]
async fn an_empty_blob_has_no_ranges() {
    let app = App::start().await;
    let digest = app.user("alice").push_blob("team/app", &Bytes::new()).await;
    let path = format!("/v2/team/app/blobs/{digest}");
    for (range, status) in [("bytes=0-", 416), ("bytes=0-0", 416), ("bytes=-0", 416), ("bytes=-1", 200), ("bytes=0-0,1-1", 200)] {
        let answer = app.anonymous().range(&path, range).await.expect(status);
        assert!(status == 416 || answer.body.is_empty(), "{range}");
    }
}
