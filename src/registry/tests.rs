//! The registry over real files and upstreams on sockets of this machine.

mod care;
mod storm;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config;
use crate::index::{EdgeKind, EdgeRow, Local, Options};
use crate::oci::{Digest, Reference};
use crate::store::FileStore;
use crate::upstream::ManifestAnswer;

const TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry with the manifests of its paths, which counts what it is asked.
struct Upstream {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Upstream {
    async fn with(manifests: &[(&str, &str)]) -> Upstream {
        let manifests: HashMap<_, _> = manifests.iter().map(|(path, bytes)| (format!("/v2/{path}"), (*bytes).to_owned())).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (url, asked) = (format!("http://{}", listener.local_addr().unwrap()), Arc::new(AtomicUsize::new(0)));
        let count = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let mut words = request.split(' ');
                let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
                let answer = match manifests.get(path) {
                    Some(bytes) => {
                        let body = if method == "HEAD" { "" } else { bytes };
                        let digest = Digest::of(bytes.as_bytes());
                        let length = bytes.len();
                        format!(
                            "200 OK\r\nContent-Type: {TYPE}\r\nDocker-Content-Digest: {digest}\r\nContent-Length: {length}\r\n\r\n{body}"
                        )
                    }
                    None => "404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
                };
                let head = "HTTP/1.1 ";
                let answer = answer.replacen("\r\n", "\r\nConnection: close\r\n", 1);
                let _ = stream.write_all(format!("{head}{answer}").as_bytes()).await;
            }
        });
        Upstream { url, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// As a configured upstream with credentials of its own.
    fn settings(&self, registry: &str) -> config::Upstream {
        let credentials = config::Credentials::password("ann", "secret");
        let endpoint = config::Endpoint { url: self.url.parse().unwrap(), credentials: Some(credentials) };
        config::Upstream { endpoints: vec![endpoint], insecure: true, ..config::Upstream::builtin(registry) }
    }
}

struct House {
    registry: Arc<Registry>,
    data: tempfile::TempDir,
}

impl House {
    /// Hosted first, then the upstreams in order.
    async fn with(upstreams: Vec<config::Upstream>, hosted: impl FnOnce(&mut config::Hosted)) -> House {
        let data = tempfile::tempdir().unwrap();
        let mut settings = config::Settings::builtin();
        hosted(&mut settings.hosted);
        let origins = upstreams.iter().map(|upstream| Origin::Upstream(upstream.registry.as_str().into()));
        settings.group.members = std::iter::once(Origin::Hosted).chain(origins).collect();
        let deadlines = Deadlines::default().scaled(10);
        let members = upstreams.iter().map(|upstream| Member::new(upstream, false, deadlines).unwrap()).collect();
        let store = Arc::new(FileStore::open(data.path(), 0).unwrap());
        let index = Arc::new(Local::open(Options::new(data.path())).await.unwrap());
        let policy = Arc::new(Policy::open(data.path(), &settings.auth).unwrap());
        House { registry: Registry::new(&settings, index, store, members, deadlines, flight::Tuning::default(), policy), data }
    }

    async fn hosted() -> House {
        House::with(Vec::new(), |_| ()).await
    }

    async fn pull(&self, image: &str) -> Result<Found, Error> {
        let (name, tag) = image.split_once(':').unwrap();
        let target = self.registry.target(name, None).unwrap();
        let found = self.registry.manifest(&target, &tagged(tag), &anonymous(), Want::Bytes).await;
        found.map(|(found, _)| found)
    }

    fn file(&self, digest: &Digest) -> std::path::PathBuf {
        let hex = digest.to_string().split_off("sha256:".len());
        self.data.path().join("blobs/sha256").join(&hex[..2]).join(&hex)
    }

    async fn put(&self, name: &RepositoryName, tag: &str, manifest: &str) -> Result<Published, Error> {
        self.registry.put_manifest(name, &tagged(tag), &[], TYPE, manifest.to_owned().into(), &anonymous()).await
    }

