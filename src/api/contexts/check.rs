//! Looks into an archive while it is received.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    api::problem::{Code, Problem},
    domain::archive::{ArchiveError, Limits, Summary, validate},
};

/// Pieces that may wait to be looked at.
const WAITING: usize = 4;

/// The check of one archive, on a thread of its own: unpacking takes time that other requests need.
pub(super) struct Check {
    pieces: mpsc::Sender<Bytes>,
    verdict: JoinHandle<Result<Summary, ArchiveError>>,
}

impl Check {
    pub(super) fn begin(limits: Limits) -> Self {
        let (pieces, waiting) = mpsc::channel(WAITING);
        let reader = Pieces {
            waiting,
            current: Bytes::new(),
        };
        let verdict = tokio::task::spawn_blocking(move || validate(reader, &limits));
        Self { pieces, verdict }
    }

    /// Shows the next piece; false once the verdict is known, so that no more need be received.
    pub(super) async fn show(&self, piece: Bytes) -> bool {
        self.pieces.send(piece).await.is_ok()
    }

    /// The verdict, now that everything was shown.
    pub(super) async fn verdict(self) -> Result<(), Problem> {
        drop(self.pieces);
        match self.verdict.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(ArchiveError::Invalid(reason))) => Err(invalid(format!("the archive {reason}"))),
            // Pieces come from memory: what fails is the decoding of what they say.
            Ok(Err(ArchiveError::Io(error))) => Err(invalid(format!("the archive cannot be read: {error}"))),
            Err(error) => Err(Problem::new(Code::Internal).cause(error)),
        }
    }
}

/// A context that no build could use.
pub(super) fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Code::ContextInvalid).detail(detail)
}

/// Pieces one after the other, as one stream of bytes. Must be read outside the runtime's own threads.
struct Pieces {
    waiting: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.waiting.blocking_recv() {
                Some(piece) => self.current = piece,
                None => return Ok(0),
            }
        }
        let length = into.len().min(self.current.len());
        self.current.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}
