//! Follows the log of a build.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;

use super::POLL;
use crate::{
    client::{
        Client, ClientError, LogQuery,
        patience::{self, Patience},
        sse::{Signal, Subscription},
    },
    domain::{BuildId, State},
};

/// Position at which a follower begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStart {
    /// The first attempt; later attempts follow.
    First,
    /// The latest attempt; later attempts follow.
    Latest,
    /// A position within an attempt; later attempts follow if `on` is set.
    At {
        /// Number of the attempt, counted from 1.
        attempt: u32,
        /// Offset of the first byte.
        offset: u64,
        /// `true` if later attempts follow.
        on: bool,
    },
}

/// Item of a build's log.
#[derive(Debug, PartialEq, Eq)]
pub enum LogItem {
    /// An attempt begins; the following pieces belong to it.
    Attempt(u32),
    /// A piece of the attempt's log, which begins where the last one ended.
    Piece {
        /// Number of the attempt, counted from 1.
        attempt: u32,
        /// Offset of its first byte.
        offset: u64,
        /// The container's bytes, unchanged.
        bytes: Bytes,
    },
    /// The service cannot be reached; the follower tries again.
    Lost(String),
    /// The service can be reached again.
    Resumed,
}

/// Follows the log of a build, from attempt to attempt.
pub struct LogFollower {
    client: Client,
    id: BuildId,
    start: LogStart,
    /// Number of the attempt, once the service has named it.
    attempt: Option<u32>,
    /// Offset of the next byte.
    offset: u64,
    /// `true` if the attempt was announced.
    told: bool,
    ended: bool,
    subscription: Option<Subscription>,
    /// Backoff of the requests that replace a subscription.
    patience: Patience,
}

#[derive(Deserialize)]
struct Begun {
    attempt: u32,
}

#[derive(Deserialize)]
struct Piece {
    offset: u64,
    text: String,
}

#[derive(Deserialize)]
struct Ended {
    offset: u64,
    next_attempt: Option<u32>,
    build_state: Option<State>,
}

impl LogFollower {
    /// Creates a follower. Sends nothing yet.
    pub fn new(client: Client, id: BuildId, start: LogStart) -> Self {
        Self::with_patience(client, id, start, patience::LIMIT)
    }

    fn with_patience(client: Client, id: BuildId, start: LogStart, limit: Duration) -> Self {
        let (attempt, offset) = match start {
            LogStart::At { attempt, offset, .. } => (Some(attempt), offset),
            LogStart::First | LogStart::Latest => (None, 0),
        };
        Self {
            subscription: Some(Subscription::new(client.clone(), limit)),
            client,
            id,
            start,
            attempt,
            offset,
            told: false,
            ended: false,
            patience: Patience::new(limit),
        }
    }

