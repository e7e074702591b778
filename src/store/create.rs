//! Creation of builds by group commit: one task stores the pending requests, up to 64 with one statement, and
//! answers after the commit.

use std::{error::Error, time::Duration};

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::{Store, StoreError, Topic, insert::Inserted};
use crate::domain::{Build, NewBuild, quota::QuotaExceeded};

/// Upper bound of builds that one statement stores: a larger batch gains nothing and delays all of its
/// requests.
const BATCH: usize = 64;
/// Time for which the connection is held without a creation.
const HELD: Duration = Duration::from_millis(100);
/// Number of tries if a build's project, or the first use of its key, appears while it is being stored.
const TRIES: usize = 5;

/// Result of a creation.
#[derive(Debug, Clone)]
pub enum Created {
    /// The build was stored.
    New(Build),
    /// An earlier request with the same key and the same content created this build.
    Repeated(Build),
}

/// Reason why a build was not stored.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The key was used before for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The queue of pending requests is full.
    #[error("too many requests wait to be stored")]
    Overloaded,
    /// The build's uploaded context does not exist in its project.
    #[error("the context does not exist")]
    NoSuchContext,
    /// The project has reached a limit of its builds.
    #[error("the project has as many builds as it may have")]
    QuotaExceeded(Box<QuotaExceeded>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Handle that adds builds to the queue. Cheap to clone.
#[derive(Clone)]
pub struct Creator {
    queue: mpsc::Sender<Request>,
}

type Answer = oneshot::Sender<Result<Created, CreateError>>;

struct Request {
    build: NewBuild,
    answer: Answer,
}

/// The database is unavailable.
struct Away;

fn not_stored() -> CreateError {
    StoreError::unavailable("the batch was not stored").into()
}

impl Creator {
    /// Stores one build; answers after the commit. Wakes the queue's topic.
    pub async fn create(&self, build: NewBuild) -> Result<Created, CreateError> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .try_send(Request { build, answer })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => CreateError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => {
                    StoreError::unavailable("the batcher has ended").into()
                }
            })?;
        answered
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable("the batcher has ended").into()))
    }
}

impl Store {
    /// Starts the group-commit batcher and returns its handle. The batcher ends when all handles are dropped.
    pub fn creator(&self, queue: usize) -> (Creator, BoxFuture<'static, ()>) {
        let (sender, mut waiting) = mpsc::channel(queue.max(1));
        let store = self.clone();
        let batcher = async move {
            let mut requests = Vec::with_capacity(BATCH);
            while store.next_creations(&mut waiting, &mut requests).await {
                if store.create_all(std::mem::take(&mut requests)).await.is_ok() {
                    continue;
                }
                // Without this, the pending requests would wait for the same time-out, and those behind them
                // for several.
                while let Ok(request) = waiting.try_recv() {
                    let _ = request.answer.send(Err(not_stored()));
                }
            }
            store.creating.released();
        };
        (Creator { queue: sender }, Box::pin(batcher))
    }

    /// Waits for the next requests and takes up to one batch. Returns false if no more can come.
    async fn next_creations(
        &self,
        waiting: &mut mpsc::Receiver<Request>,
        requests: &mut Vec<Request>,
    ) -> bool {
        let soon = tokio::time::timeout(HELD, waiting.recv_many(requests, BATCH)).await;
        match soon {
            Ok(many) => many > 0,
            Err(_) => {
                self.creating.released();
                waiting.recv_many(requests, BATCH).await > 0
            }
        }
    }

    /// Answers all requests. Fails if the database is unavailable.
    async fn create_all(&self, requests: Vec<Request>) -> Result<(), Away> {
        let (mut locked, free): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .partition(|request| self.needs_locks(&request.build));
        match self.create_batch(free, false).await {
            Ok(limited) => locked.extend(limited),
            Err(away) => {
                for request in locked {
                    let _ = request.answer.send(Err(not_stored()));
                }
                return Err(away);
            }
        }
        self.create_batch(locked, true).await.map(drop)
    }

