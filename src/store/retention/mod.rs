//! What is removed after its time, batch by batch.
//!
//! Every batch reads at most [`BATCH`] entries of a primary key, in the order of ids, which is that of age, and is a
//! short transaction of its own. What is old is told by the database's clock. Killing the process between two batches,
//! or within one, leaves nothing that a later sweep does not find.

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

/// Entries that one batch reads at most. The statements have it as a literal, which the planner knows.
const BATCH: i64 = 500;

/// The planner is told to follow the indexes whatever its statistics say, and nobody is waited for for long.
pub(super) const BEGIN: &str = "BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;
    SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off;
    SET LOCAL lock_timeout = '5s'";

/// What came of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch<C> {
    /// Rows of the kind that was asked for; what belongs to them is not counted.
    pub removed: u64,
    /// Where the next batch begins; `None` when there is none.
    pub next: Option<C>,
}

impl Store {
    async fn begin_batch(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        begin::begin_with(&self.pool, BEGIN).await
    }
}
