//! What every index keeps to, as functions over the trait. Each engine runs all of them.

use std::sync::Arc;
use std::time::Duration;

use super::super::*;

type Subject = Arc<dyn Index>;

pub fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

pub fn here(name: &str) -> Repository {
    Repository::hosted(&name.parse().unwrap())
}

pub fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

pub fn tagged(name: &str, text: &str, content: &str) -> Change {
    Change::Tag { repository: here(name), tag: tag(text), row: TagRow::new(digest(content), 1, "alice") }
}

pub fn live(content: &str, size: u64) -> Change {
    Change::Live { digest: digest(content), size }
}

pub fn link(name: &str, content: &str) -> Change {
    Change::Link { repository: here(name), digest: digest(content) }
}

fn edge_row(size: u64) -> EdgeRow {
    EdgeRow { kind: EdgeKind::Blob, size, media_type: "application/layer".into() }
}

pub fn manifest(name: &str, content: &str, subject: Option<&str>, children: &[&str]) -> Change {
    let row = ManifestRow {
        media_type: "application/manifest".into(),
        size: 7,
        subject: subject.map(digest),
        artifact_type: None,
        annotations: vec![("a".into(), "b".into())],
    };
    let edges = children.iter().map(|child| (digest(child), edge_row(3))).collect();
    Change::Manifest { repository: here(name), digest: digest(content), row, edges }
}

pub fn untagged(name: &str, text: &str) -> Change {
    Change::Untag { repository: here(name), tag: tag(text), by: "bob".into() }
}

pub fn removed(name: &str, content: &str) -> Change {
    Change::RemoveManifest { repository: here(name), digest: digest(content), by: "bob".into() }
}

pub async fn make(index: &Subject, changes: Vec<Change>) {
    index.commit(vec![], changes, Promise::Durable).await.unwrap();
}

pub async fn facts_can_be_read_once_the_commit_returned(index: Subject) {
    make(&index, vec![live("m", 7), live("l", 3), link("app", "l"), manifest("app", "m", None, &["l"]), tagged("app", "v1", "m")]).await;
    let app = here("app");
    assert_eq!(index.blob(&digest("l")).await.unwrap(), Some(BlobRow { size: 3 }));
    assert!(index.linked(&app, &digest("l")).await.unwrap());
    assert!(!index.linked(&here("other"), &digest("l")).await.unwrap());
    assert_eq!(index.manifest(&app, &digest("m")).await.unwrap().unwrap().size, 7);
    assert_eq!(index.tag(&app, &tag("v1")).await.unwrap().unwrap().digest, digest("m"));
    assert_eq!(index.edge(&app, &digest("l")).await.unwrap(), Some(edge_row(3)));
    assert!(index.repository(&app).await.unwrap().unwrap().since > 0);
    assert_eq!(index.totals().await.unwrap(), Totals { blobs: 2, bytes: 10 });
}

pub async fn only_tags_and_manifests_make_a_repository(index: Subject) {
    make(&index, vec![live("l", 3), link("app", "l")]).await;
    assert_eq!(index.repository(&here("app")).await.unwrap(), None);
    make(&index, vec![tagged("app", "v1", "m")]).await;
    assert!(index.repository(&here("app")).await.unwrap().is_some());
}

pub async fn two_pushes_cannot_both_find_a_tag_free(index: Subject) {
    let free = || vec![Expect::Tag(here("app"), tag("v1"), None)];
    let pushes = (0..50).map(|n| {
        let index = Arc::clone(&index);
        tokio::spawn(async move { index.commit(free(), vec![tagged("app", "v1", &n.to_string())], Promise::Durable).await })
    });
    let mut won = 0;
    for push in pushes.collect::<Vec<_>>() {
        match push.await.unwrap() {
            Ok(()) => won += 1,
            Err(error) => assert_eq!(error, CommitError::Refused(free().remove(0).into())),
        }
    }
    assert_eq!(won, 1);
}

