//! Everything that is kept: the only SQL of the service.
//!
//! Every write names the state that it expects and says whether it took place. Time is the database's.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::{
    Attempt, AttemptSeen, Build, BuildEvent, BuildId, BuildSpec, ContextId, Failure, NewBuild, Outcome,
    ProjectName, State,
};

/// The database, or a part of it, could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer, or has no connection free: try again later.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// A query failed for another reason: a fault of ours.
    #[error("a query failed")]
    Query(#[source] sqlx::Error),
}

/// Proof of a claim: whoever holds the token that is stored with a launching build may write to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimToken(pub Uuid);

/// A build that this dispatcher must launch now.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Which build.
    pub id: BuildId,
    /// The proof.
    pub token: ClaimToken,
    /// What to build.
    pub spec: BuildSpec,
    /// How often its launch has been tried before.
    pub launches: u32,
}

/// How many builds may hold a slot at once.
#[derive(Debug, Clone, Copy)]
pub struct Slots {
    /// In all projects together, over all replicas.
    pub total: u32,
    /// In one project that has no limit of its own.
    pub per_project: u32,
}

/// What came of a creation.
#[derive(Debug, Clone)]
pub enum Created {
    /// It is stored.
    New(Build),
    /// The same key and the same request came before: that build.
    Repeated(Build),
}

/// Why a build was not stored.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The key was used before, for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// More requests wait to be stored than the service takes.
    #[error("too many requests wait to be stored")]
    Overloaded,
    /// The build's uploaded context does not exist in its project.
    #[error("the context does not exist")]
    NoSuchContext,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which builds a list shows. An absent field does not filter.
#[derive(Debug, Clone, Default)]
pub struct BuildFilter {
    /// Of this project.
    pub project: Option<ProjectName>,
    /// Whose first destination is in this repository (`host/path`).
    pub repository: Option<String>,
    /// In one of these states; empty for all.
    pub states: Vec<State>,
    /// Of this git ref, as the request wrote it.
    pub git_ref: Option<String>,
    /// Accepted at or after this moment.
    pub created_from: Option<Timestamp>,
    /// Accepted before this moment.
    pub created_before: Option<Timestamp>,
}

/// What came of a request to cancel.
#[derive(Debug, Clone)]
pub enum Cancelled {
    /// It was queued and is `cancelled`, or is `cancelling` until its pod is gone (also when it was asked before).
    Accepted(Build),
    /// It had ended before.
    Ended(Build),
}

/// A build that holds a slot, as the observer compares it with the cluster.
#[derive(Debug, Clone)]
pub struct Live {
    /// Which build.
    pub id: BuildId,
    /// `launching`, `running` or `cancelling`.
    pub state: State,
    /// The Job's uid, once it was recorded.
    pub external_id: Option<String>,
    /// How often its Job was made again after it was lost.
    pub relaunches: u32,
    /// Failed attempts so far.
    pub retries: u32,
}

/// What came of recording a sighting of a running build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is recorded; for a build that waits, with how long it has waited.
    Yes {
        /// How long it has been waiting without a container, by the database's clock.
        waiting_for: Option<Duration>,
    },
    /// The build is no longer running: nothing was written.
    Stale,
}

/// An uploaded context.
#[derive(Debug, Clone)]
pub struct Context {
    /// Its identifier.
    pub id: ContextId,
    /// Who uploaded it.
    pub project: ProjectName,
    /// The archive's size in bytes.
    pub size: u64,
    /// The archive's SHA-256.
    pub sha256: [u8; 32],
    /// When it was uploaded.
    pub created_at: Timestamp,
}

/// A stretch of an attempt's stored log.
#[derive(Debug, Clone)]
pub struct LogSlice {
    /// The byte that it begins at.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Bytes stored so far.
    pub total: u64,
    /// Whether nothing will be added any more.
    pub complete: bool,
}

/// How to reach the database.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `postgres://…`; may go through a pooler in transaction mode.
    pub url: secrecy::SecretString,
    /// The same database without a pooler, for LISTEN and session locks; `url` when absent.
    pub direct_url: Option<secrecy::SecretString>,
    /// Connections in the pool.
    pub max_connections: u32,
    /// How long a request waits for a free connection before the database counts as unavailable.
    pub acquire_timeout: Duration,
    /// Whether to LISTEN and NOTIFY, or to poll only.
    pub notify: bool,
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    #[expect(dead_code, reason = "skeleton")]
    pool: sqlx::PgPool,
}

