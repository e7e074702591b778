//! Old logs: marked, so that nobody reads them any more, then removed bit by bit, here and in the archive.

use std::time::Instant;

use futures::{StreamExt, stream};

use super::{Retention, SweepError, sweep::rest};
use crate::store::{LogKey, OldLog};

/// Removals from the archive that are under way at once.
const REMOVALS: usize = 8;

impl Retention {
    /// Removes logs whose time is over. They do not outlive their builds.
    pub(super) async fn sweep_logs(&self) -> Result<u64, SweepError> {
        let keep = &self.options;
        let Some(age) = keep.logs.into_iter().chain(keep.builds).min() else {
            return Ok(0);
        };
        let (mut removed, mut failure) = (0, None);
        let mut next = Some(LogKey::first());
        while let Some(after) = next {
            let begun = Instant::now();
            let (old, last) = self.store.old_logs(age, &after).await?;
            next = last;
            if !old.is_empty() {
                let (gone, error) = self.remove_logs(old).await?;
                removed += gone;
                failure = error.or(failure);
            }
            rest(begun).await;
        }
        failure.map_or(Ok(removed), Err)
    }

    async fn remove_logs(&self, old: Vec<OldLog>) -> Result<(u64, Option<SweepError>), SweepError> {
        // One that cannot be removed from the archive is not begun with: it can be read as long as it is there.
        let (old, failure) = match &self.archive {
            Some(_) => (old, None),
            None => {
                let (stuck, old): (Vec<_>, Vec<_>) = old.into_iter().partition(|log| log.archived);
                (old, (!stuck.is_empty()).then_some(SweepError::NoArchive))
            }
        };
        let keys: Vec<LogKey> = old.iter().map(|log| log.key.clone()).collect();
        self.store.mark_logs_removed(&keys).await?;
        loop {
            let begun = Instant::now();
            if !self.store.remove_chunks(&keys).await? {
                break;
            }
            rest(begun).await;
        }
        let (gone, error) = self.remove_archived(old).await;
        let removed = self.store.forget_logs(&gone).await?;
        Ok((removed, error.or(failure)))
    }

    /// Removes what is in the archive of these logs: those of which nothing is left there.
    async fn remove_archived(&self, logs: Vec<OldLog>) -> (Vec<LogKey>, Option<SweepError>) {
        let removals = stream::iter(logs).map(|log| async move {
            let removed = match &self.archive {
                Some(archive) if log.archived => archive.remove(log.key.build, &log.key.attempt).await,
                _ => Ok(()),
            };
            (log.key, removed)
        });
        let done: Vec<_> = removals.buffer_unordered(REMOVALS).collect().await;
        let mut gone = Vec::with_capacity(done.len());
        let mut failure = None;
        for (key, removed) in done {
            match removed {
                Ok(()) => gone.push(key),
                Err(error) => failure = Some(error.into()),
            }
        }
        (gone, failure)
    }
}
