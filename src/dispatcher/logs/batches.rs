//! Joins pieces of a log into batches that are written at once.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use tokio::time::Instant;

use crate::launcher::LauncherError;

/// Size in bytes at which a batch is written without further delay.
const BATCH_BYTES: usize = 64 * 1024;
/// Delay of the first bytes after a silence, in which others may join them. It is short, so that readers who
/// follow the log see them soon.
const LEAD: Duration = Duration::from_millis(20);
/// Shortest time between two batches that are not full: a build that prints continuously makes few chunks.
const PAUSE: Duration = Duration::from_millis(150);

/// Joins the pieces of a stream until a batch is large enough or its deadline has passed.
pub(super) struct Batches {
    stream: BoxStream<'static, Result<Bytes, LauncherError>>,
    broken: Option<LauncherError>,
    over: bool,
    /// Time at which the last batch was returned.
    last: Option<Instant>,
}

impl Batches {
    pub(super) fn new(stream: BoxStream<'static, Result<Bytes, LauncherError>>) -> Self {
        Self {
            stream,
            broken: None,
            over: false,
            last: None,
        }
    }

    /// Returns the next batch; `None` at the log's end. Bytes that were received before an error are returned
    /// before it.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, LauncherError> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let mut batch = Vec::new();
        if self.over {
            return Ok(None);
        }
        let mut deadline = None;
        while batch.len() < BATCH_BYTES {
            let piece = match deadline {
                None => self.stream.next().await,
                Some(deadline) => match tokio::time::timeout_at(deadline, self.stream.next()).await {
                    Ok(piece) => piece,
                    Err(_) => break,
                },
            };
            match piece {
                Some(Ok(piece)) => {
                    batch.extend_from_slice(&piece);
                    deadline.get_or_insert_with(|| self.deadline());
                }
                Some(Err(error)) if batch.is_empty() => return Err(error),
                Some(Err(error)) => {
                    self.broken = Some(error);
                    break;
                }
                None => {
                    self.over = true;
                    break;
                }
            }
        }
        self.last = Some(Instant::now());
        Ok((!batch.is_empty()).then_some(batch))
    }

    /// Returns the latest time at which bytes that arrive now are written.
    fn deadline(&self) -> Instant {
        let soon = Instant::now() + LEAD;
        self.last.map_or(soon, |last| soon.max(last + PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use tokio::sync::mpsc;

    use super::*;

    fn batches() -> (mpsc::UnboundedSender<Bytes>, Batches) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let stream = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|piece| (Ok(piece), receiver))
        });
        (sender, Batches::new(stream.boxed()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_after_a_silence_is_written_soon_and_many_lines_together() {
        let (sender, mut batches) = batches();
        tokio::spawn(async move {
            for n in 0..200 {
                let _ = sender.send(Bytes::from_static(b"line\n"));
                tokio::time::sleep(Duration::from_millis(if n == 0 { 1000 } else { 10 })).await;
            }
        });
        let begun = Instant::now();
        let (mut counts, mut bytes) = (Vec::new(), 0);
        while let Some(batch) = batches.next().await.expect("it does not break") {
            counts.push((begun.elapsed().as_millis(), batch.len() / 5));
            bytes += batch.len();
        }
        assert_eq!(bytes, 1000);
        assert_eq!(counts[0], (20, 1), "the first line alone, and at once");
        assert!(counts[1].0 <= 1021, "so after a silence: {counts:?}");
        assert!(
            counts.len() < 20,
            "then few, for two seconds of lines: {counts:?}"
        );
    }

    #[tokio::test]
    async fn what_came_before_a_break_is_handed_out_first() {
        let broken = || Err(LauncherError::Unavailable("gone".to_owned()));
        let mut batches = Batches::new(stream::iter([Ok(Bytes::from_static(b"a")), broken()]).boxed());
        assert_eq!(batches.next().await.expect("a batch"), Some(b"a".to_vec()));
        batches.next().await.expect_err("then the break");
    }
}
