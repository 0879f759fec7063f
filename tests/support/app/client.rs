//! A registry client of few words: it follows the Bearer challenge, and pulls and pushes as the real ones do.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use entrepot::oci::Digest;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::images::Built;

const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    account: Option<(String, String)>,
    manner: Manner,
    /// Asks for tokens that may push too, as clients do that are about to.
    pushing: bool,
    namespace: Option<String>,
    token: Arc<Mutex<Option<String>>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Manner {
    /// Gets a token when it is challenged.
    Follows,
    /// Shows name and password with each request.
    Basic,
    /// Shows nothing and follows nothing.
    Bare,
    /// Shows this token, whatever it is worth.
    Token(String),
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Whether the body came to its proper end.
    pub whole: bool,
}

/// An image as a client got it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pulled {
    pub digest: Digest,
    pub manifest: Bytes,
    pub blobs: Vec<Bytes>,
}

impl Client {
    /// What clients send by. One is enough, for making it takes a while.
    pub fn wire() -> reqwest::Client {
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
    }

    pub fn new(http: &reqwest::Client, url: &str, account: Option<(String, String)>) -> Client {
        Client {
            http: http.clone(),
            url: url.to_owned(),
            account,
            manner: Manner::Follows,
            pushing: false,
            namespace: None,
            token: Arc::default(),
        }
    }

    /// The same, with name and password on every request.
    pub fn basic(&self) -> Client {
        Client { manner: Manner::Basic, ..self.clone() }
    }

    /// The same without credentials, and following no challenge.
    pub fn bare(&self) -> Client {
        Client { manner: Manner::Bare, ..self.clone() }
    }

    pub fn with_token(&self, token: &str) -> Client {
        Client { manner: Manner::Token(token.to_owned()), ..self.clone() }
    }

    /// The same, showing on each challenge that it wants to push.
    pub fn pushing(&self) -> Client {
        Client { pushing: true, token: Arc::default(), ..self.clone() }
    }

    /// The same, asking with `ns=`.
    pub fn through(&self, registry: &str) -> Client {
        Client { namespace: Some(registry.to_owned()), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    pub async fn head(&self, path: &str) -> Answer {
        self.send(Method::HEAD, path, &[], Bytes::new()).await
    }

    pub async fn range(&self, path: &str, range: &str) -> Answer {
        self.send(Method::GET, path, &[("range", range)], Bytes::new()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], Bytes::new()).await
    }

    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send(Method::POST, path, &[], body.into()).await
    }

    pub async fn patch(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        self.send(Method::PATCH, path, headers, body.into()).await
    }

    pub async fn put(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send(Method::PUT, path, &[], body.into()).await
    }

    pub async fn put_manifest(&self, name: &str, reference: &str, kind: &str, body: impl Into<Bytes>) -> Answer {
        self.send(Method::PUT, &format!("/v2/{name}/manifests/{reference}"), &[("content-type", kind)], body.into()).await
    }