pub async fn a_refused_commit_changes_nothing(index: Subject) {
    make(&index, vec![live("l", 3), link("app", "l")]).await;
    let expects = vec![Expect::Live(digest("l")), Expect::Upload("gone".into())];
    let refused = index.commit(expects, vec![live("n", 9)], Promise::Durable).await;
    assert_eq!(refused, Err(CommitError::Refused(Expect::Upload("gone".into()).into())));
    let in_use = index.commit(vec![], vec![live("n", 9), Change::Doom { digest: digest("l") }], Promise::Durable).await;
    assert_eq!(in_use, Err(CommitError::InUse(digest("l"))));
    assert_eq!(index.blob(&digest("n")).await.unwrap(), None);
    assert_eq!(index.totals().await.unwrap(), Totals { blobs: 1, bytes: 3 });
}

pub async fn a_doom_is_refused_while_anybody_needs_the_blob(index: Subject) {
    let doom = || vec![Change::Doom { digest: digest("m") }];
    let in_use = Err(CommitError::InUse(digest("m")));
    make(&index, vec![live("m", 7), link("a", "m"), manifest("b", "m", None, &[])]).await;
    assert_eq!(index.commit(vec![], doom(), Promise::Durable).await, in_use);
    make(&index, vec![Change::Unlink { repository: here("a"), digest: digest("m") }]).await;
    assert_eq!(index.commit(vec![], doom(), Promise::Durable).await, in_use);
    assert_eq!(index.holders(&digest("m"), 9).await.unwrap(), [here("b")]);
    make(&index, vec![removed("b", "m")]).await;
    let lease = index.lease(&[digest("m")]);
    assert_eq!(index.commit(vec![], doom(), Promise::Durable).await, in_use);
    drop(lease);
    make(&index, doom()).await;
    assert_eq!(index.blob(&digest("m")).await.unwrap(), None);
    assert_eq!(index.doomed(9).await.unwrap(), [digest("m")]);
    assert_eq!(index.totals().await.unwrap(), Totals::default());
}

pub async fn a_writer_waits_until_the_doomed_blob_is_buried(index: Subject) {
    make(&index, vec![live("l", 3)]).await;
    make(&index, vec![Change::Doom { digest: digest("l") }]).await;
    let claiming = tokio::spawn({
        let index = Arc::clone(&index);
        async move { index.claim(&[digest("l")]).await }
    });
    make(&index, vec![live("other", 1)]).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!claiming.is_finished());
    make(&index, vec![Change::Bury { digest: digest("l") }]).await;
    let lease = claiming.await.unwrap().unwrap();
    make(&index, vec![live("l", 3)]).await;
    let doom = index.commit(vec![], vec![Change::Doom { digest: digest("l") }], Promise::Durable).await;
    assert_eq!(doom, Err(CommitError::InUse(digest("l"))));
    drop(lease);
    make(&index, vec![Change::Bury { digest: digest("l") }]).await;
    assert!(index.blob(&digest("l")).await.unwrap().is_some(), "only what is doomed is buried");
}

pub async fn a_removed_manifest_takes_its_tags_edges_and_referrer_rows_along(index: Subject) {
    let changes = vec![
        link("app", "l"),
        manifest("app", "m", None, &["l"]),
        manifest("app", "n", None, &["l"]),
        manifest("app", "sig", Some("m"), &["s"]),
        tagged("app", "v1", "m"),
        tagged("app", "v2", "n"),
    ];
    make(&index, changes).await;
    let app = here("app");
    assert_eq!(index.referrers(&app, &digest("m"), None, 9).await.unwrap()[0].0, digest("sig"));
    make(&index, vec![removed("app", "m"), removed("app", "sig"), removed("app", "never")]).await;
    assert_eq!(index.manifest(&app, &digest("m")).await.unwrap(), None);
    assert_eq!(index.tag(&app, &tag("v1")).await.unwrap(), None);
    assert_eq!(index.referrers(&app, &digest("m"), None, 9).await.unwrap(), []);
    assert_eq!(index.edge(&app, &digest("s")).await.unwrap(), None);
    assert!(index.edge(&app, &digest("l")).await.unwrap().is_some(), "another manifest has it too");
    assert!(index.linked(&app, &digest("l")).await.unwrap(), "links stay");
    assert!(index.tag(&app, &tag("v2")).await.unwrap().is_some());
}

