//! Answers that go on: plain text and Server-Sent Events, a bounded number of them, which end when the service stops, or
//! when the token that they were asked for with opens nothing any more.

use std::{future::Future, sync::Arc, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    auth::Session,
    extract::single,
    problem::{Code, Problem},
};

/// After so much silence a client is told that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A comment, which clients skip.
const BEAT: Bytes = Bytes::from_static(b": alive\n\n");

const EVENT_STREAM: &str = "text/event-stream";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How many streams there may be, and when they end.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    free: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Streams {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(limit)),
            stop: CancellationToken::new(),
        }
    }

    /// The same, ended by `stop`.
    pub(super) fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Takes one of the places; `kind` is for the metrics. Whoever asked keeps it as long as `session` lives.
    pub(super) fn open(&self, kind: &'static str, session: Session) -> Result<Place, Problem> {
        let permit = Arc::clone(&self.free).try_acquire_owned().map_err(|_| {
            Problem::new(Code::Overloaded).detail("as many streams are open as the service serves at once")
        })?;
        metrics::gauge!("slipway_streams", "kind" => kind).increment(1.0);
        Ok(Place {
            kind,
            stop: self.stop.clone(),
            session,
            _permit: permit,
        })
    }
}

/// The place of one stream, free again when this is dropped.
pub(super) struct Place {
    kind: &'static str,
    stop: CancellationToken,
    session: Session,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("slipway_streams", "kind" => self.kind).decrement(1.0);
    }
}

impl Place {
    /// Whether the service stops.
    pub(super) fn has_to_end(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Resolves when the service stops: `Ok`; refuses when the caller's token does not open anything any more.
    pub(super) async fn ends(&self) -> Result<(), Problem> {
        tokio::select! {
            () = self.stop.cancelled() => Ok(()),
            () = self.session.ended() => Err(Problem::new(Code::Unauthorized)),
        }
    }

    /// Answers with Server-Sent Events as `write` makes them, with heartbeats while it makes none.
    pub(super) fn events<W, F>(self, write: W) -> Response
    where
        W: FnOnce(Out) -> F,
        F: Future<Output = Result<(), Gone>> + Send + 'static,
    {
        let frames = with_heartbeats(self.run(write));
        respond(EVENT_STREAM, Body::from_stream(frames.map(Ok::<_, Gone>)))
    }

    /// Answers with text as `write` makes it.
    pub(super) fn text<W, F>(self, write: W) -> Response
    where
        W: FnOnce(Out) -> F,
        F: Future<Output = Result<(), Gone>> + Send + 'static,
    {
        let pieces = self.run(write);
        respond(
            "text/plain; charset=utf-8",
            Body::from_stream(pieces.map(Ok::<_, Gone>)),
        )
    }

    /// What `write` makes, one piece ahead of the client, until either of them, or the service, ends.
    fn run<W, F>(self, write: W) -> impl Stream<Item = Bytes> + Send + Unpin + 'static
    where
        W: FnOnce(Out) -> F,
        F: Future<Output = Result<(), Gone>> + Send + 'static,
    {
        let (sender, pieces) = mpsc::channel(1);
        let writing = write(Out(sender.clone()));
        tokio::spawn(async move {
            tokio::select! {
                // Who is gone needs no telling.
                _ = writing => {}
                () = sender.closed() => {}
                _ = self.ends() => {}
            }
        });
        tokio_stream::wrappers::ReceiverStream::new(pieces)
    }
}

/// Where a stream's pieces go.
pub(super) struct Out(mpsc::Sender<Bytes>);

/// The client is gone, or the service stops.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the stream any more")]
pub(super) struct Gone;

impl Out {
    /// Sends a piece, as soon as the client has taken the one before.
    pub(super) async fn send(&self, piece: Bytes) -> Result<(), Gone> {
        self.0.send(piece).await.map_err(|_| Gone)
    }
}

/// One Server-Sent Event. Its data is JSON, so it has one line.
pub(super) fn event(name: &str, id: Option<&str>, data: &impl Serialize) -> Bytes {
    let mut frame = format!("event: {name}\n").into_bytes();
    if let Some(id) = id {
        frame.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    frame.extend_from_slice(b"data: ");
    serde_json::to_writer(&mut frame, data).expect("texts and numbers can be written as JSON");
    frame.extend_from_slice(b"\n\n");
    frame.into()
}

/// Whether the client asks for Server-Sent Events.
pub(super) fn wants_events(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|accept| accept.to_str().ok())
        .flat_map(|accept| accept.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|kind| kind.trim().eq_ignore_ascii_case(EVENT_STREAM))
}

/// The id of the last event that a client has, if it says.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    Ok(single(headers, &LAST_EVENT_ID)?.filter(|id| !id.is_empty()))
}

