//! Keeping what an upstream sent: a fetched manifest with its edges, and its layers ahead of their being asked for.

use bytes::Bytes;

use super::manifests::{Found, Miss};
use super::{Error, Registry};
use crate::index::{Change, EdgeKind, EdgeRow, ManifestRow, TagRow};
use crate::oci::{Child, Digest, InvalidManifest, Manifest, Repository, Role};
use crate::store::DraftName;
use crate::upstream::{Cause, ManifestAnswer, Refusal};

impl Registry {
    /// Stores a fetched manifest with its edges, and the tags that earlier HEADs said to name it. With a full disk it is served
    /// all the same; tells whether it was kept.
    pub(super) async fn keep_manifest(&self, repository: &Repository, answer: ManifestAnswer) -> Result<(Found, bool), Miss> {
        let digest = answer.digest;
        let manifest = match Manifest::read(&answer.bytes, &answer.media_type) {
            Ok(manifest) => Some(manifest),
            Err(InvalidManifest::Ambiguous) => {
                let cause = Cause::Malformed { what: "manifest", text: InvalidManifest::Ambiguous.to_string() };
                return Err(Miss::Refused(Refusal::Failed { source_name: repository.origin.to_string(), cause }));
            }
            // Bytes with the right digest are served whatever their form; they just reach nothing.
            Err(_) => None,
        };
        let row = manifest_row(manifest.as_ref(), &answer.media_type, answer.bytes.len() as u64);
        let found = Found::new(repository, digest, &row, answer.bytes.clone());
        let _claim = self.index.claim(&[digest]).await?;
        match self.put_small(digest, answer.bytes).await {
            Ok(()) => {}
            Err(Error { kind: super::Kind::NoSpace, .. }) => {
                tracing::warn!(%repository, %digest, "no space is left: a manifest passes through without being kept");
                return Ok((found, false));
            }
            Err(error) => return Err(Miss::Ours(error)),
        }
        let mut changes = vec![Change::Live { digest, size: row.size }];
        let edges = manifest.iter().flat_map(|m| &m.children).map(edge).collect();
        changes.push(Change::Manifest { repository: repository.clone(), digest, row, edges });
        let kept = self.note(changes).await?;
        if kept {
            self.keep_tags(repository, digest).await?;
        }
        Ok((found, kept))
    }

    /// Gives the manifest the tags that HEADs told, unless they were confirmed since.
    async fn keep_tags(&self, repository: &Repository, digest: Digest) -> Result<(), Error> {
        for (tag, at) in self.fetched.tags_of(repository, &digest) {
            if self.index.tag(repository, &tag).await?.is_none_or(|row| row.at < at) {
                self.tell_tag(repository, &tag, TagRow::new(digest, at, repository.origin.as_str())).await?;
            }
        }
        Ok(())
    }

    /// Puts bytes that are in memory into the store, over rotten ones if need be. The caller holds a claim and commits the row.
    pub(super) async fn put_small(&self, digest: Digest, bytes: Bytes) -> Result<(), Error> {
        let size = bytes.len() as u64;
        if self.index.blob(&digest).await?.is_some() && self.manifest_bytes(&digest, size).await?.is_some() {
            return Ok(());
        }
        let mut draft = self.store.draft(DraftName::Fetch).await?;
        draft.append(vec![bytes]).await?;
        let proved = draft.prove(&digest, Some(size)).await?;
        Ok(self.store.admit(proved).await?)
    }
}

/// The row of a manifest whose media type is what the manifest says, else what the sender said.
pub(super) fn manifest_row(manifest: Option<&Manifest>, said: &str, size: u64) -> ManifestRow {
    ManifestRow {
        media_type: manifest.map_or(said, |m| &m.media_type).to_owned(),
        size,
        subject: manifest.and_then(|m| m.subject),
        artifact_type: manifest.and_then(|m| m.artifact_type.clone()),
        annotations: manifest.map(|m| m.annotations.clone().into_iter().collect()).unwrap_or_default(),
    }
}

/// The edge to a child.
pub(super) fn edge(child: &Child) -> (Digest, EdgeRow) {
    let kind = if child.role == Role::Manifest { EdgeKind::Manifest } else { EdgeKind::Blob };
    (child.digest, EdgeRow { kind, size: child.size, media_type: child.media_type.clone() })
}