pub async fn a_removed_repository_leaves_nothing_and_harms_no_neighbour(index: Subject) {
    for name in ["app", "app/x", "apps"] {
        let changes = vec![link(name, "l"), manifest(name, "m", Some("s"), &["l"]), tagged(name, "v1", "m")];
        make(&index, changes).await;
    }
    make(&index, vec![Change::RemoveRepository { repository: here("app") }]).await;
    assert_eq!(index.repository(&here("app")).await.unwrap(), None);
    assert!(!index.linked(&here("app"), &digest("l")).await.unwrap());
    assert_eq!(index.tags(&here("app"), None, 9).await.unwrap(), []);
    assert_eq!(index.referrers(&here("app"), &digest("s"), None, 9).await.unwrap(), []);
    assert_eq!(index.edge(&here("app"), &digest("l")).await.unwrap(), None);
    assert_eq!(index.holders(&digest("l"), 9).await.unwrap(), [here("app/x"), here("apps")]);
    assert_eq!(index.holders(&digest("m"), 1).await.unwrap(), [here("app/x")]);
    assert_eq!(index.tags(&here("apps"), None, 9).await.unwrap().len(), 1);
    // Nothing of the removed tag may come back with a tag of that name.
    make(&index, vec![tagged("app", "v1", "n"), removed("app", "m")]).await;
    assert!(index.tag(&here("app"), &tag("v1")).await.unwrap().is_some());
}

pub async fn a_moved_tag_goes_with_its_new_manifest_only(index: Subject) {
    make(&index, vec![manifest("app", "m", None, &[]), manifest("app", "n", None, &[]), tagged("app", "v1", "m")]).await;
    let held = Expect::Tag(here("app"), tag("v1"), Some(digest("m")));
    index.commit(vec![held.clone()], vec![tagged("app", "v1", "n")], Promise::Appended).await.unwrap();
    make(&index, vec![removed("app", "m")]).await;
    assert_eq!(index.tag(&here("app"), &tag("v1")).await.unwrap().unwrap().digest, digest("n"));
    assert!(index.commit(vec![held], vec![], Promise::Durable).await.is_err());
    make(&index, vec![untagged("app", "v1")]).await;
    assert_eq!(index.tag(&here("app"), &tag("v1")).await.unwrap(), None);
}

/// What became of a tag: who, from what, to what.
pub async fn moves(index: &dyn Index, name: &str, text: &str) -> Vec<(String, Option<Digest>, Option<Digest>)> {
    let history = index.history(&here(name), &tag(text)).await.unwrap();
    assert!(history.iter().all(|step| step.at > 0) && history.is_sorted_by_key(|step| step.at), "{history:?}");
    history.into_iter().map(|step| (step.by, step.from, step.to)).collect()
}

pub async fn a_tag_remembers_who_moved_it_from_what_to_what(index: Subject) {
    make(&index, vec![manifest("app", "m", None, &[]), tagged("app", "v1", "m"), tagged("app", "other", "m")]).await;
    make(&index, vec![tagged("app", "v1", "m")]).await;
    let refused = index.commit(vec![Expect::Upload("gone".into())], vec![tagged("app", "v1", "x")], Promise::Durable).await;
    assert!(refused.is_err());
    make(&index, vec![tagged("app", "v1", "n")]).await;
    make(&index, vec![untagged("app", "v1"), untagged("app", "never")]).await;
    make(&index, vec![tagged("app", "v1", "m")]).await;
    make(&index, vec![removed("app", "m")]).await;
    let (m, n) = (Some(digest("m")), Some(digest("n")));
    let told = [("alice", None, m), ("alice", m, n), ("bob", n, None), ("alice", None, m), ("bob", m, None)];
    assert_eq!(moves(&*index, "app", "v1").await, told.map(|(by, from, to)| (by.to_owned(), from, to)));
    assert_eq!(moves(&*index, "app", "other").await, [told[0], told[4]].map(|(by, from, to)| (by.to_owned(), from, to)));
    assert_eq!(moves(&*index, "app", "never").await, []);
}

