//! Copies a container's log to the store: masked, cut to the limits, each byte once.

use super::batches::Batches;
use crate::{
    dispatcher::{Dispatcher, steps::Steps},
    domain::{
        BuildId,
        log::{Filter, Known, Masker},
    },
    launcher::LauncherError,
    store::{LogEnd, StoreError},
};

pub(super) enum Copied {
    /// The log was copied to its end, or up to the size limit.
    Whole,
    /// The copy ended early, because the process is stopping.
    Stopped,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    #[error("the launcher has no log to give")]
    Launcher(#[from] LauncherError),
    #[error("the log cannot be stored")]
    Store(#[from] StoreError),
    #[error("the log's offset does not fit what is stored")]
    OutOfStep,
}

/// State of the copy of one log.
struct Copy<'a> {
    dispatcher: &'a Dispatcher,
    id: BuildId,
    attempt: &'a str,
    end: LogEnd,
    filter: Filter,
    steps: Steps<'a>,
    /// Bytes that are to be stored next.
    kept: Vec<u8>,
}

impl Dispatcher {
    /// Stores an attempt's log from where the last copy stopped. If the container runs (`live`), a line that
    /// has not ended when the stream does is left for the next copy.
    pub(super) async fn copy_log(
        &self,
        id: BuildId,
        attempt: &str,
        live: bool,
    ) -> Result<Copied, FollowError> {
        let end = self.store().log_end(id, attempt).await?;
        if end.bytes >= self.options().max_log_bytes {
            return Ok(Copied::Whole);
        }
        let masker = self.masker(id).await?;
        let stream = self.launcher().log(id, attempt, end.source.bytes).await?;
        let mut batches = Batches::new(stream);
        let mut copy = Copy {
            dispatcher: self,
            id,
            attempt,
            end,
            filter: Filter::new(masker, self.options().max_log_line, end.source),
            steps: Steps::resume(self, id, attempt, end.bytes, live).await?,
            kept: Vec::new(),
        };
        loop {
            let batch = tokio::select! {
                batch = batches.next() => batch?,
                () = self.0.followers.stop.cancelled() => return Ok(Copied::Stopped),
            };
            match &batch {
                Some(batch) => copy.filter.feed(batch, &mut copy.kept),
                None if live => return Ok(Copied::Whole),
                None => copy.filter.finish(&mut copy.kept),
            }
            if copy.store().await? || batch.is_none() {
                return Ok(Copied::Whole);
            }
        }
    }

    /// Returns the masker for the secrets of a build.
    pub(in crate::dispatcher) async fn masker(&self, id: BuildId) -> Result<Masker, StoreError> {
        let shared = self.options().secrets.clone();
        Ok(match self.store().build(id).await? {
            Some(build) => Masker::of_build(shared, &build.spec),
            None => Masker::new(shared, Known::default()),
        })
    }
}

impl Copy<'_> {
    /// Stores the pending bytes. Returns true if the log has reached its size limit.
    async fn store(&mut self) -> Result<bool, FollowError> {
        if self.kept.is_empty() {
            return Ok(false);
        }
        let mut chunk = std::mem::take(&mut self.kept);
        let max = self.dispatcher.options().max_log_bytes;
        let left = usize::try_from(max - self.end.bytes).unwrap_or(usize::MAX);
        let full = chunk.len() >= left;
        if full {
            chunk.truncate(left);
            chunk.extend_from_slice(
                format!("\n[slipway: the log is longer than {max} bytes; the rest is not kept]\n").as_bytes(),
            );
        }
        let (store, source) = (self.dispatcher.store(), self.filter.mark());
        if !store
            .append_kept(self.id, self.attempt, self.end, &chunk, source)
            .await?
        {
            // Another process wrote to this log: begin again from what is stored.
            return Err(FollowError::OutOfStep);
        }
        self.end = LogEnd {
            bytes: self.end.bytes + chunk.len() as u64,
            source,
        };
        self.steps.stored(&chunk).await?;
        metrics::counter!("slipway_log_bytes_total").increment(chunk.len() as u64);
        chunk.clear();
        self.kept = chunk;
        Ok(full)
    }
}
