//! One reader of the table for all who follow the same log.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::tail::{Found, Segment, Tail};
use crate::{
    api::log_reader::{LogError, LogReader},
    domain::BuildId,
    store::LogState,
};

/// The most that is read at once, and that one piece holds.
const PIECE: u32 = 64 * 1024;
/// What comes within this time of a piece is one more piece.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a log that was not said to be whole may still grow when its attempt is over: its last bytes are on their
/// way, or were lost with the pod.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait before a database that does not answer is asked again.
const OUTAGE: Duration = Duration::from_millis(500);
/// Pieces from before the window that are kept for those who catch up side by side.
const EARLIER: usize = 4;

type Key = (BuildId, u32);

/// The logs that are being followed.
#[derive(Clone, Default)]
pub(in crate::api) struct Hubs(Arc<Mutex<HashMap<Key, Weak<Hub>>>>);

impl Hubs {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Weak<Hub>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows an attempt's log from a byte on.
    pub(super) fn follow(&self, logs: &LogReader, id: BuildId, attempt: u32, at: u64) -> Follower {
        let mut hubs = self.lock();
        let there = hubs.get(&(id, attempt)).and_then(Weak::upgrade);
        let hub = there.unwrap_or_else(|| {
            let hub = Hub::start(self.clone(), logs.clone(), (id, attempt));
            hubs.insert((id, attempt), Arc::downgrade(&hub));
            hub
        });
        drop(hubs);
        Follower {
            tail: hub.tail.subscribe(),
            hub,
            at,
        }
    }
}

/// One log. Ends when its last follower goes.
struct Hub {
    key: Key,
    hubs: Hubs,
    logs: LogReader,
    tail: watch::Sender<Tail>,
    earlier: tokio::sync::Mutex<VecDeque<Segment>>,
    _reader: DropGuard,
}

impl Drop for Hub {
    fn drop(&mut self) {
        let mut hubs = self.hubs.lock();
        // Another one may have taken its place.
        if hubs.get(&self.key).is_some_and(|hub| hub.strong_count() == 0) {
            hubs.remove(&self.key);
        }
    }
}

impl Hub {
    fn start(hubs: Hubs, logs: LogReader, key: Key) -> Arc<Self> {
        let stop = CancellationToken::new();
        let hub = Arc::new(Self {
            key,
            hubs,
            logs,
            tail: watch::Sender::default(),
            earlier: tokio::sync::Mutex::default(),
            _reader: stop.clone().drop_guard(),
        });
        let reader = Reader {
            hub: Arc::downgrade(&hub),
            logs: hub.logs.clone(),
            key,
            grown: Instant::now(),
        };
        tokio::spawn(async move { stop.run_until_cancelled(reader.run()).await });
        hub
    }

    /// What lies before the window, read once for those who come by together.
    async fn earlier(&self, at: u64) -> Result<Option<Segment>, LogError> {
        let mut kept = self.earlier.lock().await;
        if let Some(segment) = kept.iter().find(|segment| segment.offset == at) {
            return Ok(Some(segment.clone()));
        }
        let (id, attempt) = self.key;
        let Some((state, bytes)) = self.logs.from(id, attempt, at, PIECE).await? else {
            return Ok(None);
        };
        let more = at + (bytes.len() as u64) < state.total;
        let segment = Segment::new(at, bytes, more);
        kept.push_back(segment.clone());
        if kept.len() > EARLIER {
            kept.pop_front();
        }
        Ok(Some(segment))
    }
}

/// The one who reads the table.
struct Reader {
    hub: Weak<Hub>,
    logs: LogReader,
    key: Key,
    /// When the log was last seen to have grown.
    grown: Instant,
}