pub async fn a_history_is_bounded_and_goes_only_when_its_tag_is_gone(index: Subject) {
    for n in 0..HISTORY + 5 {
        make(&index, vec![tagged("app", "v1", &n.to_string())]).await;
    }
    let history = index.history(&here("app"), &tag("v1")).await.unwrap();
    assert_eq!((history.len(), history[0].to), (HISTORY, Some(digest("5"))), "the oldest are forgotten");
    make(&index, vec![tagged("app", "v2", "m"), untagged("app", "v2"), tagged("apps", "v3", "m")]).await;
    let last = index.last_moves(&here("app"), None, 9).await.unwrap();
    assert_eq!(last.iter().map(|(tag, step)| (tag.as_str(), step.to)).collect::<Vec<_>>(), [("v1", Some(digest("104"))), ("v2", None)]);
    assert_eq!(index.last_moves(&here("app"), Some("v1"), 9).await.unwrap().len(), 1);

    let forget = |text: &str| Change::Forget { repository: here("app"), tag: tag(text) };
    make(&index, vec![forget("v1"), forget("v2")]).await;
    assert_eq!(index.history(&here("app"), &tag("v1")).await.unwrap().len(), HISTORY);
    assert_eq!(index.history(&here("app"), &tag("v2")).await.unwrap(), []);
    make(&index, vec![Change::RemoveRepository { repository: here("app") }]).await;
    assert_eq!(index.history(&here("app"), &tag("v1")).await.unwrap(), []);
    assert_eq!(index.history(&here("apps"), &tag("v3")).await.unwrap().len(), 1);
}

pub async fn a_tags_row_can_be_expected_to_the_letter(index: Subject) {
    make(&index, vec![tagged("app", "v1", "m")]).await;
    let row = index.tag(&here("app"), &tag("v1")).await.unwrap().unwrap();
    let expect = Expect::TagRow(here("app"), tag("v1"), row.clone());
    let again = Change::Tag { repository: here("app"), tag: tag("v1"), row: TagRow { at: row.at + 1, ..row } };
    index.commit(vec![expect.clone()], vec![again], Promise::Durable).await.unwrap();
    let late = index.commit(vec![expect.clone()], vec![untagged("app", "v1")], Promise::Durable).await;
    assert_eq!(late, Err(CommitError::Refused(expect.into())), "it was named again");

    make(&index, vec![tagged("app", "v2", "m"), tagged("apps", "v3", "m")]).await;
    let among = |tags: &[&str]| Expect::TagsAmong(here("app"), tags.iter().map(|text| tag(text)).collect());
    let remove =
        async |tags| index.commit(vec![among(tags)], vec![Change::RemoveRepository { repository: here("app") }], Promise::Durable).await;
    assert_eq!(remove(&["v1"]).await, Err(CommitError::Refused(among(&["v1"]).into())));
    assert_eq!(remove(&["v1", "v2", "never"]).await, Ok(()));

    let pinned =
        Change::Tag { repository: here("app"), tag: tag("v1"), row: TagRow { pinned: Some(1), ..TagRow::new(digest("m"), 1, "") } };
    make(&index, vec![pinned, tagged("app", "v2", "m")]).await;
    let among = |tags: &[&str]| Expect::PinnedAmong(here("app"), tags.iter().map(|text| tag(text)).collect());
    assert_eq!(index.commit(vec![among(&["v2"])], vec![], Promise::Durable).await, Err(CommitError::Refused(among(&["v2"]).into())));
    assert_eq!(index.commit(vec![among(&["v1"])], vec![], Promise::Durable).await, Ok(()));
}

