//! What a command can ask for, and how its answer is told. It is the same whether a running server does the work, asked over
//! the control socket, or the command itself because no server runs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use super::accounts::{self, TokenOrder, UserOrder};
use super::collect::gc;
use super::history::history;
use super::images::{self, Copy, Names};
use super::prefetch::{Order, prefetch};
use super::prune::{PruneOrder, prune};
use super::roles::{self, Can, RoleOrder};
use super::tags;
use crate::registry::{Registry, Sweep};

/// Replies that may wait for a slow listener.
const QUEUE: usize = 256;

/// What can be asked for. Each has its own events, which lie beside its work.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    Prefetch(Order),
    Prune(PruneOrder),
    /// Of an image's tag.
    History(String),
    Gc(Sweep),
    /// Of the images that match the pattern, where there is one.
    Ls(Option<String>),
    Du,
    Delete(Names),
    Purge(Names),
    Copy(Copy),
    /// Of images with a tag.
    Refresh(Vec<String>),
    /// As `NAME:TAG` or `NAME:TAG@DIGEST`.
    Pin(Vec<String>),
    Unpin(Vec<String>),
    User(UserOrder),
    Token(TokenOrder),
    Role(RoleOrder),
    Can(Can),
}

/// A piece of an answer. The last one is `Done` or `Failed`; without them, who answered was ended in the middle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    Event(Value),
    /// The whole request could not be done; the sentence says why.
    Failed(String),
    Done,
}

/// Tells what happens, as it happens. Work goes on when its listener has left.
#[derive(Clone, Debug)]
pub struct Teller(mpsc::Sender<Reply>);

impl Teller {
    /// Tells it, however slow the listener is.
    pub async fn tell(&self, event: impl Serialize) {
        let _ = self.0.send(Reply::event(event)).await;
    }

    /// Tells it unless the listener is slow: for steps that may be missed.
    pub fn mention(&self, event: impl Serialize) {
        let _ = self.0.try_send(Reply::event(event));
    }
}

impl Reply {
    fn event(event: impl Serialize) -> Reply {
        Reply::Event(serde_json::to_value(event).expect("an event is plain data"))
    }
}

/// Carries the request out to its end, also when nobody listens any more.
pub fn carry_out(registry: Arc<Registry>, request: Request) -> mpsc::Receiver<Reply> {
    let (replies, told) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let teller = Teller(replies.clone());
        let done = match request {
            Request::Prefetch(order) => prefetch(registry, order, teller).await,
            Request::Gc(sweep) => gc(registry, sweep, teller).await,
            Request::Ls(pattern) => images::ls(registry, pattern, teller).await,
            Request::Du => images::du(registry, teller).await,
            Request::Delete(names) => images::delete(registry, names, teller).await,
            Request::Purge(names) => images::purge(registry, names, teller).await,
            Request::Copy(order) => images::copy(registry, order, teller).await,
            Request::Refresh(images) => tags::refresh(registry, images, teller).await,
            Request::Pin(images) => tags::pin(registry, images, teller).await,
            Request::Unpin(images) => tags::unpin(registry, images, teller).await,
            Request::User(order) => accounts::users(registry, order, teller).await,
            Request::Token(order) => accounts::tokens(registry, order, teller).await,
            Request::Prune(order) => prune(registry, order, teller).await,
            Request::History(image) => history(registry, image, teller).await,
            Request::Role(order) => roles::change(registry, order, teller).await,
            Request::Can(question) => roles::can(registry, question, teller).await,
        };
        let _ = replies.send(done.map_or_else(Reply::Failed, |()| Reply::Done)).await;
    });
    told
}
