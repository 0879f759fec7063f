//! One question at a time: whoever asks what is being asked already waits for the same answer.
//!
//! A question is a task of its own, so it goes on when the one who asked first has left.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

/// The answer to come; `None` when the question's task broke.
pub type Answer<V> = Shared<BoxFuture<'static, Option<V>>>;

/// The questions that are open.
pub struct Questions<K, V: Clone>(Arc<Mutex<HashMap<K, Answer<V>>>>);

impl<K, V: Clone> Default for Questions<K, V> {
    fn default() -> Self {
        Questions(Arc::default())
    }
}

impl<K, V> Questions<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Joins the open question, or asks it.
    pub fn ask<F>(&self, key: K, question: impl FnOnce() -> F) -> Answer<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = open.get(&key) {
            return answer.clone();
        }
        let end = End { open: self.0.clone(), key: key.clone() };
        let asked = question();
        let task = tokio::spawn(async move {
            let answer = asked.await;
            drop(end);
            answer
        });
        let answer = async move { task.await.ok() }.boxed().shared();
        open.insert(key, answer.clone());
        answer
    }
}

/// Takes the question off the table, however its task ends.
struct End<K: Hash + Eq, V: Clone> {
    open: Arc<Mutex<HashMap<K, Answer<V>>>>,
    key: K,
}

impl<K: Hash + Eq, V: Clone> Drop for End<K, V> {
    fn drop(&mut self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_askers_share_one_question_and_the_next_asks_anew() {
        let (questions, count) = (Questions::<u8, usize>::default(), Arc::new(AtomicUsize::new(0)));
        let ask = || {
            let count = count.clone();
            questions.ask(1, || async move {
                tokio::task::yield_now().await;
                count.fetch_add(1, Ordering::SeqCst)
            })
        };
        let answers = futures_util::future::join_all((0..50).map(|_| ask())).await;
        assert!(answers.iter().all(|a| *a == Some(0)));
        assert_eq!(ask().await, Some(1));
    }

    #[tokio::test]
    async fn a_question_that_breaks_answers_nobody_and_blocks_nobody() {
        let questions = Questions::<u8, u8>::default();
        assert_eq!(questions.ask(1, || async { panic!("planted") }).await, None);
        assert_eq!(questions.ask(1, || async { 7 }).await, Some(7));
    }
}
