//! Content Discovery: "Listing Tags", "Listing Referrers".

use bytes::Bytes;
use entrepot::oci::Digest;
use serde_json::{Value, json};

use crate::app::*;
use crate::places::*;

const TAGS: [&str; 6] = ["1.10", "1.9", "A", "_x", "b", "latest"];

impl Desk {
    async fn with_tags(&self) {
        let image = self.half_pushed("tags").await;
        for tag in ["latest", "1.9", "b", "_x", "A", "1.10"] {
            self.push_manifest(tag, IMAGE, &image.manifest).await.expect(201);
        }
    }

    async fn tags(&self, query: &str) -> (Vec<String>, Answer) {
        let answer = self.client.get(&format!("/v2/{}/tags/list{query}", self.name)).await.expect(200);
        assert_eq!(answer.json()["name"], self.name);
        let tags = answer.json()["tags"].as_array().expect("tags is a list").iter().map(|tag| tag.as_str().unwrap().to_owned()).collect();
        (tags, answer)
    }

    async fn referrers(&self, query: &str) -> (Vec<Value>, Answer) {
        let answer = self.client.get(&format!("/v2/{}/referrers/{query}", self.name)).await.expect(200);
        assert_eq!(answer.header("content-type"), INDEX);
        let list = answer.json();
        assert_eq!((list["schemaVersion"].as_u64(), list["mediaType"].as_str()), (Some(2), Some(INDEX)));
        (list["manifests"].as_array().expect("manifests is a list").clone(), answer)
    }
}

#[tokio::test]
async fn listing_tags_gives_all_in_order() {
    on_every_desk(async |desk| {
        desk.with_tags().await;
        let (tags, answer) = desk.tags("").await;
        let mut lexical = TAGS.map(str::to_owned);
        lexical.sort_by_key(|tag| tag.to_lowercase());
        assert!(tags == TAGS || tags == lexical, "{tags:?}");
        assert!(answer.header("content-type").starts_with("application/json"));
    })
    .await;
}

