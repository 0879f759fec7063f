//! What the index is asked, as looks at a table.

use serde::de::DeserializeOwned;

use super::{Local, State};
use crate::index::keys::{self, Key};
use crate::index::rows::{StoredBlob, decode, member};
use crate::index::table::{Table, TableError};
use crate::index::{ManifestRow, TagMove, TagRow, Unavailable, UploadRow};
use crate::oci::{Digest, Repository, RepositoryName, Tag};

impl Local {
    /// Asks whatever serves: memory at once, sled on its own threads. When sled fails, it is given up and memory is asked.
    pub(super) async fn read<T, F>(&self, look: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Fn(&dyn Table) -> Result<T, TableError> + Clone + Send + 'static,
    {
        loop {
            match self.ready().await? {
                State::Memory(table) => return look(&*table).map_err(|error| Unavailable::Broken(error.0)),
                State::Sled(disk) => match disk.read(look.clone()).await {
                    Ok(found) => return Ok(found),
                    Err(error) => self.give_up(disk, error).await?,
                },
                // ready() returns nothing else.
                State::Filling | State::Broken(_) => return Err(Unavailable::Filling),
            }
        }
    }
}

/// The value of one row.
pub fn row<T: DeserializeOwned>(table: &dyn Table, key: &[u8]) -> Result<Option<T>, TableError> {
    table.get(key)?.as_deref().map(decode).transpose()
}

/// The value of the first row under the prefix.
pub fn first<T: DeserializeOwned>(table: &dyn Table, prefix: &[u8]) -> Result<Option<T>, TableError> {
    table.scan(prefix, None, 1)?.first().map(|(_, value)| decode(value)).transpose()
}

pub fn blob(table: &dyn Table, digest: &Digest) -> Result<Option<StoredBlob>, TableError> {
    row(table, Key::new(b'b').digest(digest).as_bytes())
}

pub fn holders(table: &dyn Table, digest: &Digest, limit: usize) -> Result<Vec<Repository>, TableError> {
    let mut found = Vec::new();
    for space in [b'k', b'q'] {
        let prefix = Key::new(space).digest(digest);
        let rows = table.scan(prefix.as_bytes(), None, limit)?;
        found.extend(rows.iter().filter_map(|(key, _)| keys::repository(&key[prefix.len()..])));
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(limit);
    Ok(found)
}

pub fn tags(table: &dyn Table, prefix: &Key, after: Option<&str>, limit: usize) -> Result<Vec<(Tag, TagRow)>, TableError> {
    let rows = page(table, prefix, after, limit)?;
    rows.into_iter().filter_map(|(name, value)| Some((name.parse().ok()?, value))).map(|(tag, value)| Ok((tag, decode(&value)?))).collect()
}

pub fn last_moves(table: &dyn Table, prefix: &Key, after: Option<&str>, limit: usize) -> Result<Vec<(Tag, TagMove)>, TableError> {
    let mut found = Vec::new();
    for (name, value) in page(table, prefix, after, limit)? {
        let mut history: Vec<TagMove> = decode(&value)?;
        found.extend(name.parse().ok().zip(history.pop()));
    }
    Ok(found)
}

pub fn repositories(table: &dyn Table, prefix: &Key, after: Option<&str>, limit: usize) -> Result<Vec<RepositoryName>, TableError> {
    Ok(page(table, prefix, after, limit)?.into_iter().filter_map(|(name, _)| name.parse().ok()).collect())
}

pub fn referrers(
    table: &dyn Table,
    repository: &Repository,
    subject: &Digest,
    after: Option<&Digest>,
    limit: usize,
) -> Result<Vec<(Digest, ManifestRow)>, TableError> {
    let prefix = member(b'r', repository, subject);
    let after = after.map(|after| prefix.clone().digest(after).done());
    let mut found = Vec::new();
    for (key, _) in table.scan(prefix.as_bytes(), after.as_deref(), limit)? {
        let Some(referrer) = keys::digest(&key[prefix.len()..]) else { continue };
        if let Some(manifest) = row(table, member(b'm', repository, &referrer).as_bytes())? {
            found.push((referrer, manifest));
        }
    }
    Ok(found)
}

pub fn uploads(table: &dyn Table) -> Result<Vec<(String, UploadRow)>, TableError> {
    page(table, &Key::new(b'u'), None, usize::MAX)?.into_iter().map(|(id, value)| Ok((id, decode(&value)?))).collect()
}

pub fn parents(table: &dyn Table, prefix: &Key, limit: usize) -> Result<Vec<Digest>, TableError> {
    Ok(table.scan(prefix.as_bytes(), None, limit)?.iter().filter_map(|(key, _)| keys::digest(&key[prefix.len()..])).collect())
}

pub fn doomed(table: &dyn Table, limit: usize) -> Result<Vec<Digest>, TableError> {
    Ok(table.scan(b"x", None, limit)?.iter().filter_map(|(key, _)| keys::digest(&key[1..])).collect())
}

/// Rows under the prefix whose last part, a text, comes after `after`.
fn page(table: &dyn Table, prefix: &Key, after: Option<&str>, limit: usize) -> Result<Vec<(String, Vec<u8>)>, TableError> {
    let after = after.map(|after| prefix.clone().text(after).done());
    let rows = table.scan(prefix.as_bytes(), after.as_deref(), limit)?;
    let text = |key: Vec<u8>| String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
    Ok(rows.into_iter().map(|(key, value)| (text(key), value)).collect())
}
