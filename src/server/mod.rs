//! The registry over HTTP: routes, who may use them, and answers. Every request under `/v2/` is parsed once, judged once, and makes one call on the registry.

mod access;
mod answers;
mod audit;
mod blobs;
mod connect;
mod errors;
mod forwarded;
mod hot;
pub mod listen;
mod lists;
mod manifests;
mod pages;
mod probes;
mod requests;
mod required;
mod search;
pub mod tls;
mod token;
mod unread;
mod uploads;
mod upstreams;
mod welcome;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use tower::util::MapRequestLayer;

use crate::auth::{Policy, Tokens, Users};
use crate::config::Settings;
use crate::oci::Route;
use crate::registry::Registry;
use crate::telemetry;
use answers::Refusal;
pub use pages::Page;

/// What answers requests.
pub struct Server {
    registry: Arc<Registry>,
    users: Arc<Users>,
    tokens: Arc<Tokens>,
    policy: Arc<Policy>,
    external_url: Option<String>,
    tls: Option<Arc<tls::Tls>>,
    /// Plain HTTP is refused.
    require: bool,
    proxies: Arc<forwarded::Proxies>,
    metrics: Option<telemetry::metrics::Handle>,
    hot: hot::Hot,
    started: Instant,
}

impl Server {
    pub fn new(
        settings: &Settings,
        registry: Arc<Registry>,
        users: Arc<Users>,
        tokens: Arc<Tokens>,
        policy: Arc<Policy>,
        tls: Option<Arc<tls::Tls>>,
        metrics: Option<telemetry::metrics::Handle>,
    ) -> Arc<Server> {
        Arc::new(Server {
            registry,
            users,
            tokens,
            policy,
            external_url: settings.server.external_url.clone(),
            tls,
            require: settings.server.tls.require,
            proxies: Arc::new(forwarded::Proxies::new(settings.server.trusted_proxies.clone(), settings.server.external_url.is_some())),
            metrics,
            hot: hot::Hot::default(),
            started: Instant::now(),
        })
    }

    /// Every route of this server.
    pub fn router(self: &Arc<Server>) -> Router {
        let proxies = self.proxies.clone();
        let pages = Page::ALL.into_iter().fold(Router::new(), |router, page| router.route(page.path(), page.handler()));
        let answering = pages.fallback(registry).method_not_allowed_fallback(wrong_method);
        let answering = match self.require {
            true => answering.layer(axum::middleware::from_fn_with_state(self.clone(), required::check)),
            false => answering,
        };
        answering
            .layer(axum::middleware::from_fn(requests::observe))
            // The outermost: whatever asks who the client is comes after it.
            .layer(MapRequestLayer::new(move |request: Request| proxies.settle(request)))
            .with_state(self.clone())
    }
}

/// Everything under `/v2/` and `/v1/`, and what is nowhere.
async fn registry(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let unread = unread::Returned::default();
    let mut response = match server.hot_answer(&parts) {
        Some(response) => response,
        None => server
            .answer(&parts, unread.lend(body))
            .await
            .unwrap_or_else(|refusal| refusal.into_response(&server.base(&parts), &parts.method)),
    };
    unread.finish(&parts, &mut response).await;
    response.headers_mut().insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    response
}

/// A path that is there, asked in a way that it does not know. The router adds the `Allow` header.
async fn wrong_method() -> Response {
    let text = "this path does not take that method; the Allow header says which it takes";
    answers::body(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", text, serde_json::Value::Null)
}

impl Server {
    async fn answer(&self, parts: &Parts, body: Body) -> Result<Response, Refusal> {
        let route = Route::parse(parts.method.as_str(), parts.uri.path())?;
        let answer = match &route {
            Route::Base => self.base_route(parts).await,
            Route::Catalog => self.catalog(parts).await,
            Route::Ping => Ok(self.ping()),
            Route::Search => self.search(parts).await,
            Route::Tags { name } => self.tags(parts, name).await,
            Route::Manifest { name, reference } => self.manifest(parts, name, reference, body).await,
            Route::Blob { name, digest } => self.blob(parts, name, digest).await,
            Route::Uploads { name } => self.begin_upload(parts, name, body).await,
            Route::Upload { name, id } => self.upload(parts, name, id.as_str(), body).await,
            Route::Referrers { name, digest } => self.referrers(parts, name, digest).await,
        };
        answer.inspect_err(|refusal| audit::refused(parts, &route, refusal))
    }

    /// How clients reach this server, without a slash at its end.
    fn base(&self, parts: &Parts) -> String {
        self.external_url.clone().unwrap_or_else(|| forwarded::reached(parts))
    }

    /// The address by which clients name this server, as image names begin with it.
    fn host(&self, parts: &Parts) -> String {
        self.base(parts).split("//").last().unwrap_or_default().to_owned()
    }
}

/// Where the request came from, as far as trusted proxies tell.
fn client(parts: &Parts) -> SocketAddr {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    parts.extensions.get::<listen::ClientAddress>().map_or(unknown, |address| address.0)
}
