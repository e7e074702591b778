//! Removes the objects of contexts that were removed, or whose upload was never completed.

use std::time::Instant;

use futures::{StreamExt, stream};
use uuid::Uuid;

use super::{Retention, SweepError, sweep::rest};
use crate::{blobs::BlobName, domain::ContextId};

/// Number of objects that one batch removes.
const BATCH: u32 = 100;
/// Number of concurrent removals.
const REMOVALS: usize = 8;

impl Retention {
    /// Removes the objects that belong to no context. Returns their number. An object that cannot be removed
    /// now is tried again by the next sweep.
    pub(super) async fn sweep_objects(&self) -> Result<u64, SweepError> {
        let (mut removed, mut failure) = (0, None);
        let mut after = Uuid::nil();
        loop {
            let begun = Instant::now();
            let due = self.store.loose_objects(after, BATCH).await?;
            let Some(last) = due.last() else { break };
            after = last.0;
            let (gone, error) = self.remove_objects(&due).await;
            self.store.forget_objects(&gone).await?;
            removed += gone.len() as u64;
            failure = error.or(failure);
            rest(begun).await;
        }
        failure.map_or(Ok(removed), Err)
    }

    async fn remove_objects(&self, ids: &[ContextId]) -> (Vec<ContextId>, Option<SweepError>) {
        let removals = stream::iter(ids.to_vec())
            .map(|id| async move { (id, self.contexts.remove(&BlobName::context(id)).await) });
        let done: Vec<_> = removals.buffer_unordered(REMOVALS).collect().await;
        let mut gone = Vec::with_capacity(done.len());
        let mut failure = None;
        for (id, removed) in done {
            match removed {
                Ok(()) => gone.push(id),
                Err(error) => failure = Some(error.into()),
            }
        }
        (gone, failure)
    }
}