pub async fn lists_come_in_order_and_in_pages(index: Subject) {
    for name in ["b", "a/c", "a-b"] {
        make(&index, ["v2", "latest", "V1"].map(|text| tagged(name, text, "m")).to_vec()).await;
    }
    let upstream = Repository::upstream("ghcr.io", &"z/z".parse().unwrap());
    let row = TagRow::new(digest("m"), 1, "");
    make(&index, vec![Change::Tag { repository: upstream.clone(), tag: tag("x"), row }]).await;

    let names = |found: Vec<(Tag, TagRow)>| found.into_iter().map(|(tag, _)| tag.to_string()).collect::<Vec<_>>();
    assert_eq!(names(index.tags(&here("b"), None, 9).await.unwrap()), ["V1", "latest", "v2"]);
    assert_eq!(names(index.tags(&here("b"), Some("V1"), 1).await.unwrap()), ["latest"]);
    assert_eq!(names(index.tags(&here("b"), Some("m"), 9).await.unwrap()), ["v2"]);
    let hosted = index.repositories(&Origin::Hosted, None, 2).await.unwrap();
    assert_eq!(hosted.iter().map(RepositoryName::as_str).collect::<Vec<_>>(), ["a-b", "a/c"]);
    let rest = index.repositories(&Origin::Hosted, Some("a/c"), 9).await.unwrap();
    assert_eq!(rest.iter().map(RepositoryName::as_str).collect::<Vec<_>>(), ["b"]);
    assert_eq!(index.repositories(&upstream.origin, None, 9).await.unwrap(), [upstream.name]);

    make(&index, ["x", "y", "z"].map(|text| manifest("b", text, Some("m"), &[])).to_vec()).await;
    let mut expected = ["x", "y", "z"].map(digest);
    expected.sort();
    let found = index.referrers(&here("b"), &digest("m"), None, 2).await.unwrap();
    assert_eq!(found.iter().map(|(digest, _)| *digest).collect::<Vec<_>>(), expected[..2]);
    let rest = index.referrers(&here("b"), &digest("m"), Some(&expected[1]), 9).await.unwrap();
    assert_eq!(rest.iter().map(|(digest, _)| *digest).collect::<Vec<_>>(), expected[2..]);
}

pub async fn uploads_and_bindings_come_and_go(index: Subject) {
    let row = UploadRow { repository: here("app"), user: "alice".into(), started: 5 };
    let name: RepositoryName = "library/x".parse().unwrap();
    let origin = Origin::named("docker.io");
    make(
        &index,
        vec![Change::Upload { id: "1".into(), row: row.clone() }, Change::Bind { name: name.clone(), origin: Some(origin.clone()) }],
    )
    .await;
    assert_eq!(index.uploads().await.unwrap(), [("1".to_owned(), row.clone())]);
    assert_eq!(index.upload("1").await.unwrap(), Some(row));
    assert_eq!(index.bound(&name).await.unwrap(), Some(origin));
    assert_eq!(index.repository(&here("app")).await.unwrap(), None);
    let ended = vec![Change::EndUpload { id: "1".into() }, Change::Bind { name: name.clone(), origin: None }];
    index.commit(vec![Expect::Upload("1".into())], ended, Promise::Durable).await.unwrap();
    assert_eq!(index.upload("1").await.unwrap(), None);
    assert_eq!(index.bound(&name).await.unwrap(), None);
}

fn holder(name: &str) -> Holder {
    Holder { repository: here(name), idle: None }
}

