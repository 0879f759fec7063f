//! Who holds what: what looking after the store asks, as looks at a table.

use std::collections::BTreeMap;

use super::query::row;
use crate::index::keys::{self, Key};
use crate::index::rows::{StoredBlob, decode, holder, member};
use crate::index::table::{Table, TableError};
use crate::index::{EdgeRow, Holder, Holding, ManifestRow};
use crate::oci::{Digest, Origin, Repository};

/// Live blobs behind `after`; doomed ones are passed over, so that nothing found means the end.
pub fn holdings(table: &dyn Table, mut after: Option<Digest>, limit: usize) -> Result<Vec<Holding>, TableError> {
    loop {
        let (mut found, mut last) = (Vec::new(), None);
        for (digest, value) in page(table, &Key::new(b'b'), after, limit)? {
            last = Some(digest);
            if let Some(blob) = decode::<StoredBlob>(&value)?.live() {
                found.push(Holding { digest, size: blob.size, holders: holders(table, &digest)? });
            }
        }
        if !found.is_empty() || last.is_none() {
            return Ok(found);
        }
        after = last;
    }
}

fn holders(table: &dyn Table, digest: &Digest) -> Result<Vec<Holder>, TableError> {
    let mut found = BTreeMap::new();
    for (space, linked) in [(b'k', true), (b'q', false)] {
        let prefix = Key::new(space).digest(digest);
        for (key, value) in table.scan(prefix.as_bytes(), None, usize::MAX)? {
            let Some(repository) = keys::repository(&key[prefix.len()..]) else { continue };
            let idle = linked
                && repository.origin == Origin::Hosted
                && table.scan(member(b'e', &repository, digest).as_bytes(), None, 1)?.is_empty();
            found.insert(repository, if idle { Some(decode(&value)?) } else { None });
        }
    }
    Ok(found.into_iter().map(|(repository, idle)| Holder { repository, idle }).collect())
}

pub fn manifests(
    table: &dyn Table,
    repository: &Repository,
    after: Option<Digest>,
    limit: usize,
) -> Result<Vec<(Digest, ManifestRow, u64)>, TableError> {
    let rows = page(table, &Key::new(b'm').repository(repository), after, limit)?;
    let since = |digest: &Digest| row(table, holder(b'q', digest, repository).as_bytes());
    rows.into_iter().map(|(digest, value)| Ok((digest, decode(&value)?, since(&digest)?.unwrap_or(0)))).collect()
}

pub fn children(table: &dyn Table, repository: &Repository, parent: &Digest) -> Result<Vec<(Digest, EdgeRow)>, TableError> {
    let mut found = Vec::new();
    for (child, _) in page(table, &member(b'p', repository, parent), None, usize::MAX)? {
        if let Some(edge) = row(table, member(b'e', repository, &child).digest(parent).as_bytes())? {
            found.push((child, edge));
        }
    }
    Ok(found)
}

/// Rows under the prefix whose last part, a digest, comes after `after`.
fn page(table: &dyn Table, prefix: &Key, after: Option<Digest>, limit: usize) -> Result<Vec<(Digest, Vec<u8>)>, TableError> {
    let after = after.map(|after| prefix.clone().digest(&after).done());
    let rows = table.scan(prefix.as_bytes(), after.as_deref(), limit)?;
    Ok(rows.into_iter().filter_map(|(key, value)| Some((keys::digest(&key[prefix.len()..])?, value))).collect())
}
