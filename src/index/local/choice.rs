//! Which table serves: a sled that can be trusted, else memory, filled from the journal, until a refilled sled takes over.
//! The writer's own; nobody else changes what serves.

use std::sync::Arc;

use super::refill::{Plan, Refill, no_room};
use super::serving::State;
use super::writer::Writer;
use super::{Engine, Options, mark};
use crate::index::journal;
use crate::index::table::{Batch, Disk, TableError};

impl Writer {
    /// Opens the sled of a clean close; whether it serves.
    pub(super) fn trust_sled(&mut self) -> bool {
        if self.options.engine == Engine::Memory || !(self.options.roomy)() {
            return false;
        }
        let tables = self.options.tables();
        let Ok(Some(number)) = mark::take(&tables).inspect_err(|error| tracing::warn!(%error, "the index's mark cannot be read")) else {
            return false;
        };
        let folder = mark::folder(&tables, number);
        if !folder.is_dir() {
            return false;
        }
        let opened = Disk::open(self.options.table_patience, folder);
        match opened.and_then(|disk| Ok((disk.look(|table| table.position())?, disk))) {
            Ok((position, disk)) if position == self.journal.position() => {
                self.folder = number;
                self.serving.set(State::Sled(Arc::new(disk)));
                true
            }
            Ok((position, disk)) => {
                tracing::info!(position, journal = self.journal.position(), "the index is not where the journal is; it is read back");
                drop(Disk::close(Arc::new(disk)));
                false
            }
            Err(error) => {
                tracing::warn!(%error, "the index does not open; it is read back from the journal");
                false
            }
        }
    }

    /// Fills a memory table from the journal and lets it serve.
    pub(super) fn fill(&mut self) {
        self.serving.set(State::Filling);
        self.serving.set(match journal::fill(self.journal.folder(), self.journal.position()) {
            Ok(memory) => State::Memory(Arc::new(memory)),
            Err(error) => {
                tracing::error!(%error, "the journal cannot be read");
                State::Broken(error.to_string())
            }
        });
    }

    pub(super) fn start_refill(&mut self) {
        let State::Memory(memory) = self.serving.now() else { return };
        if self.options.engine == Engine::Memory {
            return;
        }
        let Options { roomy, table_patience: patience, .. } = self.options.clone();
        if !roomy() {
            return self.log_given_up(&no_room());
        }
        let plan = Plan { memory, tables: self.options.tables(), patience, roomy, messages: self.messages.clone() };
        match Refill::start(plan) {
            Ok(refill) => self.refill = Some(refill),
            Err(error) => self.log_given_up(&TableError(error.to_string())),
        }
    }

    /// Lets the refilled sled serve instead of memory.
    pub(super) fn take_over(&mut self, number: u64, disk: Arc<Disk>) {
        let Some(refill) = self.refill.take() else { return };
        let position = self.journal.position();
        let caught_up = refill.catch_up(&disk).and_then(|_| disk.apply(Batch::new(), position));
        match caught_up {
            Ok(()) => {
                self.folder = number;
                self.serving.set(State::Sled(disk));
            }
            Err(error) => {
                disk.abandon();
                self.log_given_up(&error);
            }
        }
    }

    /// sled failed: memory is filled from the journal and serves until the next start.
    pub(super) fn give_up(&mut self, error: &TableError) {
        if let State::Sled(disk) = self.serving.now() {
            disk.abandon();
            self.log_given_up(error);
            self.fill();
        }
    }

    pub(super) fn log_given_up(&mut self, error: &TableError) {
        self.refill = None;
        tracing::error!(%error, "sled is given up until the next start; the index is served from memory");
        (self.options.abandoned)(&error.0);
    }
}