impl Reader {
    async fn run(mut self) {
        let mut changes = self.logs.store().watch_log(self.key.0);
        let mut at = None;
        loop {
            match self.read(at).await {
                Ok(Some((segment, state))) => {
                    let behind = segment.end() < state.total && !segment.bytes.is_empty();
                    at = Some(segment.end());
                    let grew = !segment.bytes.is_empty();
                    if self.show(segment, state) {
                        return;
                    }
                    if behind {
                        continue;
                    }
                    if grew {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                // The build was removed, or its log.
                Ok(None) | Err(LogError::Removed) => return self.publish(|tail| tail.over = true),
                Err(error) => {
                    tracing::debug!(build.id = %self.key.0, error = &error as &dyn std::error::Error, "a log cannot be read; it is tried again");
                    tokio::time::sleep(OUTAGE).await;
                    continue;
                }
            }
            changes.changed().await;
        }
    }

    /// What is new since `at`; the first time, the end of what there is.
    async fn read(&self, at: Option<u64>) -> Result<Option<(Segment, LogState)>, LogError> {
        let (id, attempt) = self.key;
        let at = match at {
            Some(at) => at,
            None => match self.logs.from(id, attempt, 0, 0).await? {
                Some((state, _)) => Tail::begin(state.total),
                None => return Ok(None),
            },
        };
        let read = self.logs.from(id, attempt, at, PIECE).await?;
        Ok(read.map(|(state, bytes)| {
            let more = !state.complete || at + (bytes.len() as u64) < state.total;
            (Segment::new(at, bytes, more), state)
        }))
    }

    /// Shows it to the followers; whether that was the end.
    fn show(&mut self, segment: Segment, state: LogState) -> bool {
        let now = Instant::now();
        if !segment.bytes.is_empty() {
            self.grown = now;
        }
        let (_, attempt) = self.key;
        let ended = state.build.is_terminal() || state.latest > attempt;
        let whole = state.complete || now.duration_since(self.grown) >= GRACE;
        let over = ended && whole && (segment.end() >= state.total || segment.bytes.is_empty());
        self.publish(|tail| {
            tail.push(segment);
            tail.seen = Some(state);
            tail.over = over;
        });
        over
    }

    fn publish(&self, change: impl FnOnce(&mut Tail)) {
        if let Some(hub) = self.hub.upgrade() {
            hub.tail.send_modify(change);
        }
    }
}

/// Reads one log from a byte on, at its own pace.
pub(super) struct Follower {
    hub: Arc<Hub>,
    tail: watch::Receiver<Tail>,
    at: u64,
}

/// What comes next of a log.
pub(super) enum Next {
    /// This piece.
    Piece(Segment),
    /// Nothing any more.
    End {
        /// Where the log ends.
        offset: u64,
        /// As it was seen last; `None` if the build was removed before that.
        seen: Option<LogState>,
    },
}

impl Follower {
    /// Waits for the next piece, or for the end.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            let found = {
                let tail = self.tail.borrow_and_update();
                match tail.find(self.at) {
                    Found::UpToDate if tail.over => {
                        return Next::End {
                            offset: tail.end,
                            seen: tail.seen,
                        };
                    }
                    // Before the first look nothing is known of where the window begins.
                    found => found,
                }
            };
            let piece = match found {
                Found::Piece(piece) => Some(piece),
                Found::Behind => self.catch_up().await,
                Found::UpToDate => {
                    // The sender lives in the hub.
                    let _ = self.tail.changed().await;
                    None
                }
            };
            if let Some(piece) = piece.filter(|piece| !piece.bytes.is_empty()) {
                self.at = piece.end();
                return Next::Piece(piece);
            }
        }
    }

    async fn catch_up(&mut self) -> Option<Segment> {
        match self.hub.earlier(self.at).await {
            Ok(Some(piece)) => Some(piece),
            // Removed meanwhile: what the window holds is all there is.
            Ok(None) => {
                self.at = u64::MAX;
                None
            }
            Err(_) => {
                tokio::time::sleep(OUTAGE).await;
                None
            }
        }
    }
}
