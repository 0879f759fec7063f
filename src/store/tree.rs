//! The tree of blobs: a folder per algorithm, in it a folder per first digest byte, in it a file per digest.
//!
//! A blob's name survives power loss when [`Trees::admit`] returns; its shard's name does so before.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::folder::Folder;
use super::{Proved, StoreError};
use crate::oci::{Algorithm, Digest};

#[derive(Debug)]
pub(super) struct Trees {
    sha256: Tree,
    sha512: Tree,
}

#[derive(Debug)]
struct Tree {
    algorithm: Algorithm,
    folder: Folder,
    /// Which shards have a durable name, by the digest's first byte.
    durable: [AtomicBool; 256],
}

impl Trees {
    pub(super) fn open(blobs: &Folder) -> io::Result<Trees> {
        let trees = Trees { sha256: Tree::open(blobs, Algorithm::Sha256)?, sha512: Tree::open(blobs, Algorithm::Sha512)? };
        blobs.sync()?;
        Ok(trees)
    }

    /// Syncs the file and moves it to its place, over what is there. When the name cannot be synced the blob is dropped.
    pub(super) fn admit(&self, proved: &Proved) -> Result<(), StoreError> {
        let name = proved.digest().hex();
        proved.sync()?;
        let shard = self.of(proved.digest()).shard_to_write(proved.digest())?;
        proved.place(&shard, &name)?;
        if let Err(error) = shard.sync() {
            shard.remove(&name)?;
            return Err(error.into());
        }
        Ok(())
    }

    pub(super) fn read(&self, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        match self.of(digest).shard(digest.as_bytes()[0])? {
            Some(shard) => shard.read(&digest.hex()),
            None => Ok(None),
        }
    }

    pub(super) fn size(&self, digest: &Digest) -> io::Result<Option<u64>> {
        match self.of(digest).shard(digest.as_bytes()[0])? {
            Some(shard) => shard.size(&digest.hex()),
            None => Ok(None),
        }
    }

    pub(super) fn remove(&self, digest: &Digest) -> io::Result<bool> {
        let Some(shard) = self.of(digest).shard(digest.as_bytes()[0])? else { return Ok(false) };
        let was_there = shard.remove(&digest.hex())?;
        shard.sync()?;
        Ok(was_there)
    }

    pub(super) fn list(&self, after: Option<Digest>, limit: usize) -> io::Result<Vec<(Digest, u64)>> {
        let mut found = Vec::new();
        for tree in [&self.sha256, &self.sha512] {
            let first = match after {
                Some(after) if after.algorithm() > tree.algorithm => continue,
                Some(after) if after.algorithm() == tree.algorithm => after.as_bytes()[0],
                _ => 0,
            };
            for shard in first..=u8::MAX {
                if found.len() >= limit {
                    return Ok(found);
                }
                tree.list(shard, after, limit, &mut found)?;
            }
        }
        Ok(found)
    }

    fn of(&self, digest: &Digest) -> &Tree {
        match digest.algorithm() {
            Algorithm::Sha256 => &self.sha256,
            Algorithm::Sha512 => &self.sha512,
        }
    }
}

impl Tree {
    fn open(blobs: &Folder, algorithm: Algorithm) -> io::Result<Tree> {
        let folder = blobs.make(algorithm.as_str())?;
        // A process that was killed may have left shards whose names were never synced.
        folder.sync()?;
        let names = folder.names()?;
        let durable = std::array::from_fn(|shard| AtomicBool::new(names.contains(&shard_name(shard as u8))));
        Ok(Tree { algorithm, folder, durable })
    }

    fn shard(&self, first: u8) -> io::Result<Option<Folder>> {
        match self.folder.enter(&shard_name(first)) {
            Ok(shard) => Ok(Some(shard)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The shard, made if need be, under a name that is durable.
    fn shard_to_write(&self, digest: &Digest) -> io::Result<Folder> {
        let first = digest.as_bytes()[0];
        let durable = &self.durable[usize::from(first)];
        if durable.load(Ordering::Acquire)
            && let Some(shard) = self.shard(first)?
        {
            return Ok(shard);
        }
        // Another thread may have made it without having synced it, so whoever does not know it durable syncs.
        let shard = self.folder.make(&shard_name(first))?;
        self.folder.sync()?;
        durable.store(true, Ordering::Release);
        Ok(shard)
    }

    /// Adds the blobs of one shard behind `after`, in order, until `found` has `limit`.
    fn list(&self, first: u8, after: Option<Digest>, limit: usize, found: &mut Vec<(Digest, u64)>) -> io::Result<()> {
        let Some(shard) = self.shard(first)? else { return Ok(()) };
        let digest = |name: String| format!("{}:{name}", self.algorithm.as_str()).parse::<Digest>().ok();
        let here = |digest: &Digest| digest.as_bytes()[0] == first && after.is_none_or(|after| *digest > after);
        let mut digests: Vec<Digest> = shard.names()?.into_iter().filter_map(digest).filter(here).collect();
        digests.sort_unstable();
        for digest in digests {
            if found.len() >= limit {
                break;
            }
            if let Some(size) = shard.size(&digest.hex())? {
                found.push((digest, size));
            }
        }
        Ok(())
    }
}

fn shard_name(first: u8) -> String {
    format!("{first:02x}")
}
