//! Offline: no connection to any upstream is made, and everything that is cached is served.

use std::time::Duration;

use crate::app::*;
use entrepot::oci::Digest;
use entrepot::upkeep::{Event, Order, Reply, Request, carry_out};
use serde_json::json;

struct Stock {
    app: App,
    quay: FaultUpstream,
    nginx: Pulled,
    tool: Pulled,
    missing: Digest,
}

/// Images of two upstreams, cached with their lists, and their tags no longer believed.
async fn stocked() -> Stock {
    let quay = FaultUpstream::start().await;
    let ttl = Duration::from_millis(1);
    let app = App::with(|settings| {
        settings.upstreams.push(quay.upstream_settings("quay.io"));
        settings.upstreams.iter_mut().for_each(|upstream| upstream.tag_ttl = ttl);
    })
    .await;
    app.hub.image("library/nginx", "1.25", &[bytes(1, 100_000), bytes(2, 10)]);
    quay.image("org/tool", "v1", &[bytes(3, 100)]);
    let missing = app.hub.image("library/nginx", "never-pulled", &[bytes(4, 10)]).layers[0];
    app.hub.finds(json!({"num_results": 0, "results": []}).to_string());
    let client = app.anonymous();
    let (nginx, tool) = (client.pull("nginx", "1.25").await, client.pull("quay.io/org/tool", "v1").await);
    app.landed().await;
    Stock { app, quay, nginx, tool, missing }
}

impl Stock {
    async fn forget(&self) {
        self.app.hub.forget();
        self.quay.forget();
    }

    /// Asks in every way for what is cached of Docker Hub, and for what is not.
    async fn ask_for_hub(&self) {
        let client = self.app.anonymous();
        for client in [client.clone(), self.app.user("alice")] {
            for _ in 0..2 {
                assert_eq!(client.pull("nginx", "1.25").await, self.nginx);
                assert_eq!(client.pull("docker.io/library/nginx", "1.25").await, self.nginx);
                assert_eq!(client.through("docker.io").pull("library/nginx", "1.25").await, self.nginx);
            }
        }
        let listed = client.get("/v2/nginx/tags/list").await.expect(200).json();
        assert_eq!(listed["tags"], json!(["1.25"]));
        client.get(&format!("/v2/nginx/referrers/{}", self.nginx.digest)).await.expect(200);
        assert!(client.get("/v2/_catalog").await.expect(200).json()["repositories"].to_string().contains("nginx"));
        assert!(String::from_utf8_lossy(&client.get("/v1/search?q=ngin").await.expect(200).body).contains("nginx"));
        for absent in
            ["/v2/nginx/manifests/1.26".to_owned(), "/v2/other/manifests/1".to_owned(), format!("/v2/nginx/blobs/{}", self.missing)]
        {
            let answer = client.get(&absent).await.expect(404);
            assert!(answer.message().contains("offline"), "{absent}: {}", answer.message());
        }
    }

    async fn prefetch(&self, image: &str) -> Result<(), String> {
        let order = Order { images: vec![image.to_owned()], platforms: vec!["linux/amd64".to_owned()], jobs: 1 };
        let mut replies = carry_out(self.app.registry().clone(), Request::Prefetch(order));
        let mut last = Err("nothing was said".to_owned());
        while let Some(Reply::Event(event)) = replies.recv().await {
            match serde_json::from_value(event).unwrap() {
                Event::Failed { why, .. } => last = Err(why),
                Event::Done { .. } => last = Ok(()),
                Event::Progress { .. } => {}
            }
        }
        last
    }
}

#[tokio::test]
async fn no_connection_is_made_to_any_upstream_and_everything_cached_is_served() {
    let mut stock = stocked().await;
    stock.app.restart_with(|settings| settings.cache.offline = true).await;
    stock.forget().await;
    stock.ask_for_hub().await;
    assert_eq!(stock.app.anonymous().pull("quay.io/org/tool", "v1").await, stock.tool);
    stock.prefetch("nginx:1.25").await.unwrap();
    for image in ["nginx:1.26", "quay.io/org/tool:v2"] {
        assert!(stock.prefetch(image).await.unwrap_err().contains("offline"));
    }
    assert_eq!((stock.app.hub.connections(), stock.quay.connections()), (0, 0));
}

#[tokio::test]
async fn one_upstream_alone_can_be_offline() {
    let mut stock = stocked().await;
    stock.app.restart_with(|settings| settings.upstreams[0].offline = true).await;
    stock.forget().await;
    stock.ask_for_hub().await;
    stock.quay.image("org/tool", "v2", &[bytes(5, 100)]);
    stock.app.anonymous().pull("quay.io/org/tool", "v2").await;
    assert_eq!(stock.app.hub.connections(), 0);
    assert!(stock.quay.connections() > 0);
}