    async fn eventually(&self, what: impl AsyncFn() -> bool) {
        let waiting = async {
            while !what().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it goes on without its client");
    }
}

fn anonymous() -> Reader {
    Reader::new(Who::Anonymous, Sight::Everything)
}

fn tagged(tag: &str) -> Reference {
    Reference::Tag(tag.parse().unwrap())
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

/// A manifest that reaches nothing.
fn manifest(what: &str) -> String {
    format!(r#"{{"schemaVersion":2,"mediaType":"{TYPE}","annotations":{{"is":"{what}"}},"layers":[]}}"#)
}

#[tokio::test]
async fn a_push_whose_client_leaves_goes_on_and_ends_what_was_kept_of_the_old_tag() {
    let (house, name) = (House::hosted().await, name("team/app"));
    house.put(&name, "v1", &manifest("old")).await.unwrap();
    let target = house.registry.target("team/app", None).unwrap();
    let (_, ticket) = house.registry.manifest(&target, &tagged("v1"), &anonymous(), Want::Bytes).await.unwrap();
    let ticket = ticket.unwrap();
    assert!(house.registry.holds(&ticket, &Who::Anonymous));
    assert!(house.put(&name, "v1", &manifest("new")).now_or_never().is_none(), "its client left before the answer");
    house.eventually(async || house.pull("team/app:v1").await.unwrap().digest == Digest::of(manifest("new").as_bytes())).await;
    house.eventually(async || !house.registry.holds(&ticket, &Who::Anonymous)).await;
}

#[tokio::test]
async fn an_upload_whose_client_leaves_at_its_end_is_finished() {
    let (house, name) = (House::hosted().await, name("team/app"));
    let body = |bytes: &'static [u8]| futures_util::stream::iter([Ok(Bytes::from_static(bytes))]).boxed();
    let (digest, who) = (Digest::of(b"layer"), Who::Anonymous);
    let id = house.registry.start_upload(&name, &who).await.unwrap().id;
    house.registry.append_upload(&name, &id, &who, None, body(b"layer")).await.unwrap();
    let finishing = house.registry.finish_upload(&name, &id, &who, &digest, Some(5), futures_util::stream::empty().boxed());
    assert!(finishing.now_or_never().is_none(), "its client left before the answer");
    let linked = async || house.registry.index.linked(&Repository::hosted(&name), &digest).await.unwrap();
    house.eventually(linked).await;
}

#[tokio::test]
async fn bytes_that_a_broken_request_left_behind_count() {
    let (house, name, who) = (House::hosted().await, name("team/app"), Who::Anonymous);
    // As many as are handed over at once: they are being written when the request breaks.
    let half = Bytes::from(vec![7; uploads::BATCH]);
    let id = house.registry.start_upload(&name, &who).await.unwrap().id;
    let endless = futures_util::stream::iter([Ok(half.clone())]).chain(futures_util::stream::pending()).boxed();
    assert!(house.registry.append_upload(&name, &id, &who, None, endless).now_or_never().is_none());
    assert_eq!(house.registry.upload_status(&name, &id, &who).await.unwrap().received, half.len() as u64);
    let rest = futures_util::stream::iter([Ok(half.clone())]).boxed();
    let digest = Digest::of(&[half.clone(), half.clone()].concat());
    house.registry.finish_upload(&name, &id, &who, &digest, Some(half.len() as u64), rest).await.unwrap();
}

#[tokio::test]
async fn a_rotten_manifest_heals_when_it_is_pushed_again() {
    let (house, name) = (House::hosted().await, name("team/app"));
    let digest = house.put(&name, "v1", &manifest("whole")).await.unwrap().digest;
    let file = house.file(&digest);
    let length = std::fs::metadata(&file).unwrap().len() as usize;
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, vec![b'x'; length]).unwrap();
    assert_eq!(house.pull("team/app:v1").await.unwrap_err().kind, Kind::Internal);
    house.put(&name, "v1", &manifest("whole")).await.unwrap();
    assert_eq!(house.pull("team/app:v1").await.unwrap().digest, digest);
}

#[tokio::test]
async fn a_damaged_blob_is_fetched_again() {
    let digest = Digest::of(b"layer");
    let upstream = Upstream::with(&[(&format!("team/app/blobs/{digest}"), "layer")]).await;
    let open = config::Upstream { visibility: config::Visibility::Public, ..upstream.settings("one.test") };
    let house = House::with(vec![open], |_| ()).await;
    let target = house.registry.target("one.test/team/app", None).unwrap();
    for _ in 0..2 {
        let blob = house.registry.blob(&target, &digest, &anonymous(), Want::Bytes).await.unwrap();
        let bytes: Vec<_> = house.registry.blob_bytes(blob, None).await.unwrap().map(Result::unwrap).collect().await;
        assert_eq!(bytes.concat(), b"layer");
        let file = house.file(&digest);
        house.eventually(async || file.exists() && house.registry.flights() == 0).await;
        std::fs::remove_file(file).unwrap();
    }
}

#[tokio::test]
async fn a_missing_tag_does_not_hide_its_repository() {
    let upstream = Upstream::with(&[("team/app/manifests/v1", &manifest("public"))]).await;
    let house = House::with(vec![upstream.settings("one.test")], |_| ()).await;
    assert_eq!(house.pull("team/app:typo").await.unwrap_err().kind, Kind::ManifestUnknown);
    let found = house.pull("team/app:v1").await.unwrap();
    let until = house.registry.seen_until(&found.repository).expect("what is kept in memory ends with the verdict");
    assert!(until <= std::time::Instant::now() + Duration::from_secs(3600));
}

#[tokio::test]
async fn no_other_registry_answers_while_it_cannot_be_asked_who_may_see_the_first() {
    let other = Upstream::with(&[("team/app/manifests/v1", &manifest("impostor"))]).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let away = Upstream { url: format!("http://{gone}"), asked: Arc::default() };
    let house = House::with(vec![away.settings("one.test"), other.settings("two.test")], |_| ()).await;
    let error = house.pull("team/app:v1").await.unwrap_err();
    assert!(error.kind == Kind::LogIn && error.message.contains("one.test"), "{error}");
    assert_eq!(other.asked(), 0);
}

#[tokio::test]
async fn a_push_asks_no_upstream() {
    let upstream = Upstream::with(&[]).await;
    let house = House::with(vec![upstream.settings("one.test")], |_| ()).await;
    house.put(&name("team/app"), "v1", &manifest("ours")).await.unwrap();
    let target = house.registry.target("team/app", None).unwrap();
    assert_eq!(house.registry.mount_sources(&target, &Who::Anonymous), [Repository::hosted(&name("team/app"))]);
    assert_eq!(upstream.asked(), 0);
}

#[tokio::test]
async fn prefetching_asks_no_upstream_that_is_offline() {
    let upstream = Upstream::with(&[]).await;
    let offline = config::Upstream { offline: true, ..upstream.settings("one.test") };
    let house = House::with(vec![offline], |_| ()).await;
    let layer = format!(r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{}","size":5}}"#, Digest::of(b"layer"));
    let bytes = Bytes::from(format!(r#"{{"schemaVersion":2,"mediaType":"{TYPE}","layers":[{layer}]}}"#));
    let repository = Repository::upstream("one.test", &name("team/app"));
    let cached = ManifestAnswer { digest: Digest::of(&bytes), bytes, media_type: TYPE.into(), etag: None };
    let (found, kept) = house.registry.keep_manifest(&repository, cached).await.unwrap();
    assert!(kept);
    let row = crate::index::TagRow::new(found.digest, now(), "one.test");
    house.registry.tell_tag(&repository, &"v1".parse().unwrap(), row).await.unwrap();
    let image = "one.test/team/app:v1".parse().unwrap();
    let error = house.registry.prefetch(&image, &Platforms::All, |_| ()).await.unwrap_err();
    assert!(error.message.contains("offline"), "{error}");
    assert_eq!((upstream.asked(), house.registry.flights()), (0, 0));
}

#[tokio::test]
async fn a_reserved_name_leaves_by_no_shape() {
    let upstream = Upstream::with(&[("corp/app/manifests/v1", &manifest("theirs"))]).await;
    let reserve = |hosted: &mut config::Hosted| hosted.reserved = config::Patterns::new(&["corp/**"]).unwrap();
    let open = config::Upstream { visibility: config::Visibility::Public, ..upstream.settings("one.test") };
    let house = House::with(vec![open], reserve).await;
    for image in ["corp/app:v1", "one.test/corp/app:v1"] {
        let error = house.pull(image).await.unwrap_err();
        assert!(error.kind == Kind::ManifestUnknown && error.message.contains("reserved"), "{error}");
    }
    assert_eq!(upstream.asked(), 0);
}

#[tokio::test]
async fn whatever_a_request_waits_for_it_waits_one_budget() {
    let upstream = Upstream::with(&[("team/app/manifests/v1", &manifest("theirs"))]).await;
    let open = config::Upstream { visibility: config::Visibility::Public, ..upstream.settings("one.test") };
    let house = House::with(vec![open], |_| ()).await;
    let target = house.registry.target("team/app", None).unwrap();
    let long_ago = Instant::now() - house.registry.deadlines.budget;
    let late = Reader { since: long_ago, ..anonymous() };
    let error = house.registry.manifest(&target, &tagged("v1"), &late, Want::Bytes).await.unwrap_err();
    assert_eq!(error.kind, Kind::UpstreamTimeout, "{error}");
    house.pull("team/app:v1").await.expect("the question went on for the next one");
}

#[tokio::test]
async fn a_manifest_goes_only_while_the_tags_that_were_judged_name_it() {
    let house = House::hosted().await;
    let digest = house.put(&name("team/app"), "v1", &manifest("ours")).await.unwrap().digest;
    house.put(&name("team/app"), "v2", &manifest("ours")).await.unwrap();
    let hosted = Repository::hosted(&name("team/app"));
    let expect = |tags: &[&str]| Expect::NamedOnlyBy(hosted.clone(), digest, tags.iter().map(|tag| tag.parse().unwrap()).collect());
    let commit = async |tags: &[&str]| {
        let remove = Change::RemoveManifest { repository: hosted.clone(), digest, by: String::new() };
        house.registry.commit(vec![expect(tags)], vec![remove], Promise::Durable).await
    };
    assert_eq!(commit(&["v1"]).await, Err(CommitError::Refused(expect(&["v1"]).into())));
    assert_eq!(commit(&["v1", "v2", "gone"]).await, Ok(()));
    assert_eq!(house.pull("team/app:v2").await.unwrap_err().kind, Kind::ManifestUnknown);
}

#[tokio::test]
async fn a_part_goes_only_while_the_images_that_were_judged_have_it() {
    let house = House::hosted().await;
    let child = house.put(&name("team/app"), "v1", &manifest("ours")).await.unwrap().digest;
    let hosted = Repository::hosted(&name("team/app"));
    let edges = vec![(child, EdgeRow { kind: EdgeKind::Manifest, size: 1, media_type: String::new() })];
    let row = house.registry.index.manifest(&hosted, &child).await.unwrap().unwrap();
    let index = Digest::of(b"index");
    let change = Change::Manifest { repository: hosted.clone(), digest: index, row, edges };
    house.registry.commit(Vec::new(), vec![change], Promise::Durable).await.unwrap();
    let expect = |parents: &[Digest]| Expect::PartOnlyOf(hosted.clone(), child, parents.to_vec());
    let commit = async |parents: &[Digest]| house.registry.commit(vec![expect(parents)], Vec::new(), Promise::Durable).await;
    assert_eq!(commit(&[child]).await, Err(CommitError::Refused(expect(&[child]).into())));
    assert_eq!(commit(&[child, index]).await, Ok(()));
}

#[tokio::test]
async fn a_name_stays_with_the_first_member_that_was_bound() {
    let house = House::hosted().await;
    let bind = async |registry: &str| {
        let change = Change::Bind { name: name("team/app"), origin: Some(Origin::Upstream(registry.into())) };
        house.registry.commit(vec![Expect::Unbound(name("team/app"))], vec![change], Promise::Appended).await
    };
    assert_eq!(bind("one.test").await, Ok(()));
    assert_eq!(bind("two.test").await, Err(CommitError::Refused(Expect::Unbound(name("team/app")).into())));
    assert_eq!(house.registry.index.bound(&name("team/app")).await.unwrap(), Some(Origin::Upstream("one.test".into())));
}

#[tokio::test]
async fn the_second_request_to_an_upload_is_told_that_it_is_busy_and_its_status_waits_for_nobody() {
    let house = House::hosted().await;
    let (repository, who) = (name("team/app"), Who::Anonymous);
    let id = house.registry.start_upload(&repository, &who).await.unwrap().id;
    let received = house.registry.uploads.close(&id);
    let stuck = futures_util::stream::iter([Ok(Bytes::from_static(b"12345"))]).chain(futures_util::stream::pending()).boxed();
    let (registry, first) = (house.registry.clone(), id.clone());
    let patch = tokio::spawn(async move { registry.append_upload(&name("team/app"), &first, &Who::Anonymous, None, stuck).await });
    house.eventually(async || received() == 5).await;
    let second = house.registry.append_upload(&repository, &id, &who, None, futures_util::stream::empty().boxed()).await;
    assert_eq!(second.unwrap_err().kind, Kind::UploadInvalid);
    assert_eq!(house.registry.upload_status(&repository, &id, &who).await.unwrap().received, 5);
    patch.abort();
}

#[tokio::test]
async fn a_draft_without_a_row_and_a_row_without_a_draft_go_at_the_start() {
    let house = House::hosted().await;
    let draft = house.registry.store.draft(crate::store::DraftName::Upload("lost".into())).await.unwrap();
    drop(draft);
    let row = crate::index::UploadRow { repository: Repository::hosted(&name("team/app")), user: String::new(), started: 0 };
    house.registry.commit(Vec::new(), vec![Change::Upload { id: "bare".into(), row }], Promise::Appended).await.unwrap();
    let drafts = house.registry.store.uploads().await.unwrap();
    let kept = house.registry.start_upload(&name("team/app"), &Who::Anonymous).await.unwrap().id;
    house.registry.mend_uploads(&drafts).await.unwrap();
    house.registry.end_old_uploads().await.unwrap();
    assert_eq!(house.registry.store.uploads().await.unwrap(), std::slice::from_ref(&kept));
    assert_eq!(house.registry.index.uploads().await.unwrap().into_iter().map(|(id, _)| id).collect::<Vec<_>>(), [kept]);
}