    /// One request, and a second one with a token when the first is challenged.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        let answer = self.once(method.clone(), path, headers, body.clone()).await;
        let challenge = answer.header("www-authenticate").to_owned();
        if answer.status == 401
            && self.manner == Manner::Follows
            && let Some(token) = self.answer_challenge(&challenge).await
        {
            *self.token.lock().unwrap() = Some(token);
            return self.once(method, path, headers, body).await;
        }
        answer
    }

    /// One request that follows nothing; `None` where the connection ended before an answer began.
    pub async fn attempt(&self, method: Method, path: &str) -> Option<Answer> {
        match self.request(method, path, &[], Bytes::new()).send().await {
            Ok(response) => Some(Answer::of(response).await),
            Err(error) if error.is_connect() => panic!("the server is there: {error}"),
            Err(_) => None,
        }
    }

    async fn once(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        Answer::of(self.request(method, path, headers, body).send().await.expect("the server answers")).await
    }

    fn request(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> reqwest::RequestBuilder {
        let path = match &self.namespace {
            Some(registry) => format!("{path}{}ns={registry}", if path.contains('?') { '&' } else { '?' }),
            None => path.to_owned(),
        };
        let mut request = self.http.request(method, format!("{}{path}", self.url)).header("accept", ACCEPT).body(body);
        for (key, value) in headers {
            request = request.header(*key, *value);
        }
        let token = self.token.lock().unwrap().clone();
        match (&self.manner, &self.account, token) {
            (Manner::Basic, Some((name, password)), _) => request.basic_auth(name, Some(password)),
            (Manner::Token(token), ..) => request.bearer_auth(token),
            (Manner::Follows, _, Some(token)) => request.bearer_auth(token),
            _ => request,
        }
    }

    /// The token that a challenge leads to; `None` where there is none to be had.
    async fn answer_challenge(&self, challenge: &str) -> Option<String> {
        let rest = challenge.strip_prefix("Bearer ")?;
        let field = |name: &str| {
            let (_, after) = rest.split_once(&format!("{name}=\""))?;
            Some(after.split_once('"')?.0.to_owned())
        };
        let mut scopes: Vec<_> = field("scope").iter().flat_map(|scopes| scopes.split(' ')).map(str::to_owned).collect();
        if self.pushing {
            scopes.iter_mut().filter(|scope| scope.ends_with(":pull")).for_each(|scope| scope.push_str(",push"));
        }
        let realm = field("realm")?;
        let path = realm.strip_prefix(&self.url).expect("the realm is this server's").to_owned();
        let scopes: Vec<_> = scopes.iter().map(String::as_str).collect();
        let answer = self.ask_token(&path, &scopes).await;
        (answer.status == 200).then(|| answer.json()["token"].as_str().unwrap().to_owned())
    }

    /// `GET /token` for these scopes.
    pub async fn token(&self, scopes: &[&str]) -> Answer {
        self.ask_token("/token", scopes).await
    }

    async fn ask_token(&self, path: &str, scopes: &[&str]) -> Answer {
        let mut fields: Vec<_> = scopes.iter().map(|scope| ("scope", *scope)).collect();
        fields.push(("service", "entrepot"));
        let mut request = self.http.get(format!("{}{path}", self.url)).query(&fields);
        if let Some((name, password)) = &self.account {
            request = request.basic_auth(name, Some(password));
        }
        Answer::of(request.send().await.expect("the token service answers")).await
    }

    /// `POST /token` with these fields.
    pub async fn token_form(&self, fields: &[(&str, &str)]) -> Answer {
        Answer::of(self.http.post(format!("{}/token", self.url)).form(fields).send().await.unwrap()).await
    }

    /// Pulls an image whole, as docker does: HEAD, the manifest by its digest, then all that it reaches.
    pub async fn pull(&self, name: &str, reference: &str) -> Pulled {
        let head = self.head(&format!("/v2/{name}/manifests/{reference}")).await.expect(200);
        let digest: Digest = head.header("docker-content-digest").parse().expect("a HEAD tells the digest");
        let answer = self.get(&format!("/v2/{name}/manifests/{digest}")).await.expect(200);
        assert_eq!(Digest::of(&answer.body), digest);
        assert_eq!(answer.header("content-type"), head.header("content-type"));
        let manifest: Value = answer.json();
        let mut blobs = Vec::new();
        for child in manifest["manifests"].as_array().into_iter().flatten() {
            blobs.extend(Box::pin(self.pull(name, child["digest"].as_str().unwrap())).await.blobs);
        }
        for child in manifest["layers"].as_array().into_iter().flatten().chain(manifest.get("config")) {
            let digest: Digest = child["digest"].as_str().unwrap().parse().unwrap();
            blobs.push(self.blob(name, &digest).await);
        }
        Pulled { digest, manifest: answer.body, blobs }
    }

    /// A whole blob, checked.
    pub async fn blob(&self, name: &str, digest: &Digest) -> Bytes {
        let answer = self.get(&format!("/v2/{name}/blobs/{digest}")).await.expect(200);
        assert!(answer.whole && Digest::of(&answer.body) == *digest, "{digest} came wrong");
        answer.body
    }

    /// POST and PUT.
    pub async fn push_blob(&self, name: &str, bytes: &Bytes) -> Digest {
        let digest = Digest::of(bytes);
        let location = self.begin(name).await;
        self.put(&closing(&location, digest), bytes.clone()).await.expect(201);
        digest
    }

    /// Opens an upload; where it is.
    pub async fn begin(&self, name: &str) -> String {
        let answer = self.post(&format!("/v2/{name}/blobs/uploads/"), "").await.expect(202);
        answer.location()
    }

    /// Pushes an image as docker does: what a HEAD finds is not sent again. Tells how many blobs were sent.
    pub async fn push(&self, name: &str, tag: &str, image: &Built) -> usize {
        let client = self.pushing();
        let mut sent = 0;
        for blob in image.blobs() {
            if client.head(&format!("/v2/{name}/blobs/{}", Digest::of(blob))).await.status != 200 {
                client.push_blob(name, blob).await;
                sent += 1;
            }
        }
        client.put_manifest(name, tag, super::IMAGE, image.manifest.clone()).await.expect(201);
        sent
    }
}

/// The path that closes an upload.
pub fn closing(location: &str, digest: impl std::fmt::Display) -> String {
    format!("{location}{}digest={digest}", if location.contains('?') { '&' } else { '?' })
}

impl Answer {
    async fn of(mut response: reqwest::Response) -> Answer {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        let whole = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        Answer { status, headers, body: body.into(), whole }
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        let text = || String::from_utf8_lossy(&self.body[..self.body.len().min(600)]).into_owned();
        assert_eq!(self.status, status, "{}", text());
        self
    }

    /// A header's text; empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The path that the answer's `Location` leads to. Other registries name themselves in it.
    #[track_caller]
    pub fn location(&self) -> String {
        let location = self.header("location");
        assert!(!location.is_empty(), "a Location is missing: {self:?}");
        match location.split_once("://") {
            Some((_, rest)) => rest[rest.find('/').expect("a path follows the host")..].to_owned(),
            None => location.to_owned(),
        }
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// The code of a registry's error.
    #[track_caller]
    pub fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().expect("an error has a code").to_owned()
    }

    /// The message of a registry's error.
    #[track_caller]
    pub fn message(&self) -> String {
        self.json()["errors"][0]["message"].as_str().expect("an error has a message").to_owned()
    }
}
