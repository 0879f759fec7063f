//! Referrers for clients that know no list of them: a hosted manifest's referrers are an index under the tag `sha256-<hex>` too,
//! although nobody pushed it.
//!
//! An index that was pushed under that tag goes before, byte for byte. One that is made up is kept in memory alone, so that it
//! can be asked for by its digest in a moment; it follows every change, and no list of tags has it.

use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache;

use super::manifests::Found;
use super::referrers::{Wanted, page};
use super::{Error, Registry};
use crate::index::ManifestRow;
use crate::oci::{Digest, Reference, Referrer, Repository};

/// As many as a page of the list has.
const MOST: usize = 1000;

/// Indexes that were made up lately.
pub(super) struct MadeUp(Cache<(Repository, Digest), Bytes>);

impl Default for MadeUp {
    fn default() -> MadeUp {
        let weigh = |_: &(Repository, Digest), bytes: &Bytes| u32::try_from(512 + bytes.len()).unwrap_or(u32::MAX);
        MadeUp(Cache::builder().max_capacity(32 << 20).weigher(weigh).time_to_live(Duration::from_secs(3600)).build())
    }
}

impl Registry {
    /// The index of a hosted manifest's referrers, by the tag that names them or by the digest it had a moment ago.
    pub(super) async fn made_up(&self, hosted: &Repository, reference: &Reference) -> Result<Option<Found>, Error> {
        let bytes = match reference {
            Reference::Digest(digest) => self.made_up.0.get(&(hosted.clone(), *digest)),
            Reference::Tag(tag) => match tag.lists_referrers_of() {
                Some(subject) => self.index_of_referrers(hosted, &subject).await?,
                None => None,
            },
        };
        let Some(bytes) = bytes else { return Ok(None) };
        let row = ManifestRow {
            media_type: Referrer::INDEX.to_owned(),
            size: bytes.len() as u64,
            subject: None,
            artifact_type: None,
            annotations: Vec::new(),
        };
        let digest = Digest::of(&bytes);
        self.made_up.0.insert((hosted.clone(), digest), bytes.clone());
        Ok(Some(Found::new(hosted, digest, &row, bytes)))
    }

    async fn index_of_referrers(&self, hosted: &Repository, subject: &Digest) -> Result<Option<Bytes>, Error> {
        let wanted = Wanted { artifact_type: None, after: None, limit: MOST };
        let referrers = self.stored_referrers(hosted, subject, wanted).await?;
        let entries = page(referrers.into_values(), MOST, false).entries;
        Ok((!entries.is_empty()).then(|| Referrer::index(&entries).into()))
    }
}
