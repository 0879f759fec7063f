//! What serves the rows now, and how one waits for it. Only the writer changes it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::writer::Message;
use super::{Local, stopped};
use crate::index::table::{Disk, Memory, TableError};
use crate::index::{Health, Unavailable};

/// What serves.
#[derive(Clone, Default)]
pub enum State {
    /// The rows are being read from the journal.
    #[default]
    Filling,
    Memory(Arc<Memory>),
    Sled(Arc<Disk>),
    /// The journal does not read; the text says why.
    Broken(String),
}

#[derive(Default)]
pub struct Serving {
    state: watch::Sender<State>,
    /// Why nothing can be promised.
    read_only: Mutex<Option<String>>,
}

impl Serving {
    pub fn set(&self, state: State) {
        self.state.send_replace(state);
    }

    pub fn now(&self) -> State {
        self.state.borrow().clone()
    }

    pub fn set_read_only(&self, reason: &str) {
        *self.read_only.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }

    pub fn health(&self) -> Health {
        if let Some(reason) = &*self.read_only.lock().unwrap_or_else(PoisonError::into_inner) {
            return Health::ReadOnly(reason.clone());
        }
        match &*self.state.borrow() {
            State::Filling => Health::Filling,
            State::Broken(reason) => Health::ReadOnly(reason.clone()),
            State::Memory(_) | State::Sled(_) => Health::Ready,
        }
    }

    /// A table that has every row.
    pub async fn ready(&self, patience: Duration) -> Result<State, Unavailable> {
        let state = self.now();
        let state = match state {
            State::Filling => {
                let mut states = self.state.subscribe();
                let filled = tokio::time::timeout(patience, states.wait_for(|state| !matches!(state, State::Filling))).await;
                filled.map_err(|_| Unavailable::Filling)?.map_err(|_| stopped())?.clone()
            }
            state => state,
        };
        match state {
            State::Broken(reason) => Err(Unavailable::Broken(reason)),
            state => Ok(state),
        }
    }
}

impl Local {
    /// Tells the writer that sled failed, and returns when it has taken note: then sled serves no more.
    pub(super) async fn give_up(&self, disk: Arc<Disk>, error: TableError) -> Result<(), Unavailable> {
        self.ask(|answer| Message::GiveUp(disk, error, answer)).await.ok_or_else(stopped)
    }
}
