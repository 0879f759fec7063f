//! What the fault upstream holds: images of its own, or those of a registry behind it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Mutex;

use bytes::Bytes;
use entrepot::oci::Digest;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::wire::{Reply, Request, headers_of, read_head};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image as it was put in.
#[derive(Clone, Debug)]
pub struct Image {
    pub digest: Digest,
    pub manifest: Bytes,
    pub config: Digest,
    pub layers: Vec<Digest>,
}

#[derive(Default)]
pub struct Content {
    /// By `NAME/manifests/REFERENCE` or `NAME/blobs/DIGEST`: media type and bytes.
    entries: Mutex<HashMap<String, (String, Bytes)>>,
    names: Mutex<HashSet<String>>,
    search: Mutex<Option<String>>,
    /// `HOST:PORT` of a registry that is asked instead.
    backend: Option<String>,
}

impl Content {
    pub fn new(backend: Option<String>) -> Content {
        Content { backend, ..Content::default() }
    }

    pub fn put(&self, name: &str, what: &str, kind: &str, bytes: Bytes) {
        self.names.lock().unwrap().insert(name.to_owned());
        self.entries.lock().unwrap().insert(format!("{name}/{what}"), (kind.to_owned(), bytes));
    }

    pub fn blob(&self, name: &str, bytes: Bytes) -> Digest {
        let digest = Digest::of(&bytes);
        self.put(name, &format!("blobs/{digest}"), "application/octet-stream", bytes);
        digest
    }

    pub fn manifest(&self, name: &str, tag: &str, kind: &str, bytes: Bytes) -> Digest {
        let digest = Digest::of(&bytes);
        self.put(name, &format!("manifests/{tag}"), kind, bytes.clone());
        self.put(name, &format!("manifests/{digest}"), kind, bytes);
        digest
    }

    pub fn image(&self, name: &str, tag: &str, layers: &[Bytes]) -> Image {
        let part = |kind: &str, bytes: &Bytes| json!({"mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len()});
        let config = Bytes::from(json!({"architecture": "amd64", "os": "linux", "comment": format!("{name}:{tag}")}).to_string());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": part("application/vnd.oci.image.config.v1+json", &config),
            "layers": layers.iter().map(|layer| part("application/vnd.oci.image.layer.v1.tar", layer)).collect::<Vec<_>>(),
        });
        let manifest = Bytes::from(manifest.to_string());
        Image {
            digest: self.manifest(name, tag, MANIFEST, manifest.clone()),
            manifest,
            config: self.blob(name, config),
            layers: layers.iter().map(|layer| self.blob(name, layer.clone())).collect(),
        }
    }

    pub fn finds(&self, answer: String) {
        *self.search.lock().unwrap() = Some(answer);
    }

    pub fn search(&self) -> Reply {
        match self.search.lock().unwrap().clone() {
            Some(answer) => Reply::new(200, "application/json", answer),
            None => Reply::new(404, "text/plain", "no such page\n"),
        }
    }

    /// A page of the repository's tags, with a link to the next one.
    fn tags(&self, name: &str, request: &Request, most: Option<usize>) -> Reply {
        let field = |name: &str| url::form_urlencoded::parse(request.query.as_bytes()).find(|(key, _)| key == name).map(|(_, text)| text);
        let asked = field("n").and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
        let (limit, last) = (most.unwrap_or(usize::MAX).min(asked), field("last").unwrap_or_default());
        let prefix = format!("{name}/manifests/");
        let entries = self.entries.lock().unwrap();
        let tags = entries.keys().filter_map(|key| key.strip_prefix(&prefix)).filter(|tag| !tag.contains(':') && **tag > *last);
        let mut tags: Vec<_> = tags.collect();
        tags.sort_unstable();
        let more = tags.len() > limit;
        tags.truncate(limit);
        let reply = Reply::new(200, "application/json", json!({"name": name, "tags": tags}).to_string());
        match tags.last().filter(|_| more) {
            Some(last) => reply.with("Link", format!("</v2/{name}/tags/list?n={limit}&last={last}>; rel=\"next\"")),
            None => reply,
        }
    }

    pub async fn knows(&self, name: &str) -> bool {
        match &self.backend {
            None => self.names.lock().unwrap().contains(name),
            Some(backend) => {
                let path = format!("/v2/{name}/tags/list");
                let request = Request { method: "GET".into(), path, query: String::new(), headers: Vec::new(), body: Vec::new() };
                matches!(ask(backend, &request, &request.path).await, Ok(reply) if reply.status == 200)
            }
        }
    }

    /// The answer to a GET or HEAD of `/v2/…`.
    pub async fn answer(&self, request: &Request, path: &str, page: Option<usize>) -> Reply {
        if let Some(backend) = &self.backend {
            return ask(backend, request, path).await.unwrap_or_else(|_| Reply::error(502, "UNAVAILABLE"));
        }
        if let Some(name) = path.strip_prefix("/v2/").and_then(|rest| rest.strip_suffix("/tags/list")) {
            return self.tags(name, request, page);
        }
        let entry = path.strip_prefix("/v2/").and_then(|key| self.entries.lock().unwrap().get(key).cloned());
        let Some((kind, bytes)) = entry else {
            return Reply::error(404, if path.contains("/blobs/") { "BLOB_UNKNOWN" } else { "MANIFEST_UNKNOWN" });
        };
        let digest = Digest::of(&bytes).to_string();
        // Tells that the bytes are the same, and not their digest.
        let etag = format!("\"v-{}\"", &digest[digest.len() - 20..]);
        let whole = bytes.len();
        let reply = match request.header("range").and_then(|text| range(text, whole)) {
            Some(range) if range.start >= whole => Reply::error(416, "RANGE_INVALID"),
            Some(range) => {
                let told = format!("bytes {}-{}/{whole}", range.start, range.end - 1);
                Reply::new(206, &kind, bytes.slice(range)).with("Content-Range", told)
            }
            None => Reply::new(200, &kind, bytes),
        };
        reply.with("Docker-Content-Digest", digest).with("ETag", etag)
    }
}

fn range(text: &str, whole: usize) -> Option<std::ops::Range<usize>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let end = last.parse().map_or(whole, |last: usize| whole.min(last + 1));
    Some(first.parse().ok()?..end)
}

/// Asks the registry behind. HTTP/1.0, so that it never answers in chunks.
async fn ask(backend: &str, request: &Request, path: &str) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(backend).await?;
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    let mut text = format!("{} {path}{query} HTTP/1.0\r\nHost: {backend}\r\n", request.method);
    for (key, value) in request.headers.iter().filter(|(key, _)| ["accept", "range"].contains(&key.to_lowercase().as_str())) {
        text += &format!("{key}: {value}\r\n");
    }
    stream.write_all(format!("{text}\r\n").as_bytes()).await?;
    let (head, rest) = read_head(&mut stream, Vec::new()).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let mut headers = headers_of(&head);
    let length = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case("content-length")).and_then(|(_, text)| text.parse().ok());
    let own = ["content-length", "connection", "docker-distribution-api-version", "date"];
    headers.retain(|(key, _)| !own.contains(&key.to_lowercase().as_str()));
    let length = length.unwrap_or(0);
    Ok(Reply { status, headers, body: Box::new(io::Cursor::new(rest).chain(stream).take(length)), length })
}
