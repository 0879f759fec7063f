//! Takes requests, lets the script have its way with them, and answers the rest as a registry does.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::script::{Fault, Rule};
use super::tokens::Who;
use super::wire::{Reply, Request, read_request, spoil, write};
use super::{Behaviour, Seen, Shared};

pub async fn accept(listener: TcpListener, shared: Arc<Shared>, cdn: bool) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let shared = shared.clone();
                shared.connections.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                connections.spawn(async move {
                    // A client that leaves is nothing to speak of.
                    let _ = serve(stream, &shared, cdn).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared, cdn: bool) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some((mut request, beyond)) = read_request(&mut stream, buffer).await? {
        buffer = beyond;
        let head = request.method == "HEAD";
        if request.path.starts_with("/_fault/") {
            let reply = control(shared, &request);
            write(&mut stream, head, reply, &[], &Default::default(), None).await?;
            continue;
        }
        shared.seen().push(Seen { cdn, request: request.clone() });
        let faults = shared.script.faults(&request.method, &request.path);
        for fault in &faults {
            match fault {
                Fault::Latency { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
                Fault::Reset => return socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
                Fault::Raw(bytes) => return stream.write_all(bytes.as_bytes()).await,
                Fault::NoAnswer => return wait_for_the_end(stream).await,
                Fault::RefuseRanges => request.headers.retain(|(key, _)| !key.eq_ignore_ascii_case("range")),
                _ => {}
            }
        }
        let reply = spoil(if cdn { cdn_answer(shared, &request).await } else { answer(shared, &request).await }, &faults);
        let path = request.path.strip_prefix("/cdn").unwrap_or(&request.path).to_owned();
        let sent = shared.sent.lock().unwrap().entry(path).or_default().clone();
        let body = (!head && request.path.contains("/blobs/") && matches!(reply.status, 200 | 206)).then(|| shared.bodies.begin());
        let again = write(&mut stream, head, reply, &faults, &sent, body).await?;
        if !again || request.header("connection").is_some_and(|text| text.eq_ignore_ascii_case("close")) {
            break;
        }
    }
    Ok(())
}

async fn wait_for_the_end(mut stream: TcpStream) -> std::io::Result<()> {
    let mut nothing = [0; 1024];
    while stream.read(&mut nothing).await? > 0 {}
    Ok(())
}

async fn cdn_answer(shared: &Shared, request: &Request) -> Reply {
    if request.path == "/token" {
        let behaviour = shared.behaviour.lock().unwrap().clone();
        return shared.tokens.grant(request, &behaviour);
    }
    if request.header("authorization").is_some() {
        return Reply::new(400, "application/xml", "<Error><Code>InvalidArgument</Code></Error>");
    }
    match request.path.strip_prefix("/cdn") {
        Some(path) => {
            let plain = Request { query: String::new(), ..request.clone() };
            shared.content.answer(&plain, path, None).await
        }
        None => Reply::new(403, "application/xml", "<Error><Code>AccessDenied</Code></Error>"),
    }
}

async fn answer(shared: &Shared, request: &Request) -> Reply {
    let behaviour = shared.behaviour.lock().unwrap().clone();
    if request.path == "/token" {
        return shared.tokens.grant(request, &behaviour);
    }
    let Some(path) = request.path.strip_prefix(&behaviour.mount) else { return Reply::new(404, "text/plain", "no such page\n") };
    let request = &Request { path: path.to_owned(), ..request.clone() };
    if request.path == "/v1/search" {
        return shared.content.search();
    }
    let Some(rest) = request.path.strip_prefix("/v2/") else { return Reply::new(404, "text/plain", "no such page\n") };
    let name =
        ["/manifests/", "/blobs/", "/tags/", "/referrers/"].iter().find_map(|part| rest.rsplit_once(part)).map_or("", |(name, _)| name);
    let who = shared.tokens.who(request.header("authorization"), name, &behaviour);
    if (behaviour.tokens || behaviour.basic) && who == Who::Nobody {
        return challenge(shared, &behaviour, name);
    }
    if name.is_empty() {
        return Reply::new(200, "application/json", "{}");
    }
    let hidden = who != Who::Account && behaviour.private.iter().any(|private| private == name);
    if hidden || !shared.content.knows(name).await {
        let denies = if hidden { !behaviour.hides_private } else { behaviour.hub_401 };
        return if denies { challenge(shared, &behaviour, name) } else { Reply::error(404, "NAME_UNKNOWN") };
    }
    let told = match shared.meters.count(who, request, behaviour.limit) {
        Ok(told) => told,
        Err(refused) => return refused,
    };
    if behaviour.redirect && request.method == "GET" && request.path.contains("/blobs/") {
        let cdn = behaviour.cdn.unwrap_or_else(|| format!("http://{}", shared.cdn));
        let location = format!("{cdn}/cdn{}?signature=secret", request.path);
        return Reply::new(307, "text/plain", "").with("Location", location);
    }
    if behaviour.endless && request.path.ends_with("/tags/list") {
        return endless(&request.query);
    }
    told.on(shared.content.answer(request, &request.path, behaviour.page).await)
}

/// A page of one tag that is always followed by another.
fn endless(query: &str) -> Reply {
    let number = query.rsplit('=').next().and_then(|text| text.parse::<u64>().ok()).filter(|_| query.contains("last")).unwrap_or(0) + 1;
    let page = json!({"name": "endless", "tags": [format!("v{number}")]}).to_string();
    Reply::new(200, "application/json", page).with("Link", format!("</v2/x/tags/list?last={number}>; rel=\"next\""))
}

fn challenge(shared: &Shared, behaviour: &Behaviour, name: &str) -> Reply {
    let reply = Reply::error(401, "UNAUTHORIZED");
    if behaviour.basic {
        return reply.with("WWW-Authenticate", r#"Basic realm="fault upstream""#);
    }
    let realm = behaviour.realm.clone().unwrap_or_else(|| format!("http://{}/token", shared.address));
    let challenge = match behaviour.unquoted {
        true => format!("Bearer realm={realm},service=fault,scope=repository:{name}:pull"),
        false if name.is_empty() => format!(r#"Bearer realm="{realm}",service="fault""#),
        false => format!(r#"Bearer realm="{realm}",service="fault",scope="repository:{name}:pull""#),
    };
    reply.with("WWW-Authenticate", challenge)
}

/// What shell tests steer it with: `GET /_fault/stats`, `POST /_fault/script`, `POST /_fault/reset`.
fn control(shared: &Shared, request: &Request) -> Reply {
    #[derive(serde::Deserialize)]
    struct Orders {
        #[serde(default)]
        rules: Vec<Rule>,
        behaviour: Option<Behaviour>,
    }
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/_fault/stats") => {
            let mut requests = std::collections::BTreeMap::<String, u64>::new();
            for seen in shared.seen().iter() {
                *requests.entry(format!("{} {}", seen.request.method, seen.request.path)).or_default() += 1;
            }
            let sent = shared.sent.lock().unwrap();
            let bytes = sent.iter().map(|(path, bytes)| (path.clone(), bytes.load(std::sync::atomic::Ordering::Relaxed)));
            let bytes = bytes.collect::<std::collections::BTreeMap<_, _>>();
            Reply::new(200, "application/json", json!({"requests": requests, "bytes": bytes}).to_string())
        }
        ("POST", "/_fault/script") => match serde_json::from_slice::<Orders>(&request.body) {
            Ok(orders) => {
                shared.script.clear();
                orders.rules.into_iter().for_each(|rule| shared.script.add(rule));
                if let Some(behaviour) = orders.behaviour {
                    *shared.behaviour.lock().unwrap() = behaviour;
                }
                Reply::new(200, "application/json", "{}")
            }
            Err(error) => Reply::new(400, "text/plain", format!("{error}\n")),
        },
        ("POST", "/_fault/reset") => {
            shared.script.clear();
            shared.forget();
            Reply::new(200, "application/json", "{}")
        }
        _ => Reply::new(404, "text/plain", "stats, script or reset\n"),
    }
}
