//! Asking a repository's own upstream whether it has a blob whose bytes are here already: one question at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::OnceCell;

use super::Source;
use crate::oci::{Digest, Repository};
use crate::upstream::{Budget, Refusal};

type Key = (Digest, Repository);
type Answer = Arc<OnceCell<Result<(), Refusal>>>;

#[derive(Default)]
pub(super) struct Confirmations(Mutex<HashMap<Key, Answer>>);

impl Confirmations {
    /// Asks, or waits for the answer to the same question. Answers are not kept.
    pub(super) async fn ask(&self, digest: &Digest, source: &dyn Source, budget: Budget) -> Result<(), Refusal> {
        let key = (*digest, source.repository().clone());
        let answer = self.lock().entry(key.clone()).or_default().clone();
        let asking = Asking { confirmations: self, key, answer };
        let ask = async || source.confirm(digest, budget).await.map(drop);
        asking.answer.get_or_init(ask).await.clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Answer>> {
        self.0.lock().expect("no panic while it is held")
    }
}

/// Takes the question away once it is answered, or nobody waits for its answer.
struct Asking<'a> {
    confirmations: &'a Confirmations,
    key: Key,
    answer: Answer,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut questions = self.confirmations.lock();
        let same = questions.get(&self.key).is_some_and(|answer| Arc::ptr_eq(answer, &self.answer));
        if same && (self.answer.initialized() || Arc::strong_count(&self.answer) == 2) {
            questions.remove(&self.key);
        }
    }
}