    /// Answers these requests. Returns those that must be stored under locks.
    async fn create_batch(&self, requests: Vec<Request>, locked: bool) -> Result<Vec<Request>, Away> {
        if requests.is_empty() {
            return Ok(requests);
        }
        let (builds, answers): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .map(|request| (request.build, request.answer))
            .unzip();
        let inserted = match self.insert_by(&builds, locked).await {
            Ok(inserted) => inserted,
            Err(error) => {
                self.create_after(error, builds, answers).await?;
                return Ok(Vec::new());
            }
        };
        let mut limited = Vec::new();
        for ((build, answer), inserted) in builds.into_iter().zip(answers).zip(inserted) {
            let result = match inserted {
                Inserted::Limited => {
                    limited.push(Request { build, answer });
                    continue;
                }
                Inserted::NotYet => self.create_one(build).await,
                settled => self.settled(build, settled).await,
            };
            // The client may have disconnected; the build stays, and its key finds it.
            let _ = answer.send(result);
        }
        Ok(limited)
    }

    /// Stores these builds and wakes the waiters of the queue.
    async fn insert_by(&self, builds: &[NewBuild], locked: bool) -> Result<Vec<Inserted>, StoreError> {
        let inserted = if locked {
            self.insert_locked(builds).await?
        } else {
            self.insert(builds).await?
        };
        if inserted
            .iter()
            .any(|one| matches!(one, Inserted::New(_) | Inserted::Overtaken))
        {
            self.wake(Topic::Queue);
            self.queue_changed();
        }
        for (build, one) in builds.iter().zip(&inserted) {
            if matches!(one, Inserted::Limited) {
                self.limited.learn(&build.spec.project);
            }
        }
        Ok(inserted)
    }

    /// Converts the final result of a build's insertion.
    async fn settled(&self, build: NewBuild, inserted: Inserted) -> Result<Created, CreateError> {
        match inserted {
            Inserted::New(created_at) => Ok(Created::New(fresh(build, created_at))),
            Inserted::NoSuchContext => Err(CreateError::NoSuchContext),
            Inserted::OverQuota(quota) => Err(CreateError::QuotaExceeded(quota)),
            Inserted::Overtaken => match self.build(build.id).await? {
                Some(build) => Ok(Created::New(build)),
                None => Err(not_stored()),
            },
            Inserted::NotYet | Inserted::Limited => {
                Err(StoreError::unavailable("the build's project or key is being changed").into())
            }
        }
    }

    /// Stores the builds of a failed batch one by one, so that a bad row affects only itself, as long as the
    /// database is available.
    async fn create_after(
        &self,
        error: StoreError,
        builds: Vec<NewBuild>,
        answers: Vec<Answer>,
    ) -> Result<(), Away> {
        let mut away = error.is_outage();
        tracing::warn!(%error, cause = error.source(), builds = builds.len(), "a batch of builds was not stored");
        for (build, answer) in builds.into_iter().zip(answers) {
            let result = if away {
                Err(not_stored())
            } else {
                self.create_one(build).await
            };
            away |= matches!(result, Err(CreateError::Store(StoreError::Unavailable(_))));
            let _ = answer.send(result);
        }
        if away { Err(Away) } else { Ok(()) }
    }

    /// Stores one build, or finds the build that its key stands for.
    async fn create_one(&self, build: NewBuild) -> Result<Created, CreateError> {
        for _ in 0..TRIES {
            if let Some(build) = self.repeated(&build).await? {
                return Ok(Created::Repeated(build));
            }
            let locked = self.needs_locks(&build);
            match self.insert_by(std::slice::from_ref(&build), locked).await?.pop() {
                Some(Inserted::NotYet | Inserted::Limited) | None => {}
                Some(settled) => return self.settled(build, settled).await,
            }
        }
        Err(StoreError::unavailable("the build's project or key is being changed").into())
    }

    /// Returns the build that an earlier request with the same key and content created.
    async fn repeated(&self, build: &NewBuild) -> Result<Option<Build>, CreateError> {
        let Some(wanted) = &build.idempotency else {
            return Ok(None);
        };
        let Some((id, request_sha256)) = self.keyed(&build.spec.project, &wanted.key).await? else {
            return Ok(None);
        };
        if request_sha256 != wanted.request_sha256 {
            return Err(CreateError::KeyReused);
        }
        Ok(self.build(id).await?)
    }
}

/// Returns a build in its state right after its creation.
fn fresh(build: NewBuild, created_at: jiff::Timestamp) -> Build {
    Build {
        id: build.id,
        state: crate::domain::State::Queued,
        phase: None,
        waiting_reason: None,
        waiting_message: None,
        spec: build.spec,
        rebuild_of: build.rebuild_of,
        triggered_by: None,
        created_at,
        started_at: None,
        finished_at: None,
        cancel_requested_at: None,
        superseded_by: None,
        retries: 0,
        digest: None,
        failure: None,
        version: 1,
    }
}
