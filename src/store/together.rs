//! Group commit: writes that arrive while a statement runs go into the next one, and each is answered after
//! its commit. One commit serves all of them, without a timer: a single write is made at once.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{Store, StoreError};

/// Upper bound of writes that one statement makes: more gains little and delays all of them until the slowest
/// is made.
pub(super) const MOST: usize = 128;

/// Write that can share a statement and a commit with others of its kind.
pub(super) trait Write: Send + Sync + Sized + 'static {
    /// Returns the pending writes of this kind.
    fn waiting(store: &Store) -> &Arc<Waiting<Self>>;

    /// Makes all of them in one transaction. Returns for each, in their order, true if it took place. Runs to
    /// its end in a task of its own, so that a connection that is [kept](super::own::Own::keep) is never left
    /// within a transaction.
    fn make(store: &Store, writes: &[Self]) -> impl Future<Output = Result<Vec<bool>, StoreError>> + Send;
}

/// Pending writes of one kind.
pub(super) struct Waiting<W>(Mutex<Line<W>>);

struct Line<W> {
    writes: Vec<One<W>>,
    /// `true` while a task makes writes; it checks for more before it ends.
    being_made: bool,
}

struct One<W> {
    write: W,
    answer: oneshot::Sender<Result<bool, StoreError>>,
}

impl<W> Default for Waiting<W> {
    fn default() -> Self {
        Self(Mutex::new(Line {
            writes: Vec::new(),
            being_made: false,
        }))
    }
}

impl<W> Waiting<W> {
    fn line(&self) -> MutexGuard<'_, Line<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Yields until no new write arrives, so that writers woken together share one commit: builds that were
    /// claimed together arrive one after the other. Returns at once if there are no further writers.
    async fn gather(&self) {
        let mut many = 0;
        while (many + 1..MOST).contains(&self.line().writes.len()) {
            many = self.line().writes.len();
            tokio::task::yield_now().await;
        }
    }

    /// Takes the first writes. If there are none, marks that no task makes writes any more.
    fn next(&self) -> Vec<One<W>> {
        let mut line = self.line();
        let many = line.writes.len().min(MOST);
        line.being_made = many > 0;
        line.writes.drain(..many).collect()
    }
}

/// Returns for each of `many` writes true if the database returned its number, counted from 1.
pub(super) fn took_place(many: usize, numbers: &[i64]) -> Vec<bool> {
    let mut made = vec![false; many];
    for number in numbers {
        let at = usize::try_from(number - 1).ok();
        if let Some(one) = at.and_then(|at| made.get_mut(at)) {
            *one = true;
        }
    }
    made
}

/// Guard of the task that makes writes: if it panics, the waiting writers get an error, and the next write
/// starts a new task.
struct Turn<W: Write>(Arc<Waiting<W>>);

impl<W: Write> Drop for Turn<W> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut line = self.0.line();
            line.being_made = false;
            // Dropping the channels of their answers makes the writers return an error.
            line.writes.clear();
        }
    }
}

impl Store {
    /// Makes a write together with the pending ones. Returns true after the commit if it took place.
    ///
    /// The write is also made if its caller is dropped meanwhile, like a commit whose answer is lost.
    pub(super) async fn write<W: Write>(&self, write: W) -> Result<bool, StoreError> {
        let (answer, answered) = oneshot::channel();
        let begins = {
            let mut line = W::waiting(self).line();
            line.writes.push(One { write, answer });
            !std::mem::replace(&mut line.being_made, true)
        };
        if begins {
            let store = self.clone();
            tokio::spawn(async move { store.make_all::<W>().await });
        }
        answered
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable("a write was not made")))
    }

    async fn make_all<W: Write>(&self) {
        let turn = Turn(Arc::clone(W::waiting(self)));
        loop {
            turn.0.gather().await;
            let ones = turn.0.next();
            if ones.is_empty() {
                return;
            }
            let (writes, answers): (Vec<_>, Vec<_>) =
                ones.into_iter().map(|one| (one.write, one.answer)).unzip();
            let made = self.make_some(&writes).await;
            for (answer, made) in answers.into_iter().zip(made) {
                // The caller may have been dropped.
                let _ = answer.send(made);
            }
        }
    }

    /// Makes all writes at once; if that fails, one by one, so that a bad write affects only itself, as long
    /// as the database is available.
    async fn make_some<W: Write>(&self, writes: &[W]) -> Vec<Result<bool, StoreError>> {
        let error = match W::make(self, writes).await {
            Ok(made) => return made.into_iter().map(Ok).collect(),
            Err(error) => error,
        };
        if writes.len() == 1 {
            return vec![Err(error)];
        }
        let mut away = error.is_outage();
        let mut made = Vec::with_capacity(writes.len());
        for write in writes {
            let one = if away {
                Err(StoreError::unavailable("the writes were not made"))
            } else {
                W::make(self, std::slice::from_ref(write))
                    .await
                    .map(|made| made == [true])
            };
            away |= one.as_ref().is_err_and(StoreError::is_outage);
            made.push(one);
        }
        made
    }
}
