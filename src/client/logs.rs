//! Requests to `/api/v1/builds/{id}/logs`, for bytes by offset.

use bytes::Bytes;
use reqwest::{Method, Response, header};

use super::{Client, ClientError};
use crate::domain::BuildId;

/// Part of a log to request.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogQuery {
    /// Number of the attempt, counted from 1; the latest if absent.
    pub attempt: Option<u32>,
    /// Offset of the first byte.
    pub offset: Option<u64>,
    /// Number of bytes, at most.
    pub limit: Option<u64>,
    /// Number of lines at the end, instead of an offset.
    pub tail: Option<u32>,
}

/// A part of an attempt's log.
#[derive(Debug, Clone)]
pub struct LogSlice {
    /// Number of the attempt; 0 if there is none yet.
    pub attempt: u32,
    /// Offset of its first byte.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
    /// `true` if the log is complete.
    pub complete: bool,
    /// Number of bytes stored so far.
    pub total: u64,
}

impl LogSlice {
    /// Returns the offset of the byte after it.
    pub fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

impl Client {
    /// Returns a part of an attempt's log.
    pub async fn log(&self, id: BuildId, wanted: LogQuery) -> Result<LogSlice, ClientError> {
        let mut query = Vec::new();
        let mut add = |name, value: Option<u64>| query.extend(value.map(|value| (name, value.to_string())));
        add("attempt", wanted.attempt.map(u64::from));
        add("offset", wanted.offset);
        add("limit", wanted.limit);
        add("tail", wanted.tail.map(u64::from));
        let request = self.request(Method::GET, &format!("builds/{id}/logs"), &query);
        let response = self.send(request.header(header::ACCEPT, "text/plain")).await?;
        let said = (
            number(&response, "slipway-log-attempt").and_then(|number| u32::try_from(number).ok()),
            number(&response, "slipway-log-offset"),
            number(&response, "slipway-log-total"),
        );
        let complete = text(&response, "slipway-log-complete") == Some("true");
        let (Some(attempt), Some(offset), Some(total)) = said else {
            return Err(ClientError::Foreign {
                status: response.status().as_u16(),
                detail: "a log without its headers".to_owned(),
            });
        };
        let bytes = response
            .bytes()
            .await
            .map_err(|error| ClientError::unreachable(self.server(), &error))?;
        Ok(LogSlice {
            attempt,
            offset,
            bytes,
            complete,
            total,
        })
    }
}

fn text<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn number(response: &Response, name: &str) -> Option<u64> {
    text(response, name)?.parse().ok()
}
