//! What a change does to the rows, seen through an overlay of what is queued before it.
//!
//! A change reads only rows, never a clock or a lease: made again from the journal it has the same effect.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::keys::{self, Key, TOTALS};
use super::life::{self, Life, Step};
use super::table::{Batch, Table, TableError};
use super::{BlobRow, Change, EdgeRow, Expect, HISTORY, ManifestRow, RepositoryRow, TagMove, TagRow, Totals};
use crate::oci::{Digest, Repository, Tag};

/// A blob's row as it is stored.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct StoredBlob {
    pub size: u64,
    pub doomed: bool,
}

impl StoredBlob {
    pub fn live(self) -> Option<BlobRow> {
        (!self.doomed).then_some(BlobRow { size: self.size })
    }

    fn life(self) -> Life {
        if self.doomed { Life::Doomed } else { Life::Live }
    }
}

/// A stored value.
pub fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, TableError> {
    postcard::from_bytes(value).map_err(|error| TableError(format!("a row does not read: {error}")))
}

/// What an overlay says of a key: nothing, that it will be gone, or its value.
type Queued = Option<Option<Vec<u8>>>;

/// What is queued and not yet in the table.
#[derive(Default)]
pub struct Overlay {
    rows: Batch,
    /// What the rows of the current commit were before it.
    undo: Vec<(Vec<u8>, Queued)>,
}

impl Overlay {
    /// Keeps the current commit; the next one begins.
    pub fn keep(&mut self) {
        self.undo.clear();
    }

    /// Takes the current commit back.
    pub fn undo(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }

    pub fn into_batch(self) -> Batch {
        self.rows
    }
}

/// The table as it will be when what is queued has reached it.
pub struct View<'a> {
    table: &'a dyn Table,
    overlay: &'a mut Overlay,
}