#[tokio::test]
async fn listing_tags_of_a_repository_without_tags_gives_an_empty_list() {
    on_every_desk(async |desk| {
        let image = desk.half_pushed("no tags").await;
        desk.push_manifest(image.digest(), IMAGE, &image.manifest).await.expect(201);
        assert_eq!(desk.tags("").await.0, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn listing_tags_by_n_and_last_gives_that_part_of_the_list() {
    on_every_desk(async |desk| {
        desk.with_tags().await;
        let all = desk.tags("").await.0;
        let tail = |last: &str, n: usize| -> Vec<String> {
            let from = all.iter().position(|tag| tag == last).map_or(0, |at| at + 1);
            all[from..].iter().take(n).cloned().collect()
        };
        let last = &*all[2];
        for (query, part) in [
            ("?n=6".to_owned(), tail("", 6)),
            ("?n=100".to_owned(), tail("", 100)),
            ("?n=2".to_owned(), tail("", 2)),
            (format!("?n=2&last={last}"), tail(last, 2)),
            (format!("?n=9&last={last}"), tail(last, 9)),
            (format!("?last={last}"), tail(last, 9)),
            (format!("?n=1&last={}", all[5]), Vec::new()),
        ] {
            let (tags, answer) = desk.tags(&query).await;
            let fewer = answer.headers.contains_key("link") && part.starts_with(&tags);
            assert!(tags == part || fewer, "{query}: {tags:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn listing_tags_with_n_of_zero_gives_nothing_and_no_link() {
    on_every_desk(async |desk| {
        desk.with_tags().await;
        let (tags, answer) = desk.tags("?n=0").await;
        assert!(tags.is_empty() && !answer.headers.contains_key("link"), "{answer:?}");
    })
    .await;
}

#[tokio::test]
async fn listing_tags_by_its_links_gives_each_tag_once() {
    on_every_desk(async |desk| {
        desk.with_tags().await;
        let (mut tags, mut answer) = desk.tags("?n=2").await;
        while let Some(link) = answer.headers.get("link").map(|link| link.to_str().unwrap().to_owned()) {
            let (address, relation) = link.split_once(';').expect("a link has a relation");
            assert_eq!(relation.trim(), "rel=\"next\"");
            let query = address.trim_matches(['<', '>']).split_once('?').expect("the next page has a query").1.to_owned();
            let (more, next) = desk.tags(&format!("?{query}")).await;
            tags.extend(more);
            answer = next;
        }
        assert!(tags == desk.tags("").await.0 || tags.len() == 2 && desk.sparse.is_none(), "{tags:?}");
    })
    .await;
}

#[tokio::test]
async fn listing_tags_of_what_was_pulled_knows_its_tag() {
    on_every_shelf(async |shelf| {
        shelf.client.get(&format!("/v2/{}/manifests/v1", shelf.name)).await.expect(200);
        let answer = shelf.client.get(&format!("/v2/{}/tags/list", shelf.name)).await.expect(200);
        assert_eq!(answer.json()["name"], shelf.name);
        assert!(answer.json()["tags"].as_array().unwrap().contains(&json!("v1")));
    })
    .await;
}

#[tokio::test]
async fn listing_referrers_is_200_also_where_there_are_none() {
    on_every_shelf(async |shelf| {
        for digest in [shelf.image.digest(), Digest::of(b"nothing")] {
            shelf.client.get(&format!("/v2/{}/manifests/v1", shelf.name)).await.expect(200);
            let answer = shelf.client.get(&format!("/v2/{}/referrers/{digest}", shelf.name)).await.expect(200);
            assert_eq!((answer.header("content-type"), &answer.json()["manifests"]), (INDEX, &json!([])));
        }
    })
    .await;
}

#[tokio::test]
async fn listing_referrers_of_what_is_no_digest_is_400() {
    on_every_shelf(async |shelf| {
        for digest in ["sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "v1"] {
            shelf.client.get(&format!("/v2/{}/referrers/{digest}", shelf.name)).await.expect(400);
        }
    })
    .await;
}

#[tokio::test]
async fn listing_referrers_describes_each_with_its_type_and_annotations() {
    on_every_desk(async |desk| {
        let image = desk.half_pushed("referrers").await;
        desk.push_manifest("v1", IMAGE, &image.manifest).await.expect(201);
        let subject = json!({"mediaType": IMAGE, "digest": image.digest(), "size": image.manifest.len()});
        let config = json!({"mediaType": "a/config", "digest": Digest::of(&image.config), "size": image.config.len()});
        let about = json!({"about": "this"});
        let mut expected = Vec::new();
        // The document, its type, and what the list must call it.
        for (document, kind, listed_as) in [
            (json!({"config": config, "layers": [], "artifactType": "a/signature", "annotations": about}), IMAGE, Some("a/signature")),
            (json!({"config": config, "layers": []}), IMAGE, Some("a/config")),
            (json!({"config": config, "layers": [], "artifactType": ""}), IMAGE, Some("a/config")),
            (json!({"manifests": [], "artifactType": "a/list", "annotations": about}), INDEX, Some("a/list")),
            (json!({"manifests": []}), INDEX, None),
        ] {
            let mut document = document;
            (document["schemaVersion"], document["mediaType"], document["subject"]) = (json!(2), json!(kind), subject.clone());
            let bytes = Bytes::from(document.to_string());
            desk.push_manifest(Digest::of(&bytes), kind, &bytes).await.expect(201);
            let mut entry = json!({"mediaType": kind, "digest": Digest::of(&bytes), "size": bytes.len()});
            if let Some(listed_as) = listed_as {
                entry["artifactType"] = json!(listed_as);
            }
            if !document["annotations"].is_null() {
                entry["annotations"] = about.clone();
            }
            expected.push(entry);
        }
        let (listed, _) = desk.referrers(&image.digest().to_string()).await;
        for entry in &expected {
            assert!(listed.contains(entry), "{entry} is not in {listed:?}");
        }
        assert_eq!(listed.len(), expected.len());

        let (some, answer) = desk.referrers(&format!("{}?artifactType=a/signature", image.digest())).await;
        if answer.header("oci-filters-applied") == "artifactType" {
            assert_eq!(some, expected[..1]);
        } else {
            assert!(desk.sparse.is_none(), "{answer:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn listing_referrers_forgets_what_was_deleted() {
    on_every_desk(async |desk| {
        let subject = json!({"mediaType": IMAGE, "digest": Digest::of(b"subject"), "size": 7});
        let bytes = Bytes::from(json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "subject": subject}).to_string());
        desk.push_manifest("about", INDEX, &bytes).await.expect(201);
        let path = Digest::of(b"subject").to_string();
        assert_eq!(desk.referrers(&path).await.0.len(), 1);
        let answer = desk.client.delete(&desk.manifest(Digest::of(&bytes))).await;
        if !desk.lacks(&answer) {
            answer.expect(202);
            assert_eq!(desk.referrers(&path).await.0.len(), 0);
        }
    })
    .await;
}