pub async fn a_blob_is_listed_with_all_who_hold_it(index: Subject) {
    let cached = Repository::upstream("ghcr.io", &"org/app".parse().unwrap());
    let changes = vec![live("l", 3), live("m", 7), live("gone", 1), link("a", "l"), link("b", "l"), manifest("a", "m", None, &["l"])];
    make(&index, changes).await;
    make(&index, vec![Change::Link { repository: cached.clone(), digest: digest("l") }, Change::Doom { digest: digest("gone") }]).await;
    let mut all = Vec::new();
    while let page @ [.., _] = &index.holdings(all.last().map(|last: &Holding| &last.digest), 1).await.unwrap()[..] {
        all.extend(page.to_vec());
    }
    assert!(all.is_sorted_by_key(|holding| holding.digest) && all.len() == 2, "{all:?}");
    let of = |text: &str| all.iter().find(|holding| holding.digest == digest(text)).unwrap().clone();
    let [a, b, other] = &of("l").holders[..] else { panic!("{all:?}") };
    assert_eq!((of("l").size, a, &other.repository), (3, &holder("a"), &cached));
    assert!(b.repository == here("b") && b.idle.is_some_and(|since| since > 0) && other.idle.is_none(), "{b:?} {other:?}");
    assert_eq!(of("m").holders, [holder("a")]);
    make(&index, vec![removed("a", "m")]).await;
    let left = index.holdings(None, 9).await.unwrap();
    let idle: Vec<_> = left.iter().filter(|holding| holding.digest == digest("l")).flat_map(|holding| holding.holders[0].idle).collect();
    assert_eq!(idle, [0], "what had its manifest waits for no other one");
    assert_eq!(left.iter().find(|holding| holding.digest == digest("m")).unwrap().holders, []);
}

pub async fn a_link_goes_only_while_nobody_needs_it(index: Subject) {
    let unlink = |latest: u64| {
        let expects = vec![Expect::Idle(here("a"), digest("l"), latest), Expect::Unleased(digest("l"))];
        (expects, vec![Change::Unlink { repository: here("a"), digest: digest("l") }])
    };
    let index = &index;
    let refused = async |latest: u64| {
        let (expects, changes) = unlink(latest);
        match index.commit(expects, changes, Promise::Appended).await {
            Err(CommitError::Refused(expect)) => Some(*expect),
            made => made.map(|()| None).unwrap(),
        }
    };
    let idle = |latest: u64| Some(Expect::Idle(here("a"), digest("l"), latest));
    make(index, vec![live("l", 3), link("a", "l"), manifest("a", "m", None, &["l"])]).await;
    assert_eq!(refused(u64::MAX).await, idle(u64::MAX), "a manifest has an edge to it");
    make(index, vec![removed("a", "m"), link("a", "l")]).await;
    assert_eq!(refused(1).await, idle(1), "it came after that");
    let lease = index.lease(&[digest("l")]);
    assert_eq!(refused(u64::MAX).await, Some(Expect::Unleased(digest("l"))));
    drop(lease);
    assert_eq!(refused(u64::MAX).await, None);
    assert!(!index.linked(&here("a"), &digest("l")).await.unwrap());
}

pub async fn a_manifest_that_something_leads_to_is_not_alone(index: Subject) {
    make(
        &index,
        vec![
            manifest("a", "index", None, &["child"]),
            manifest("a", "child", None, &["l"]),
            manifest("a", "signature", Some("child"), &[]),
            manifest("a", "lost", Some("never"), &[]),
            manifest("a", "tagged", None, &[]),
            tagged("a", "v1", "tagged"),
        ],
    )
    .await;
    let mut alone = Vec::new();
    for name in ["index", "child", "signature", "lost", "tagged", "never"] {
        let found = index.commit(vec![Expect::Alone(here("a"), digest(name))], vec![], Promise::Appended).await;
        if found.is_ok() {
            alone.push(name);
        }
    }
    assert_eq!(alone, ["index", "lost"]);
    let manifests = index.manifests(&here("a"), None, 9).await.unwrap();
    assert!(manifests.len() == 5 && manifests.iter().all(|(_, row, since)| row.size == 7 && *since > 0), "{manifests:?}");
    let rest = index.manifests(&here("a"), Some(&manifests[1].0), 2).await.unwrap();
    assert_eq!(rest, manifests[2..4]);
    assert_eq!(index.children(&here("a"), &digest("child")).await.unwrap(), [(digest("l"), edge_row(3))]);
}
