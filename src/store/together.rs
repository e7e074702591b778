//! Writes that go together: what waits while a statement is under way goes into the next one, and each is answered
//! after its commit. One commit serves all, without a timer: alone, a write goes at once.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{Store, StoreError};

/// Writes that one statement makes at most: more brings little, and makes everybody wait for the slowest.
pub(super) const MOST: usize = 128;

/// A write of a kind that can be made together with others of its kind.
pub(super) trait Write: Send + Sync + Sized + 'static {
    /// Those of this kind that wait.
    fn waiting(store: &Store) -> &Arc<Waiting<Self>>;

    /// Makes all of them in one transaction; says of each, in their order, whether it took place. Runs in a task of its own,
    /// to its end: so that a connection that is [kept](super::own::Own::keep) is never left within a transaction.
    fn make(store: &Store, writes: &[Self]) -> impl Future<Output = Result<Vec<bool>, StoreError>> + Send;
}

/// Writes of one kind.
pub(super) struct Waiting<W>(Mutex<Line<W>>);

struct Line<W> {
    writes: Vec<One<W>>,
    /// Somebody makes them, and looks again before he ends.
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

    /// Lets everybody who is ready add his write: builds that were claimed together come in one after the other, and the
    /// first must not go alone. Where nobody is, this is over at once.
    async fn gather(&self) {
        let mut many = 0;
        while (many + 1..MOST).contains(&self.line().writes.len()) {
            many = self.line().writes.len();
            tokio::task::yield_now().await;
        }
    }

    /// Those that come first; when there are none, nobody makes them any more.
    fn next(&self) -> Vec<One<W>> {
        let mut line = self.line();
        let many = line.writes.len().min(MOST);
        line.being_made = many > 0;
        line.writes.drain(..many).collect()
    }
}

/// Which of `many` writes took place, by the numbers that the database gave those that did, counted from 1.
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

/// While somebody makes writes: should he panic, those who wait are told, and the next write begins anew.
struct Turn<W: Write>(Arc<Waiting<W>>);

impl<W: Write> Drop for Turn<W> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut line = self.0.line();
            line.being_made = false;
            // Dropping what would answer them tells them.
            line.writes.clear();
        }
    }
}

impl Store {
    /// Makes a write, together with those that wait; answers after its commit whether it took place.
    ///
    /// It is made also when whoever wanted it goes away meanwhile, as a commit whose answer is lost.
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
                // Whoever wanted it may have gone away.
                let _ = answer.send(made);
            }
        }
    }

    /// All at once; where that fails one by one, so that a bad one hurts only itself, as long as the database is there.
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