fn with_heartbeats(
    frames: impl Stream<Item = Bytes> + Send + Unpin + 'static,
) -> impl Stream<Item = Bytes> + Send + 'static {
    stream::unfold(frames, |mut frames| async move {
        match tokio::time::timeout(HEARTBEAT, frames.next()).await {
            Ok(frame) => frame.map(|frame| (frame, frames)),
            Err(_) => Some((BEAT, frames)),
        }
    })
}

fn respond(kind: &'static str, body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Proxies that would wait for more, or for the end, pass on what they have.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    (headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn read(response: Response) -> String {
        let whole = response.into_body().collect().await.expect("it is whole");
        String::from_utf8(whole.to_bytes().to_vec()).expect("it is text")
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_with_comments() {
        let place = Streams::new(1)
            .open("test", Session::default())
            .expect("it is free");
        let answer = place.events(|out| async move {
            tokio::time::sleep(HEARTBEAT * 5 / 2).await;
            out.send(event("log", Some("7"), &serde_json::json!({"text": "a\nb"})))
                .await
        });
        assert_eq!(answer.headers()["x-accel-buffering"], "no");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(
            read(answer).await,
            ": alive\n\n: alive\n\nevent: log\nid: 7\ndata: {\"text\":\"a\\nb\"}\n\n"
        );
    }

    #[tokio::test]
    async fn a_stream_too_many_is_put_off_and_its_place_is_free_again_at_its_end() {
        let streams = Streams::new(1);
        let place = streams.open("test", Session::default()).expect("it is free");
        let refused = streams
            .open("test", Session::default())
            .err()
            .expect("there is one place");
        assert_eq!(refused.code(), Code::Overloaded);
        let answer = place.text(|out| async move { out.send(Bytes::from_static(b"text")).await });
        assert_eq!(read(answer).await, "text");
        tokio::time::timeout(Duration::from_secs(5), async {
            while streams.open("test", Session::default()).is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the place is free again");
    }

    #[tokio::test]
    async fn a_stop_ends_streams_and_a_client_that_goes_ends_its_own() {
        let stop = CancellationToken::new();
        let streams = Streams::new(2).until(stop.clone());
        let endless = || async { std::future::pending::<Result<(), Gone>>().await };
        let stopped = streams
            .open("test", Session::default())
            .expect("free")
            .text(|_out| endless());
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        let gone = streams
            .open("test", Session::default())
            .expect("free")
            .text(|_out| async move {
                let _ended = ended;
                endless().await
            });
        drop(gone);
        assert!(end.await.is_err(), "the writer is dropped");
        stop.cancel();
        assert_eq!(read(stopped).await, "");
    }

    #[test]
    fn events_are_asked_for_by_their_kind() {
        let asks = |accept: &'static str| {
            wants_events(&HeaderMap::from_iter([(
                header::ACCEPT,
                HeaderValue::from_static(accept),
            )]))
        };
        assert!(asks("text/event-stream"));
        assert!(asks("application/json;q=0.5, Text/Event-Stream;q=1"));
        assert!(!asks("*/*") && !asks("text/plain"));
        assert!(!wants_events(&HeaderMap::new()));
    }
}
