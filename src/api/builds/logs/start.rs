//! What of a log a request asks for, and where that begins.

use http::HeaderMap;

use crate::{
    api::{
        ApiState,
        builds::read::found,
        problem::{Code, Problem},
        query::Query,
        streams,
    },
    domain::BuildId,
};

/// The most that one answer holds.
const MAX_BYTES: u64 = 4 << 20;
/// What an answer holds unless the client says otherwise.
const DEFAULT_BYTES: u64 = 1 << 20;
/// The most lines that may be counted from the end.
const MAX_LINES: u64 = 100_000;

/// What a request asks for.
pub(super) struct Wanted {
    /// The attempt that it names.
    pub attempt: Option<u32>,
    begin: Begin,
    pub how: How,
}

enum Begin {
    At(u64),
    Lines(u32),
}

pub(super) enum How {
    /// One stretch, of so many bytes at most.
    Once { limit: u32 },
    /// Followed, as text.
    Text,
    /// Followed, as Server-Sent Events.
    Events,
}

impl Wanted {
    /// Reads the parameters; a client that comes back goes on after its last event, whatever the address says.
    pub(super) fn read(headers: &HeaderMap, mut query: Query) -> Result<Self, Problem> {
        // Numbers are the database's integers: what lies above is beyond every log.
        let attempt = query.number("attempt", 1, i32::MAX as u64, 0)?;
        let offset = optional(&mut query, "offset", i64::MAX as u64)?;
        let lines = optional(&mut query, "tail", MAX_LINES)?;
        let limit = query.number("limit", 1, MAX_BYTES, 0)?;
        let follow = query.one::<bool>("follow")?.unwrap_or(false);
        query.finish()?;
        let how = match (streams::wants_events(headers), follow) {
            (true, _) => How::Events,
            (false, true) => How::Text,
            (false, false) => How::Once {
                limit: narrow(if limit == 0 { DEFAULT_BYTES } else { limit }),
            },
        };
        if limit > 0 && !matches!(how, How::Once { .. }) {
            return Err(Problem::field(
                "limit",
                "cannot be given for a log that is followed",
            ));
        }
        let begin = match (offset, lines) {
            (Some(_), Some(_)) => return Err(Problem::field("tail", "cannot be given together with offset")),
            (None, Some(lines)) => Begin::Lines(narrow(lines)),
            (offset, None) => Begin::At(offset.unwrap_or(0)),
        };
        Ok(Self {
            attempt: (attempt > 0).then(|| narrow(attempt)),
            begin: match how {
                How::Events => last_seen(headers)?.map_or(begin, Begin::At),
                How::Once { .. } | How::Text => begin,
            },
            how,
        })
    }

    /// The attempt to begin with: the one that was named, else the latest. `None` while the build has none. 404 if
    /// there is no such build or attempt.
    pub(super) async fn attempt(&self, state: &ApiState, id: BuildId) -> Result<Option<u32>, Problem> {
        let attempts = state.store.attempts(id).await?;
        match self.attempt {
            Some(number) if attempts.iter().any(|one| one.number == number) => Ok(Some(number)),
            Some(_) => Err(Problem::new(Code::NotFound)),
            None => {
                if attempts.is_empty() {
                    found(state, id).await?;
                }
                Ok(attempts.last().map(|last| last.number))
            }
        }
    }

    /// The byte to begin at in that attempt's log, which can be read now.
    pub(super) async fn offset(&self, state: &ApiState, id: BuildId, attempt: u32) -> Result<u64, Problem> {
        let lines = match self.begin {
            Begin::At(offset) => {
                if !matches!(self.how, How::Once { .. }) {
                    state.logs.from(id, attempt, offset, 0).await?;
                }
                return Ok(offset);
            }
            Begin::Lines(lines) => lines,
        };
        let bytes = match self.how {
            How::Once { limit } => u64::from(limit),
            How::Text | How::Events => DEFAULT_BYTES,
        };
        let begin = state.logs.tail(id, attempt, lines, bytes).await?;
        begin.ok_or_else(|| Problem::new(Code::NotFound))
    }

    /// The byte to begin at in a log that does not exist yet.
    pub(super) fn offset_of_none(&self) -> u64 {
        match self.begin {
            Begin::At(offset) => offset,
            Begin::Lines(_) => 0,
        }
    }
}

fn optional(query: &mut Query, name: &str, max: u64) -> Result<Option<u64>, Problem> {
    // One more than the maximum cannot be given.
    let none = max + 1;
    Ok(Some(query.number(name, 0, max, none)?).filter(|number| *number != none))
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).expect("the bounds of parameters are below 2³²")
}

fn last_seen(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(id) = streams::last_event_id(headers)? else {
        return Ok(None);
    };
    id.parse()
        .ok()
        .filter(|offset| i64::try_from(*offset).is_ok())
        .map(Some)
        .ok_or_else(|| Problem::field("last-event-id", "must be the id of an event of this stream"))
}
