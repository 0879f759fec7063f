//! The nasty inputs that are known by name: what each target has to take, what it has to refuse, and the words that more are made of.

/// What a target is fed with.
pub struct Corpus {
    pub taken: Vec<String>,
    pub refused: Vec<String>,
    pub words: Vec<String>,
}

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// What has no space in itself, on one line.
fn listed(texts: &str) -> Vec<String> {
    texts.split(' ').map(str::to_owned).collect()
}

/// So many bytes of a name, in parts of one letter.
fn deep(length: usize) -> String {
    "a/".repeat(length).chars().take(length).collect()
}

pub fn routes() -> Corpus {
    let mut taken = texts(&[
        "GET /v2",
        "HEAD /v2/",
        "GET /v2/_catalog",
        "GET /v1/_ping",
        "HEAD /v1/search",
        "GET /v2/a/tags/list",
        "GET /v2/tags/list/tags/list",
        "DELETE /v2/blobs/uploads/manifests/uploads",
        "PUT /v2/localhost:5000/a/manifests/latest",
        "GET /v2/GHCR.io/a/manifests/v1..2",
        "POST /v2/a/blobs/uploads",
        "POST /v2/a/b/blobs/uploads/",
        "PATCH /v2/a/blobs/uploads/blobs/uploads/aZ0_-",
        "GET /v2/%61/manifests/%6Catest",
        "GET /v2/a/manifests/v1%2e%2e2",
    ]);
    for path in ["a/blobs/@", "a/b/manifests/@", "a.io/x/referrers/@"] {
        taken.push(format!("GET /v2/{}", path.replace('@', EMPTY)));
        taken.push(format!("GET /v2/{}", path.replace('@', &EMPTY.replace(':', "%3A"))));
    }
    taken.push(format!("GET /v2/{}/tags/list", deep(255)));
    let mut refused = texts(&[
        "",
        "GET ",
        "GET /",
        "GET /v2%2f",
        "GET /v2//",
        "GET //v2/",
        "get /v2/",
        "GET /v2/../etc/passwd",
        "GET /v2/a/../b/tags/list",
        "GET /v2/%2F%2F..%2F",
        "GET /v2/a%2fb/tags/list",
        "GET /v2/a%252fb/tags/list",
        "GET /v2/a%5cb/tags/list",
        "GET /v2/a%00/tags/list",
        "GET /v2/a%/tags/list",
        "GET /v2/a%é/tags/list",
        "GET /v2/%2e%2e/tags/list",
        "GET /v2/a/manifests/%2e%2E",
        "GET /v2/a\\b/tags/list",
        "GET /v2/a\0/tags/list",
        "GET /v2/ａ/tags/list",
        "GET /v2/A/tags/list",
        "GET /v2/x/y:5/z/tags/list",
        "GET /v2/a/tags/list/",
        "GET /v2/a/tags/list?n=1",
        "GET /v2/a/tags/list#x",
        "GET /v2/a/blobs/sha256:e3b0",
        "GET /v2/a/manifests/a:b",
        "PUT /v2/a/manifests/-",
        "POST /v2/a/manifests/latest",
        "POST /v2/a/blobs/uploads//",
        "PATCH /v2/a/blobs/uploads/../x",
        "GET /v2/_oci/ext/discover",
        "GET /v1/%73earch",
        "POST /v1/search",
        "GET /v1/",
    ]);
    refused.push(format!("GET /v2/{}/tags/list", deep(257)));
    refused.push(format!("GET /v2/localhost:5000/{}/tags/list", deep(255)));
    let mut words = listed("/v2/ / a b-c x.io :5000 blobs uploads manifests tags/list referrers latest %3A %2f %61 % .. . \\ _catalog");
    words.extend(texts(&["GET ", "PUT ", "POST ", EMPTY]));
    Corpus { taken, refused, words }
}

