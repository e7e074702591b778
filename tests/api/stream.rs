//! Answers that go on, read as they come.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures::StreamExt;
use http::{Method, StatusCode};
use serde_json::Value;
use tower::ServiceExt;

use crate::api::harness::{Harness, request};

/// Long enough for every machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The body of an answer that goes on.
pub struct Stream {
    body: BodyDataStream,
    buffer: Vec<u8>,
}

/// A Server-Sent Event.
#[derive(Debug)]
pub struct Event {
    pub name: String,
    pub id: Option<String>,
    pub data: Value,
}

impl Harness {
    /// Follows with these headers.
    pub async fn follow(&self, path: &str, headers: &[(&str, &str)]) -> Stream {
        let mut asked = request(Method::GET, path);
        for (name, value) in headers {
            asked = asked.header(*name, *value);
        }
        let asked = asked.body(Body::empty()).expect("the request is valid");
        let answer = self.app.clone().oneshot(asked).await.expect("it answers");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert_eq!(answer.headers()["x-accel-buffering"], "no");
        Stream {
            body: answer.into_body().into_data_stream(),
            buffer: Vec::new(),
        }
    }

    /// Follows as Server-Sent Events.
    pub async fn events(&self, path: &str, last: Option<u64>) -> Stream {
        let last = last.map(|id| id.to_string());
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(last.as_deref().map(|id| ("last-event-id", id)));
        self.follow(path, &headers).await
    }
}

impl Stream {
    async fn more(&mut self) -> bool {
        let piece = tokio::time::timeout(PATIENCE, self.body.next())
            .await
            .expect("something comes");
        let Some(piece) = piece else { return false };
        self.buffer
            .extend_from_slice(&piece.expect("the stream is whole"));
        true
    }

    /// The next event; `None` at the end. Comments are skipped.
    pub async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let frame: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let frame = String::from_utf8(frame).expect("events are UTF-8");
                if !frame.starts_with(':') {
                    return Some(read(&frame));
                }
            } else if !self.more().await {
                assert!(self.buffer.is_empty(), "half an event");
                return None;
            }
        }
    }

    /// The rest, to its end.
    pub async fn rest(mut self) -> Vec<u8> {
        while self.more().await {}
        self.buffer
    }

    /// Reads until this was seen; what came up to there.
    pub async fn until(&mut self, text: &str) -> String {
        loop {
            let seen = String::from_utf8_lossy(&self.buffer).into_owned();
            if seen.contains(text) {
                self.buffer.clear();
                return seen;
            }
            assert!(self.more().await, "{text:?} did not come: {seen:?}");
        }
    }

    /// The events up to the end, which is the last: the log's text, and the end's data.
    pub async fn log(mut self) -> (String, Value) {
        let mut text = String::new();
        loop {
            let event = self.event().await.expect("an end is told");
            match event.name.as_str() {
                "log" => text.push_str(event.data["text"].as_str().expect("it is a text")),
                "end" => {
                    assert!(self.event().await.is_none(), "the end is the last event");
                    return (text, event.data);
                }
                _ => {}
            }
        }
    }
}

fn read(frame: &str) -> Event {
    let field = |name: &str| {
        frame
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .map(str::to_owned)
    };
    Event {
        name: field("event").expect("it has a name"),
        id: field("id"),
        data: serde_json::from_str(&field("data").expect("it has data")).expect("the data is JSON"),
    }
}
