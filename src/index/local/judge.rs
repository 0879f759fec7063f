//! Checks a group of commits in order against what will be there when their turn comes.

use std::collections::HashSet;

use super::writer::Commit;
use crate::index::rows::{Overlay, View};
use crate::index::table::{Batch, Table, TableError};
use crate::index::{Change, CommitError, Expect};
use crate::oci::Digest;

/// What became of a group.
pub struct Judged {
    pub verdicts: Vec<Result<(), CommitError>>,
    /// What the accepted commits do to the rows.
    pub batch: Batch,
}

/// Judges each commit against the table and the accepted ones before it.
pub fn judge(table: &dyn Table, at: u64, commits: &[Commit], leased: &HashSet<Digest>) -> Result<Judged, TableError> {
    let mut overlay = Overlay::default();
    let mut verdicts = Vec::with_capacity(commits.len());
    for commit in commits {
        let verdict = one(&mut View::new(table, &mut overlay), at, commit, leased)?;
        match verdict {
            Ok(()) => overlay.keep(),
            Err(_) => overlay.undo(),
        }
        verdicts.push(verdict);
    }
    Ok(Judged { verdicts, batch: overlay.into_batch() })
}

fn one(view: &mut View<'_>, at: u64, commit: &Commit, leased: &HashSet<Digest>) -> Result<Result<(), CommitError>, TableError> {
    for expect in &commit.expects {
        if matches!(expect, Expect::Unleased(digest) if leased.contains(digest)) || !view.holds(expect)? {
            return Ok(Err(CommitError::Refused(expect.clone().into())));
        }
    }
    for change in &commit.changes {
        if let Change::Doom { digest } = change
            && (leased.contains(digest) || view.referred(digest)?)
        {
            return Ok(Err(CommitError::InUse(*digest)));
        }
        view.make(at, change)?;
    }
    Ok(Ok(()))
}