impl Store {
    /// Connects lazily: succeeds without a database, so that the service starts while Postgres is away.
    pub fn connect(options: &StoreOptions) -> Result<Self, StoreError> {
        todo!()
    }
    /// Applies the migrations; of two replicas that do so at once, one waits.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        todo!()
    }
    /// Whether the database answers and has every migration that this binary knows.
    pub async fn ready(&self) -> Result<(), StoreError> {
        todo!()
    }

    // ---- builds.rs: what the API reads and asks for
    /// One build.
    pub async fn build(&self, id: BuildId) -> Result<Option<Build>, StoreError> {
        todo!()
    }
    /// Builds from the newest to the oldest, those older than `before` only; at most `limit`.
    pub async fn builds(
        &self,
        filter: &BuildFilter,
        before: Option<BuildId>,
        limit: u32,
    ) -> Result<Vec<Build>, StoreError> {
        todo!()
    }
    /// The attempts of a build, oldest first.
    pub async fn attempts(&self, id: BuildId) -> Result<Vec<Attempt>, StoreError> {
        todo!()
    }
    /// The events of a build, oldest first.
    pub async fn events(&self, id: BuildId) -> Result<Vec<BuildEvent>, StoreError> {
        todo!()
    }
    /// Asks for a build to be cancelled. `None`: no such build.
    pub async fn cancel(&self, id: BuildId) -> Result<Option<Cancelled>, StoreError> {
        todo!()
    }

    // ---- claim.rs: from queued to launching to running
    /// Claims as many queued builds as there are free slots, at most `limit`, and those launching builds whose lease
    /// ran out. One short transaction.
    pub async fn claim(&self, slots: Slots, lease: Duration, limit: u32) -> Result<Vec<Claim>, StoreError> {
        todo!()
    }
    /// The Job exists: launching to running. False when the token no longer holds.
    pub async fn launched(
        &self,
        id: BuildId,
        token: ClaimToken,
        external_id: &str,
    ) -> Result<bool, StoreError> {
        todo!()
    }
    /// The launch could not be tried to its end: back to the queue, not before `delay` has passed.
    pub async fn release(&self, id: BuildId, token: ClaimToken, delay: Duration) -> Result<bool, StoreError> {
        todo!()
    }
    /// The launch will never succeed: launching to failed.
    pub async fn launch_failed(
        &self,
        id: BuildId,
        token: ClaimToken,
        failure: &Failure,
    ) -> Result<bool, StoreError> {
        todo!()
    }
    /// A running build whose Job vanished: running to launching again, as a claim of the caller's. `None` when it is
    /// no longer running.
    pub async fn relaunch(&self, id: BuildId, lease: Duration) -> Result<Option<Claim>, StoreError> {
        todo!()
    }

    // ---- observe.rs: what the observer records
    /// Builds that hold a slot, in the order of their ids, after `after`.
    pub async fn live(&self, after: Option<BuildId>, limit: u32) -> Result<Vec<Live>, StoreError> {
        todo!()
    }
    /// Builds that are cancelling, in the order of their ids, after `after`.
    pub async fn cancelling(&self, after: Option<BuildId>, limit: u32) -> Result<Vec<BuildId>, StoreError> {
        todo!()
    }
    /// Where these builds stand (for Jobs whose builds may not be live).
    pub async fn states(
        &self,
        ids: &[BuildId],
    ) -> Result<(Timestamp, Vec<(BuildId, State, Option<Timestamp>)>), StoreError> {
        todo!()
    }
    /// Records attempts, retries and a non-terminal outcome of a running (or cancelling) build.
    pub async fn observe(
        &self,
        id: BuildId,
        outcome: &Outcome,
        attempts: &[AttemptSeen],
        retries: u32,
    ) -> Result<Recorded, StoreError> {
        todo!()
    }
    /// Records the end of a running build: succeeded or failed, its attempts, and the event, in one transaction.
    /// False when it was no longer running.
    pub async fn finish(
        &self,
        id: BuildId,
        outcome: &Outcome,
        attempts: &[AttemptSeen],
        retries: u32,
    ) -> Result<bool, StoreError> {
        todo!()
    }
    /// The pod of a cancelling build is gone: cancelling to cancelled.
    pub async fn cancelled(&self, id: BuildId) -> Result<bool, StoreError> {
        todo!()
    }

    // ---- contexts.rs
    /// Stores an uploaded context's row (its bytes are in the object store already).
    pub async fn add_context(
        &self,
        id: ContextId,
        project: &ProjectName,
        size: u64,
        sha256: [u8; 32],
    ) -> Result<Context, StoreError> {
        todo!()
    }
    /// One context.
    pub async fn context(&self, id: ContextId) -> Result<Option<Context>, StoreError> {
        todo!()
    }
    /// Lets whoever holds a token with this SHA-256 read the context while the build lives.
    pub async fn grant_context(
        &self,
        context: ContextId,
        build: BuildId,
        token_sha256: [u8; 32],
    ) -> Result<(), StoreError> {
        todo!()
    }
    /// Whether a token with this SHA-256 opens the context now.
    pub async fn may_read_context(
        &self,
        context: ContextId,
        token_sha256: [u8; 32],
    ) -> Result<bool, StoreError> {
        todo!()
    }

    // ---- logs.rs
    /// Appends to an attempt's log at `offset`. What is stored already is not stored again; a gap is refused (false).
    pub async fn append_log(
        &self,
        id: BuildId,
        attempt: &str,
        offset: u64,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        todo!()
    }
    /// Says that an attempt's log is whole.
    pub async fn complete_log(&self, id: BuildId, attempt: &str) -> Result<(), StoreError> {
        todo!()
    }
    /// Bytes of an attempt's log that are stored.
    pub async fn log_length(&self, id: BuildId, attempt: &str) -> Result<u64, StoreError> {
        todo!()
    }
    /// A stretch of an attempt's log (attempts counted from 1). `None`: no such build or attempt.
    pub async fn log(
        &self,
        id: BuildId,
        attempt: u32,
        offset: u64,
        limit: u32,
    ) -> Result<Option<LogSlice>, StoreError> {
        todo!()
    }

    // ---- wakeups.rs
    /// Resolves when `topic` may have changed: signalled in this process, notified by another, or after the jittered
    /// poll interval. Register before looking: take the `Wakeup` first, look, then wait on it.
    pub fn wakeup(&self, topic: Topic) -> Wakeup {
        todo!()
    }
    /// Wakes those who wait for the topic, here at once and elsewhere through a coalesced NOTIFY.
    pub fn wake(&self, topic: Topic) {
        todo!()
    }
    /// Listens and notifies until `stop`. Runs as a task of the service; without it only this process is woken.
    pub async fn run_wakeups(&self, stop: tokio_util::sync::CancellationToken) {
        todo!()
    }

    // ---- lock.rs
    /// Becomes the one observer among all replicas, if there is none: a session advisory lock on a connection of its
    /// own. Dropping it, or losing the connection, gives the role up.
    pub async fn become_observer(&self) -> Result<Option<ObserverLock>, StoreError> {
        todo!()
    }

    // ---- create.rs
    /// Starts the group-commit batcher; creations go through the returned handle. Ends when all handles are dropped.
    pub fn creator(&self, queue: usize) -> (Creator, futures::future::BoxFuture<'static, ()>) {
        todo!()
    }
}

/// What may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A build was queued, or a slot became free.
    Queue,
    /// Somebody asked for a cancel.
    Cancel,
}

/// Interest in a topic, from the moment it was taken.
pub struct Wakeup {}

impl Wakeup {
    /// Waits until the topic may have changed since the last wait (or since this was taken).
    pub async fn wait(&mut self) {
        todo!()
    }
}

/// The observer's role, as long as this is held and [`ObserverLock::held`] says so.
pub struct ObserverLock {}

impl ObserverLock {
    /// Asks the database whether the lock's connection still lives.
    pub async fn held(&mut self) -> bool {
        todo!()
    }
}

/// The way into the queue. Cheap to clone.
#[derive(Clone)]
pub struct Creator {}

impl Creator {
    /// Stores one build; answers after COMMIT. Wakes the queue's topic.
    pub async fn create(&self, build: NewBuild) -> Result<Created, CreateError> {
        todo!()
    }
}