pub fn names() -> Corpus {
    let mut taken = listed("a nginx library/nginx library/a/b 0 a.b_c__d-e---f/0 ghcr.io/org/app library/library a--------b");
    taken.extend([deep(255), "a".repeat(255), "a".repeat(248), "a".repeat(247), format!("library/{}", "a".repeat(247))]);
    let mut refused =
        listed(" / a/ /a a//b A a..b a___b a._b a-_b a.-b -a a- .a a. _a . .. a/../b a\0 a\n é ａ a:b localhost:5000/a a%2fb a\\b a/_b/c");
    refused.push("a b".to_owned());
    refused.extend([deep(257), "a".repeat(256)]);
    Corpus { taken, refused, words: listed("a b0 / . _ __ - -- library/ A : %2f \0") }
}

pub fn images() -> Corpus {
    let mut taken = listed("nginx nginx:1.25 team/app ghcr.io/org/app:1 localhost/x localhost:5001/x GHCR.io/a a.b/c.d:e_F");
    taken.extend([format!("nginx@{EMPTY}"), format!("nginx:1@{EMPTY}"), format!("10.0.0.1:5000/a@{EMPTY}"), format!("a.io/{}", deep(255))]);
    let mut refused =
        listed(" : @ UPPER a:b:c nginx: nginx@ nginx@sha256:x nginx@latest http://a/b ../a a.io/../b a.io:0/b a.io:65536/b :5/a -a.io/b");
    refused.extend(texts(&["user@host.io/a", "a.io/", "[::1]:5000/a", "a b.io/c"]));
    Corpus { taken, refused, words: listed("a b / : @ .io :5000 latest localhost .. @sha256:") }
}

pub fn references() -> Corpus {
    let mut taken = texts(&["latest", "_", "1.25-alpine", "V2", "a..b", EMPTY]);
    taken.extend(["x".repeat(128), EMPTY.replace(':', "-"), format!("sha512:{}", "0".repeat(128))]);
    let mut refused = texts(&["", ".a", "-a", "a b", "a/b", "a:b", "a@b", "é", "a\0", "a\n", "sha256:", "sha256:abc", ":"]);
    refused.extend(["x".repeat(129), EMPTY.to_uppercase(), format!(" {EMPTY}")]);
    Corpus { taken, refused, words: listed("a V1 . - _ : sha256 0123456789abcdef é") }
}

pub fn digests() -> Corpus {
    let hash = &EMPTY[7..];
    let taken =
        vec![EMPTY.to_owned(), format!("sha256:{}", "0".repeat(64)), format!("sha512:{}", "f".repeat(128)), format!("sha512:{hash}{hash}")];
    let mut refused = texts(&["", "sha256", "sha256:", "sha512:", hash, "md5:d41d8cd98f00b204e9800998ecf8427e"]);
    refused.extend([
        EMPTY.to_uppercase(),
        format!("sha256:{}", hash.to_uppercase()),
        format!("sha256:{hash}{hash}"),
        format!("sha512:{hash}"),
        format!("sha256:{hash}0"),
        format!("sha256:{}", &hash[1..]),
        format!("sha256:../{}", &hash[3..]),
        format!("sha256:+{}", &hash[1..]),
        format!("sha256:{}é", &hash[2..]),
        format!("sha256::{hash}"),
        format!("sha384:{}", "0".repeat(96)),
    ]);
    Corpus { taken, refused, words: listed("sha256: sha512: 0123456789abcdef0123456789abcdef A é ..") }
}

pub fn ranges() -> Corpus {
    let taken = texts(&[
        "bytes=0-0 of 1",
        "bytes=0-9 of 10",
        "bytes=0- of 10",
        "bytes=-1 of 10",
        "bytes=-11 of 10",
        "BYTES= 2-3  of 10",
        "bytes=0-18446744073709551615 of 18446744073709551615",
        "bytes=0-99999999999999999999999 of 10",
        "bytes=-99999999999999999999999 of 1",
        "bytes=18446744073709551614- of 18446744073709551615",
    ]);
    let refused = texts(&[
        "bytes=10- of 10",
        "bytes=0-0 of 0",
        "bytes=-0 of 10",
        "bytes=-5 of 0",
        "bytes=3-2 of 10",
        "bytes=18446744073709551616- of 18446744073709551615",
        "bytes=0-1,3-4 of 10",
        "bytes=+1-2 of 10",
        "bytes=0x1-2 of 10",
        "bytes=１-2 of 10",
        "bytes=- of 10",
        "items=0-1 of 10",
    ]);
    let mut words = listed("bytes= - 0 1 9 18446744073709551615 9223372036854775808 , * +");
    words.extend(texts(&[" of ", " of 10"]));
    Corpus { taken, refused, words }
}