impl<'a> View<'a> {
    pub fn new(table: &'a dyn Table, overlay: &'a mut Overlay) -> View<'a> {
        View { table, overlay }
    }

    /// Whether what a commit expects holds.
    pub fn holds(&self, expect: &Expect) -> Result<bool, TableError> {
        Ok(match expect {
            Expect::Tag(repository, tag, digest) => {
                let row: Option<TagRow> = self.row(tag_key(repository, tag).as_bytes())?;
                row.map(|row| row.digest) == *digest
            }
            Expect::TagRow(repository, tag, row) => self.row(tag_key(repository, tag).as_bytes())?.as_ref() == Some(row),
            Expect::Live(digest) => self.blob(digest)?.is_some_and(|blob| !blob.doomed),
            Expect::Linked(repository, digest) => self.has(&member(b'l', repository, digest))?,
            Expect::Manifest(repository, digest) => self.has(&member(b'm', repository, digest))?,
            Expect::Repository(repository, there) => self.has(&repository_key(repository))? == *there,
            Expect::NamedOnlyBy(repository, digest, tags) => {
                let named = member(b'd', repository, digest);
                let naming = self.keys(&named)?;
                naming.iter().all(|key| tags.iter().any(|tag| tag.as_str().as_bytes() == &key[named.len()..]))
            }
            Expect::PartOnlyOf(repository, digest, parents) => {
                let edges = member(b'e', repository, digest);
                let known = |key: &[u8]| keys::digest(&key[edges.len()..]).is_some_and(|parent| parents.contains(&parent));
                self.keys(&edges)?.iter().all(|key| known(key))
            }
            Expect::TagsAmong(repository, tags) => {
                let all = Key::new(b't').repository(repository);
                let known = |key: &[u8]| String::from_utf8_lossy(&key[all.len()..]).parse().is_ok_and(|tag: Tag| tags.contains(&tag));
                self.keys(&all)?.iter().all(|key| known(key))
            }
            Expect::PinnedAmong(repository, tags) => self.pinned_among(repository, tags)?,
            Expect::Unbound(name) => !self.has(&Key::new(b'B').text(name.as_str()))?,
            Expect::Upload(id) => self.has(&Key::new(b'u').text(id))?,
            // A lease is no row: whoever judges the commit knows of it.
            Expect::Unleased(_) => true,
            Expect::Idle(repository, digest, latest) => {
                let since = self.row::<u64>(holder(b'k', digest, repository).as_bytes())?;
                since.is_some_and(|since| since <= *latest) && self.keys(&member(b'e', repository, digest))?.is_empty()
            }
            Expect::Alone(repository, digest) => self.alone(repository, digest)?,
        })
    }

    fn alone(&self, repository: &Repository, digest: &Digest) -> Result<bool, TableError> {
        let Some(row) = self.row::<ManifestRow>(member(b'm', repository, digest).as_bytes())? else { return Ok(false) };
        for space in [b'd', b'e'] {
            if !self.keys(&member(space, repository, digest))?.is_empty() {
                return Ok(false);
            }
        }
        match row.subject {
            Some(subject) => Ok(!self.has(&member(b'm', repository, &subject))?),
            None => Ok(true),
        }
    }

    fn pinned_among(&self, repository: &Repository, tags: &BTreeSet<Tag>) -> Result<bool, TableError> {
        let all = Key::new(b't').repository(repository);
        for key in self.keys(&all)? {
            let pinned = self.row::<TagRow>(&key)?.is_some_and(|row| row.pinned.is_some());
            if pinned && !String::from_utf8_lossy(&key[all.len()..]).parse().is_ok_and(|tag: Tag| tags.contains(&tag)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a repository has the digest linked, or as a manifest.
    pub fn referred(&self, digest: &Digest) -> Result<bool, TableError> {
        for space in [b'k', b'q'] {
            if !self.keys(&Key::new(space).digest(digest))?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes the change. `at`: when its commit was made, in Unix milliseconds.
    pub fn make(&mut self, at: u64, change: &Change) -> Result<(), TableError> {
        match change {
            Change::Live { digest, size } => self.step(digest, Step::Live, *size)?,
            Change::Doom { digest } => self.step(digest, Step::Doom, 0)?,
            Change::Bury { digest } => self.step(digest, Step::Bury, 0)?,
            Change::Link { repository, digest } => {
                self.put(member(b'l', repository, digest), &());
                self.put(holder(b'k', digest, repository), &at);
            }
            Change::Unlink { repository, digest } => {
                self.delete(member(b'l', repository, digest).done());
                self.delete(holder(b'k', digest, repository).done());
            }
            Change::Manifest { repository, digest, row, edges } => self.manifest(at, repository, digest, row, edges)?,
            Change::RemoveManifest { repository, digest, by } => self.remove_manifest(at, repository, digest, by)?,
            Change::Tag { repository, tag, row } => self.tag(at, repository, tag, Some(row), &row.by)?,
            Change::Untag { repository, tag, by } => self.tag(at, repository, tag, None, by)?,
            Change::Forget { repository, tag } => {
                if !self.has(&tag_key(repository, tag))? {
                    self.delete(history_key(repository, tag).done());
                }
            }
            Change::RemoveRepository { repository } => self.remove_repository(repository)?,
            Change::Bind { name, origin } => {
                let key = Key::new(b'B').text(name.as_str());
                match origin {
                    Some(origin) => self.put(key, origin),
                    None => self.delete(key.done()),
                }
            }
            Change::Upload { id, row } => self.put(Key::new(b'u').text(id), row),
            Change::EndUpload { id } => self.delete(Key::new(b'u').text(id).done()),
        }
        Ok(())
    }

    fn step(&mut self, digest: &Digest, step: Step, size: u64) -> Result<(), TableError> {
        let before = self.blob(digest)?;
        // Whether the blob is held was asked when the commit was judged.
        let Ok(life) = life::after(before.map(StoredBlob::life), step, false) else { return Ok(()) };
        let after = life.map(|life| StoredBlob {
            size: if step == Step::Live { size } else { before.map_or(0, |blob| blob.size) },
            doomed: life == Life::Doomed,
        });
        let (old, new) = (before.and_then(StoredBlob::live), after.and_then(StoredBlob::live));
        if old != new {
            let mut totals: Totals = self.row(TOTALS)?.unwrap_or_default();
            totals.blobs = totals.blobs + u64::from(new.is_some()) - u64::from(old.is_some());
            totals.bytes = totals.bytes + new.map_or(0, |row| row.size) - old.map_or(0, |row| row.size);
            self.put(Key::new(TOTALS[0]), &totals);
        }
        let doomed = Key::new(b'x').digest(digest);
        match after {
            Some(StoredBlob { doomed: true, .. }) => self.put(doomed, &()),
            _ if before.is_some_and(|blob| blob.doomed) => self.delete(doomed.done()),
            _ => {}
        }
        match after {
            Some(blob) => self.put(Key::new(b'b').digest(digest), &blob),
            None => self.delete(Key::new(b'b').digest(digest).done()),
        }
        Ok(())
    }

    fn manifest(
        &mut self,
        at: u64,
        repository: &Repository,
        digest: &Digest,
        row: &ManifestRow,
        edges: &[(Digest, EdgeRow)],
    ) -> Result<(), TableError> {
        self.put(member(b'm', repository, digest), row);
        self.put(holder(b'q', digest, repository), &at);
        if let Some(subject) = &row.subject {
            self.put(member(b'r', repository, subject).digest(digest), &());
        }
        for (child, edge) in edges {
            self.put(member(b'e', repository, child).digest(digest), edge);
            self.put(member(b'p', repository, digest).digest(child), &());
        }
        self.repository(at, repository)
    }

    fn remove_manifest(&mut self, at: u64, repository: &Repository, digest: &Digest, by: &str) -> Result<(), TableError> {
        let key = member(b'm', repository, digest);
        let Some(row) = self.row::<ManifestRow>(key.as_bytes())? else { return Ok(()) };
        if let Some(subject) = row.subject {
            self.delete(member(b'r', repository, &subject).digest(digest).done());
        }
        let parent = member(b'p', repository, digest);
        for edge in self.keys(&parent)? {
            if let Some(child) = keys::digest(&edge[parent.len()..]) {
                let edges = member(b'e', repository, &child);
                self.delete(edges.clone().digest(digest).done());
                let link = holder(b'k', &child, repository);
                if self.has(&link)? && self.keys(&edges)?.is_empty() {
                    // It had its manifest: it waits for no other one.
                    self.put(link, &0u64);
                }
            }
            self.delete(edge);
        }
        let named = member(b'd', repository, digest);
        for naming in self.keys(&named)? {
            if let Ok(tag) = String::from_utf8_lossy(&naming[named.len()..]).parse() {
                self.tag(at, repository, &tag, None, by)?;
            }
        }
        self.delete(holder(b'q', digest, repository).done());
        self.delete(key.done());
        Ok(())
    }

    /// Gives the tag its new row, or none, and its history the move.
    fn tag(&mut self, at: u64, repository: &Repository, tag: &Tag, row: Option<&TagRow>, by: &str) -> Result<(), TableError> {
        let key = tag_key(repository, tag);
        let from = self.row::<TagRow>(key.as_bytes())?.map(|before| before.digest);
        if let Some(from) = &from {
            self.delete(member(b'd', repository, from).text(tag.as_str()).done());
        }
        match row {
            Some(row) => {
                self.put(key, row);
                self.put(member(b'd', repository, &row.digest).text(tag.as_str()), &());
                self.repository(at, repository)?;
            }
            None => self.delete(key.done()),
        }
        self.moved(repository, tag, TagMove { at, by: by.to_owned(), from, to: row.map(|row| row.digest) })
    }

    fn moved(&mut self, repository: &Repository, tag: &Tag, step: TagMove) -> Result<(), TableError> {
        if step.from == step.to {
            return Ok(());
        }
        let key = history_key(repository, tag);
        let mut history: Vec<TagMove> = self.row(key.as_bytes())?.unwrap_or_default();
        history.push(step);
        history.drain(..history.len().saturating_sub(HISTORY));
        self.put(key, &history);
        Ok(())
    }

    fn remove_repository(&mut self, repository: &Repository) -> Result<(), TableError> {
        for (space, reverse) in
            [(b'l', Some(b'k')), (b'm', Some(b'q')), (b'e', None), (b'p', None), (b'r', None), (b't', None), (b'd', None), (b'h', None)]
        {
            let prefix = Key::new(space).repository(repository);
            for key in self.keys(&prefix)? {
                if let (Some(reverse), Some(digest)) = (reverse, keys::digest(&key[prefix.len()..])) {
                    self.delete(holder(reverse, &digest, repository).done());
                }
                self.delete(key);
            }
        }
        self.delete(repository_key(repository).done());
        Ok(())
    }

    /// Makes the repository's row where there is none.
    fn repository(&mut self, at: u64, repository: &Repository) -> Result<(), TableError> {
        let key = repository_key(repository);
        if !self.has(&key)? {
            self.put(key, &RepositoryRow { since: at });
        }
        Ok(())
    }

    fn blob(&self, digest: &Digest) -> Result<Option<StoredBlob>, TableError> {
        self.row(Key::new(b'b').digest(digest).as_bytes())
    }

    fn row<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, TableError> {
        match self.overlay.rows.get(key) {
            Some(queued) => queued.as_deref().map(decode).transpose(),
            None => self.table.get(key)?.as_deref().map(decode).transpose(),
        }
    }

    fn has(&self, key: &Key) -> Result<bool, TableError> {
        match self.overlay.rows.get(key.as_bytes()) {
            Some(queued) => Ok(queued.is_some()),
            None => Ok(self.table.get(key.as_bytes())?.is_some()),
        }
    }

    /// Every key under the prefix.
    fn keys(&self, prefix: &Key) -> Result<Vec<Vec<u8>>, TableError> {
        let prefix = prefix.as_bytes();
        let stored = self.table.scan(prefix, None, usize::MAX)?;
        let mut found: BTreeMap<&[u8], bool> = stored.iter().map(|(key, _)| (&key[..], true)).collect();
        let queued = self.overlay.rows.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        found.extend(queued.map(|(key, value)| (&key[..], value.is_some())));
        Ok(found.into_iter().filter(|(_, there)| *there).map(|(key, _)| key.to_vec()).collect())
    }

    fn put(&mut self, key: Key, value: &impl Serialize) {
        let value = postcard::to_stdvec(value).expect("rows have a postcard form");
        self.set(key.done(), Some(value));
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.set(key, None);
    }

    fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let before = self.overlay.rows.insert(key.clone(), value);
        self.overlay.undo.push((key, before));
    }
}

/// A key of something that a repository has under a digest.
pub fn member(space: u8, repository: &Repository, digest: &Digest) -> Key {
    Key::new(space).repository(repository).digest(digest)
}

/// A key of a repository that has a digest.
pub fn holder(space: u8, digest: &Digest, repository: &Repository) -> Key {
    Key::new(space).digest(digest).repository(repository)
}

pub fn tag_key(repository: &Repository, tag: &Tag) -> Key {
    Key::new(b't').repository(repository).text(tag.as_str())
}

pub fn history_key(repository: &Repository, tag: &Tag) -> Key {
    Key::new(b'h').repository(repository).text(tag.as_str())
}

pub fn repository_key(repository: &Repository) -> Key {
    Key::new(b'n').origin(&repository.origin).text(repository.name.as_str())
}
