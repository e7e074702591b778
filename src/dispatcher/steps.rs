//! Derives the steps and the phase of an attempt from its log as it is stored.

use super::Dispatcher;
use crate::{
    domain::{BuildId, Phase, kaniko_log::Progress},
    store::StoreError,
};

/// Number of bytes of a stored log that one query reads.
const PIECE: u32 = 1 << 20;

/// Follows the stored log of an attempt. Recording the same step or phase twice has no further effect.
pub(super) struct Steps<'a> {
    dispatcher: &'a Dispatcher,
    id: BuildId,
    attempt: &'a str,
    /// `true` if the log is read while it is written, so that the current time shows how long a step takes.
    live: bool,
    progress: Progress,
}

impl<'a> Steps<'a> {
    /// Resumes a log of which `stored` bytes are stored. It reads them again, so that the count of steps
    /// continues where it stopped, and no step is missed that was stored but not recorded.
    pub(super) async fn resume(
        dispatcher: &'a Dispatcher,
        id: BuildId,
        attempt: &'a str,
        stored: u64,
        live: bool,
    ) -> Result<Self, StoreError> {
        let mut steps = Self {
            dispatcher,
            id,
            attempt,
            live,
            progress: Progress::default(),
        };
        let mut at = 0;
        while at < stored {
            let piece = dispatcher.store().stored_log(id, attempt, at, PIECE).await?;
            if piece.is_empty() {
                break;
            }
            at += piece.len() as u64;
            steps.stored(&piece).await?;
        }
        Ok(steps)
    }

    /// Processes bytes of the log that were stored.
    pub(super) async fn stored(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let (id, attempt, store) = (self.id, self.attempt, self.dispatcher.store());
        let before = self.progress.phase();
        self.progress.feed(bytes);
        let begun = self.progress.take_steps();
        if !begun.is_empty() {
            store.begin_steps(id, attempt, &begun, self.live).await?;
        }
        let phase = self.progress.phase();
        if phase != before {
            store.reach_phase(id, attempt, phase).await?;
            if phase == Phase::Pushing && self.live {
                store.end_steps(id, attempt).await?;
            }
            self.dispatcher.nudge(id);
        }
        Ok(())
    }
}