pub fn content_ranges() -> Corpus {
    let taken = texts(&[
        "0-0",
        "5-9",
        "bytes 0-99",
        "bytes 5-9/10",
        "5-9/*",
        "bytes 0-0/1",
        "0-18446744073709551614",
        "bytes 0-9/18446744073709551615",
    ]);
    let mut refused = listed(
        " - 5 5- -5 9-5 a-b 0-18446744073709551615 0-99999999999999999999 0-9/9 0-9/ 0-9/x 0-9/+10 bytes=0-9 0-1,2-3 +0-1 0-1-2 １-2",
    );
    refused.extend(texts(&["bytes */10", "bytes bytes 0-1", "items 0-1/2"]));
    let mut words = listed("- / * 0 1 9 10 18446744073709551615 18446744073709551614 , +");
    words.push("bytes ".to_owned());
    Corpus { taken, refused, words }
}

pub fn manifests() -> Corpus {
    let entry = format!(r#"{{"mediaType":"a/b","digest":"{EMPTY}","size":0}}"#);
    let with = |kind: &str, body: &str| format!("{kind}\n{}", body.replace('@', &entry));
    let taken = vec![
        with(IMAGE, r#"{"schemaVersion":2,"config":@,"layers":[@,@]}"#),
        with(
            IMAGE,
            r#"{"schemaVersion":2,"config":@,"layers":[],"manifests":null,"subject":@,"artifactType":"x/y","annotations":{"a":"b"}}"#,
        ),
        with(INDEX, &format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[@],"subject":@}}"#)),
        with("", r#"{"blobs":[@]}"#),
        with("application/vnd.example+json", "{}"),
    ];
    let refused = vec![
        String::new(),
        with(IMAGE, ""),
        with(IMAGE, "[]"),
        with(IMAGE, r#"[2,null,null,@]"#),
        with(IMAGE, "<html>"),
        with(IMAGE, r#"{"schemaVersion":2,"layers":[@],"manifests":[@]}"#),
        with(INDEX, r#"{"schemaVersion":2,"config":@,"manifests":[]}"#),
        with(INDEX, r#"{"schemaVersion":2,"Layers":[@],"manifests":[@]}"#),
        with(INDEX, r#"{"schemaVersion":2,"layers":[@],"manifest\u0073":[@]}"#),
        with(IMAGE, r#"{"schemaVersion":2,"manifests":[@]}"#),
        with(INDEX, r#"{"schemaVersion":2,"manifests":[@],"blobs":[@]}"#),
        with(IMAGE, r#"{"schemaVersion":2,"layers":[@],"layers":[@]}"#),
        with(IMAGE, r#"{"schemaVersion":2,"layers":[@],"LAYERS":[@]}"#),
        with(IMAGE, &format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","config":@}}"#)),
        with(IMAGE, r#"{"schemaVersion":1,"fsLayers":[]}"#),
        with("application/vnd.docker.distribution.manifest.v1+prettyjws", "{}"),
        with(IMAGE, r#"{"schemaVersion":2,"config":["a/b","x",0]}"#),
        with(IMAGE, r#"{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"sha256:../x","size":0}}"#),
        with(IMAGE, &r#"{"schemaVersion":2,"config":@}"#.replace('@', &entry.replace(":0}", ":-1}"))),
        with(IMAGE, &r#"{"schemaVersion":2,"config":@}"#.replace('@', &entry.replace(":0}", ":9223372036854775808}"))),
        with(IMAGE, &format!("{}@{}", "[".repeat(500), "]".repeat(500))),
    ];
    let mut words = listed(
        r#"{ } [ ] , : "layers" "config" "manifests" "Layers" "subject" "mediaType" "digest" "size" "schemaVersion":2 null 1 -1 "\u0061""#,
    );
    words.extend(texts(&["\n", "9223372036854775808", EMPTY, IMAGE, INDEX]));
    Corpus { taken, refused, words }
}
