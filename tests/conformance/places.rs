//! The registries that the rules are asked of. What a rule changes, it changes in a repository that no other rule uses.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use entrepot::oci::{Digest, Origin};

use crate::app::*;

/// A repository with an image under `v1` and an index of it under `all`.
pub struct Shelf {
    pub client: Client,
    pub name: String,
    pub image: Built,
    pub index: Bytes,
}

/// A registry that takes pushes.
pub struct Desk {
    pub client: Client,
    /// A repository that is not there yet, and another one.
    pub name: String,
    pub other: String,
    /// What `hosted.sparse` is; of another registry that is not known.
    pub sparse: Option<bool>,
}

/// Asks the rule wherever an image can be pulled from.
pub async fn on_every_shelf(rule: impl AsyncFn(&Shelf)) {
    if let Some(client) = elsewhere().await {
        return rule(&stocked(client).await).await;
    }
    let app = App::start().await;
    let admin = app.user("admin");
    println!("asking hosted");
    rule(&stocked(admin.clone()).await).await;
    for (place, prefix) in [("a proxy path", "docker.io/"), ("the group", "")] {
        println!("asking {place}");
        let name = fresh();
        let (image, index) = content();
        for blob in image.blobs() {
            app.hub.blob(&name, blob.clone());
        }
        app.hub.manifest(&name, "v1", IMAGE, image.manifest.clone());
        app.hub.manifest(&name, "all", INDEX, index.clone());
        rule(&Shelf { client: admin.clone(), name: format!("{prefix}{name}"), image, index }).await;
    }
}

/// Asks the rule wherever something can be pushed to.
pub async fn on_every_desk(rule: impl AsyncFn(&Desk)) {
    if let Some(client) = elsewhere().await {
        return rule(&Desk { client, name: fresh(), other: fresh(), sparse: None }).await;
    }
    for sparse in [false, true] {
        println!("asking hosted with sparse = {sparse}");
        let app = App::with(|settings| {
            settings.hosted.sparse = sparse;
            settings.group.members = vec![Origin::Hosted];
        });
        let app = app.await;
        rule(&Desk { client: app.user("admin"), name: fresh(), other: fresh(), sparse: Some(sparse) }).await;
    }
}

async fn elsewhere() -> Option<Client> {
    let variable = |name: &str| std::env::var(format!("ENTREPOT_CONFORMANCE_{name}")).ok();
    let account = variable("USER").zip(variable("PASSWORD"));
    let client = Client::new(&Client::wire(), variable("URL")?.trim_end_matches('/'), account.clone());
    let challenge = client.bare().get("/v2/").await.header("www-authenticate").to_owned();
    Some(if account.is_some() && challenge.starts_with("Basic") { client.basic() } else { client })
}

async fn stocked(client: Client) -> Shelf {
    let ((image, index), name) = (content(), fresh());
    client.push(&name, "v1", &image).await;
    client.put_manifest(&name, "all", INDEX, index.clone()).await.expect(201);
    Shelf { client, name, image, index }
}

fn content() -> (Built, Bytes) {
    let image = build("conformance", &[bytes(71, 2048), bytes(72, 100_000)]);
    let index = index_of(&[("linux/amd64", &image.manifest)]);
    (image, index)
}

fn fresh() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    format!("conformance/{time:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Desk {
    /// Whether a registry elsewhere does without what a registry may do without. Ours does everything.
    pub fn lacks(&self, answer: &Answer) -> bool {
        self.sparse.is_none() && matches!(answer.status, 400 | 404 | 405)
    }

    /// Opens an upload; its path.
    pub async fn begin(&self) -> String {
        self.client.begin(&self.name).await
    }

    /// The answer's `Location` leads to these bytes.
    pub async fn leads_to(&self, answer: &Answer, bytes: &[u8]) {
        assert_eq!(self.client.get(&answer.location()).await.expect(200).body, bytes);
    }

    pub async fn has_blob(&self, bytes: &Bytes) {
        assert_eq!(self.client.blob(&self.name, &Digest::of(bytes)).await, bytes);
    }

    pub fn manifest(&self, reference: impl std::fmt::Display) -> String {
        format!("/v2/{}/manifests/{reference}", self.name)
    }

    pub fn blob(&self, digest: &Digest) -> String {
        format!("/v2/{}/blobs/{digest}", self.name)
    }
}
