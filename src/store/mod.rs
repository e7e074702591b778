//! Storage of the service: the only SQL.
//!
//! Every write names the state that it expects and reports if it took place. All times come from the
//! database's clock.

mod admission;
mod attempts;
mod audit;
mod begin;
mod builds;
mod claim;
mod commit_statuses;
mod contexts;
mod counts;
mod create;
mod deliver;
mod deliveries;
mod dispatchers;
mod endpoints;
mod error;
mod events;
mod finish;
mod insert;
mod lanes;
mod launch;
mod list;
mod lock;
mod log_append;
mod log_state;
mod logs;
mod notifications;
mod observe;
mod of_job;
mod outbox;
mod own;
mod pool;
mod projects;
mod queue;
mod quotas;
mod retention;
mod rows;
mod settings;
mod stats;
mod steps;
mod supersede;
mod together;
mod tokens;
mod triggers;
mod wakeups;
mod watches;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::domain::quota::Quotas;

pub use builds::Cancelled;
pub use claim::{Claim, ClaimToken, Slots};
pub use contexts::Context;
pub use create::{CreateError, Created, Creator};
pub use deliver::{Arrival, DeliverError, Delivered, Intent};
pub use deliveries::DeliveryFilter;
pub use endpoints::{Endpoint, EndpointSettings, NewEndpoint};
pub use error::StoreError;
pub use events::EventCursor;
pub use list::BuildFilter;
pub use lock::RoleLock;
pub use log_append::LogEnd;
pub use log_state::{ArchivedStretch, LogBytes, LogState};
pub use observe::{Live, Recorded, Standing};
pub use of_job::OfJob;
pub use outbox::{
    ClaimLimits, Due, DueBuild, Notification, NotificationState, Recipient, ToEndpoint, Try, TryOutcome,
    TrySeen,
};
pub use pool::StoreOptions;
pub use projects::{Project, Settled};
pub use queue::{ProjectQueue, QueueView};
pub use retention::{Batch, EventKey, LogKey, OldLog};
pub use settings::Settings;
pub use stats::{PoolStatus, QueueDepth};
pub use tokens::{LiveToken, TokenError};
pub use triggers::{SealedSecret, TriggerChange};
pub use wakeups::{Topic, Wakeup};
pub use watches::BuildWatch;

/// Handle of the database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// Connections that may go through a pooler in transaction mode.
    pool: sqlx::PgPool,
    /// Pinned connection of the batcher, so that a creation does not wait for readers.
    creating: own::Own,
    /// Pinned connections for the dispatcher's statements that every build needs.
    claiming: own::Own,
    launching: own::Own,
    ending: own::Own,
    /// Limits the deliveries that are stored at the same time: copies of one delivery wait for each other,
    /// and must not occupy every connection.
    delivering: Arc<tokio::sync::Semaphore>,
    /// Direct connections to the database, for what lasts as long as a session.
    direct: sqlx::PgPool,
    wakeups: Arc<wakeups::Wakeups>,
    /// Launches and ends that wait for their group commit.
    launches: Arc<together::Waiting<launch::Launch>>,
    ends: Arc<together::Waiting<finish::End>>,
    lanes: Arc<lanes::Upkeep>,
    counts: Arc<counts::Folding>,
    shares: Arc<queue::Shares>,
    projects: Arc<settings::Projects>,
    limited: Arc<quotas::Limited>,
    /// Limits of projects that have none of their own.
    quotas: Quotas,
}
