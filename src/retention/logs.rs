//! Removes old logs: marks them, so that they cannot be read any more, and then removes them in batches from
//! the database and the archive.

use std::time::Instant;

use futures::{StreamExt, stream};

use super::{Retention, SweepError, sweep::rest};
use crate::store::{LogKey, OldLog};

/// Number of concurrent removals from the archive.
const REMOVALS: usize = 8;

impl Retention {
    /// Removes logs whose retention time is over. Returns their number. Logs do not outlive their builds.
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
        // An archived log is not marked if no archive is configured, because it could not be removed
        // completely.
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

    /// Removes these logs from the archive. Returns those of which nothing is left there, and the last error.
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
