//! Freshness: how long a tag is believed, who waits for its upstream, what is held back, and what is pinned. Every test counts
//! what the upstream was asked.

mod ahead;
mod cooldown;
mod pins;
mod refresh;
mod times;

use crate::app::App;

const LATEST: &str = "/v2/nginx/manifests/latest";
const UPSTREAM_LATEST: &str = "/v2/library/nginx/manifests/latest";

/// HEADs and GETs of manifests that the upstream saw.
fn asked(app: &App) -> (usize, usize) {
    let seen = app.hub.seen();
    let count = |method: &str| seen.iter().filter(|s| s.request.method == method && s.request.path.contains("/manifests/")).count();
    (count("HEAD"), count("GET"))
}

/// With other settings of docker.io, which wants no tokens: each question is one request.
async fn app(change: impl FnOnce(&mut entrepot::config::Upstream)) -> App {
    let app = App::with_hub(change).await;
    app.hub.behave(|hub| (hub.tokens, hub.hub_401) = (false, false));
    app
}
