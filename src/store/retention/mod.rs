//! Retention: removal of rows after their retention time, batch by batch.
//!
//! Every batch reads at most [`BATCH`] entries of a primary key in the order of ids, which is the order of
//! age, in a short transaction of its own. The database's clock decides what is old. If the process is killed
//! between two batches, or within one, a later sweep finds everything that is left.

mod archive;
mod builds;
mod contexts;
mod deliveries;
mod logs;
mod small;
mod told;

use sqlx::{Postgres, Transaction};

pub use self::{
    logs::{LogKey, OldLog},
    small::EventKey,
};
use super::{Store, begin};

/// Upper bound of entries that one batch reads. The statements contain it as a literal, so that the planner
/// knows it.
const BATCH: i64 = 500;

/// Makes the planner use the indexes whatever its statistics say, and limits the wait for locks.
pub(super) const BEGIN: &str = "BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;
    SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off;
    SET LOCAL lock_timeout = '5s'";

/// Result of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch<C> {
    /// Number of removed rows of the requested kind, without the rows that belong to them.
    pub removed: u64,
    /// Start of the next batch; `None` if there is none.
    pub next: Option<C>,
}

impl Store {
    async fn begin_batch(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        begin::begin_with(&self.pool, BEGIN).await
    }
}