    /// Returns the next item; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<LogItem>, ClientError> {
        while !self.ended {
            if let Some(attempt) = self.attempt
                && !std::mem::replace(&mut self.told, true)
            {
                return Ok(Some(LogItem::Attempt(attempt)));
            }
            let item = match self.subscription {
                Some(_) => self.hear().await?,
                None => self.poll().await?,
            };
            if item.is_some() {
                return Ok(item);
            }
        }
        Ok(None)
    }

    async fn hear(&mut self) -> Result<Option<LogItem>, ClientError> {
        let (id, attempt, offset) = (self.id, self.attempt, self.offset);
        let Some(subscription) = &mut self.subscription else {
            return Ok(None);
        };
        let signal = subscription
            .next(|client| {
                let query: Vec<_> = attempt
                    .iter()
                    .map(|number| ("attempt", number.to_string()))
                    .collect();
                let request = client.request(Method::GET, &format!("builds/{id}/logs"), &query);
                if offset == 0 {
                    return request;
                }
                request.header("Last-Event-ID", offset)
            })
            .await?;
        let event = match signal {
            Signal::Event(event) => event,
            Signal::Lost(why) => return Ok(Some(LogItem::Lost(why))),
            Signal::Resumed => return Ok(Some(LogItem::Resumed)),
            Signal::Unsupported => {
                self.subscription = None;
                return Ok(None);
            }
        };
        match event.event.as_str() {
            "attempt" => {
                self.begin(read::<Begun>(&event.data)?.attempt);
                Ok(None)
            }
            "log" => self.piece(read(&event.data)?, event.id.parse().ok()).await,
            "end" => self.end(read(&event.data)?).await,
            _ => Ok(None),
        }
    }

    /// Notes the attempt that the service names, or goes back to the first one.
    fn begin(&mut self, attempt: u32) {
        if self.attempt.is_some() {
            return;
        }
        if self.start == LogStart::First && attempt > 1 {
            self.go_to(1);
        } else {
            self.attempt = Some(attempt);
        }
    }

    fn go_to(&mut self, attempt: u32) {
        self.attempt = Some(attempt);
        self.offset = 0;
        self.told = false;
        if let Some(subscription) = &mut self.subscription {
            subscription.begin_anew();
        }
    }

    /// Takes a piece as it is if it begins where the last one ended and contains no replacement characters;
    /// otherwise reads the same bytes from the log.
    async fn piece(&mut self, piece: Piece, end: Option<u64>) -> Result<Option<LogItem>, ClientError> {
        let end = end.unwrap_or(piece.offset + piece.text.len() as u64);
        if end <= self.offset {
            return Ok(None);
        }
        let exact = end - piece.offset == piece.text.len() as u64 && !piece.text.contains('\u{fffd}');
        if piece.offset == self.offset && exact {
            return Ok(Some(self.advance(piece.text.into())));
        }
        self.read_to(end).await
    }

    fn advance(&mut self, bytes: Bytes) -> LogItem {
        let offset = self.offset;
        self.offset += bytes.len() as u64;
        LogItem::Piece {
            attempt: self.attempt.unwrap_or(1),
            offset,
            bytes,
        }
    }

    /// Reads the bytes from the next one up to `end`. If the answer is shorter, later pieces have the rest;
    /// bytes that are no longer stored are skipped.
    async fn read_to(&mut self, end: u64) -> Result<Option<LogItem>, ClientError> {
        let wanted = LogQuery {
            attempt: self.attempt,
            offset: Some(self.offset),
            limit: Some((end - self.offset).min(4 << 20)),
            tail: None,
        };
        loop {
            match self.client.log(self.id, wanted).await {
                Ok(slice) => {
                    self.patience.progressed();
                    if slice.bytes.is_empty() {
                        self.offset = end;
                        return Ok(None);
                    }
                    return Ok(Some(self.advance(slice.bytes)));
                }
                Err(error) => tokio::time::sleep(self.patience.failed(error)?).await,
            }
        }
    }

    async fn end(&mut self, end: Ended) -> Result<Option<LogItem>, ClientError> {
        if end.offset > self.offset {
            // Bytes are missing: read them, and then receive the end again.
            if let Some(subscription) = &mut self.subscription {
                subscription.begin_anew();
            }
            return self.read_to(end.offset).await;
        }
        match end.next_attempt {
            Some(next) if self.goes_on() => self.go_to(next),
            None if self.goes_on() && end.build_state.is_some_and(|state| !state.is_terminal()) => {
                // The log may go on, but this stream has ended.
                if let Some(subscription) = &mut self.subscription {
                    subscription.begin_anew();
                }
                tokio::time::sleep(POLL).await;
            }
            _ => self.ended = true,
        }
        Ok(None)
    }

    fn goes_on(&self) -> bool {
        !matches!(self.start, LogStart::At { on: false, .. })
    }

    /// Requests the log once, and reports a lost or restored service.
    async fn poll(&mut self) -> Result<Option<LogItem>, ClientError> {
        match self.ask().await {
            Ok(item) => {
                let was_lost = self.patience.is_lost();
                self.patience.progressed();
                Ok(item.or(was_lost.then_some(LogItem::Resumed)))
            }
            Err(error) => {
                let first = !self.patience.is_lost();
                let why = error.to_string();
                let wait = self.patience.failed(error)?;
                tokio::time::sleep(wait).await;
                Ok(first.then_some(LogItem::Lost(why)))
            }
        }
    }

    async fn ask(&mut self) -> Result<Option<LogItem>, ClientError> {
        let wanted = LogQuery {
            attempt: self.attempt,
            offset: Some(self.offset),
            ..LogQuery::default()
        };
        let slice = self.client.log(self.id, wanted).await?;
        if self.attempt.is_none() && slice.attempt > 0 {
            self.begin(slice.attempt);
            return Ok(None);
        }
        if !slice.bytes.is_empty() {
            return Ok(Some(self.advance(slice.bytes)));
        }
        if slice.complete {
            let build = self.client.build(self.id).await?.value;
            let after = build
                .attempts
                .iter()
                .map(|attempt| attempt.number)
                .find(|number| Some(*number) > self.attempt);
            match after {
                _ if !self.goes_on() => self.ended = true,
                Some(next) => self.go_to(next),
                None => self.ended = build.state.is_terminal(),
            }
        }
        if !self.ended {
            tokio::time::sleep(POLL).await;
        }
        Ok(None)
    }
}

fn read<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, ClientError> {
    serde_json::from_str(data).map_err(|error| ClientError::Foreign {
        status: 200,
        detail: format!("an event of the log cannot be read: {error}"),
    })
}

#[cfg(test)]
mod tests;
