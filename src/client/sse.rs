//! Receives server-sent events, over several connections if they break.

use std::{fmt::Display, time::Duration};

use bytes::Bytes;
use eventsource_stream::{Event, EventStream, Eventsource};
use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use reqwest::{RequestBuilder, Response, StatusCode, header};

use super::{Client, ClientError, patience::Patience};

/// Time without data after which a connection counts as broken; the service sends a comment every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);

/// A comment, which readers of events ignore.
const COMMENT: &[u8] = b":\n";
/// A byte order mark, which may begin a stream.
const MARK: &[u8] = "\u{feff}".as_bytes();

type Bytestream = BoxStream<'static, Result<Bytes, Broken>>;

/// Error: the connection broke, or no data arrived in time.
#[derive(Debug)]
pub struct Broken;

/// Item of a subscription.
pub(super) enum Signal {
    /// An event.
    Event(Event),
    /// The service cannot be reached; the subscription tries again.
    Lost(String),
    /// The service can be reached again.
    Resumed,
    /// The service does not stream here: it is older, or a proxy is in the way.
    Unsupported,
}

/// A stream of events that connects again after a break.
pub(super) struct Subscription {
    client: Client,
    patience: Patience,
    stream: Option<EventStream<Bytestream>>,
    /// `true` if the last connection sent no event, so that the next one must be delayed.
    idle: bool,
    announced: bool,
}

impl Subscription {
    pub(super) fn new(client: Client, limit: Duration) -> Self {
        Self {
            client,
            patience: Patience::new(limit),
            stream: None,
            idle: false,
            announced: false,
        }
    }

    /// Returns the next signal. `request` builds a request for the events after the last one received.
    pub(super) async fn next(
        &mut self,
        request: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Signal, ClientError> {
        loop {
            let Some(stream) = &mut self.stream else {
                if let Some(signal) = self.connect(request(&self.client)).await? {
                    return Ok(signal);
                }
                continue;
            };
            match stream.next().await {
                Some(Ok(event)) => {
                    self.idle = false;
                    self.patience.progressed();
                    return Ok(Signal::Event(event));
                }
                // After any error, the next request asks for the events that were missed.
                Some(Err(_)) | None => self.stream = None,
            }
        }
    }

    /// Drops the connection, so that the next one uses another request.
    pub(super) fn begin_anew(&mut self) {
        self.stream = None;
        self.idle = false;
    }

    async fn connect(&mut self, request: RequestBuilder) -> Result<Option<Signal>, ClientError> {
        if self.idle {
            tokio::time::sleep(self.patience.pause()).await;
        }
        match self.client.open(request).await {
            Ok(Some(stream)) => {
                self.stream = Some(stream);
                self.idle = true;
                self.patience.answered();
                Ok(std::mem::take(&mut self.announced).then_some(Signal::Resumed))
            }
            Ok(None) => Ok(Some(Signal::Unsupported)),
            Err(error) => {
                let lost = error.to_string();
                let wait = self.patience.failed(error)?;
                if !std::mem::replace(&mut self.announced, true) {
                    return Ok(Some(Signal::Lost(lost)));
                }
                tokio::time::sleep(wait).await;
                Ok(None)
            }
        }
    }
}

impl Client {
    /// Opens a stream of events; `None` if the service does not stream here.
    async fn open(&self, request: RequestBuilder) -> Result<Option<EventStream<Bytestream>>, ClientError> {
        let request = request.header(header::ACCEPT, "text/event-stream");
        let response = match tokio::time::timeout(SILENCE, self.send_slowly(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if lacks_events(&error) => return Ok(None),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(self.silent()),
        };
        Ok(is_event_stream(&response).then(|| events(response.bytes_stream())))
    }

    fn silent(&self) -> ClientError {
        ClientError::Unreachable {
            server: self.server().clone(),
            cause: "no answer in time".to_owned(),
            connecting: false,
        }
    }
}

/// Returns true if the answer says that this resource does not stream. A 404 may have another cause, which
/// the same request without a stream then shows.
fn lacks_events(error: &ClientError) -> bool {
    matches!(
        error.status(),
        Some(StatusCode::NOT_FOUND | StatusCode::NOT_ACCEPTABLE)
    )
}

fn is_event_stream(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// Parses events from bytes that may be cut anywhere and may come from any server.
///
/// `eventsource-stream` 0.2.3 panics at bytes that begin with a byte order mark. Therefore the stream begins
/// with a comment, and the mark is removed.
pub fn events<E: Display + Send + 'static>(
    bytes: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> EventStream<Bytestream> {
    let comment = stream::iter([Ok(Bytes::from_static(COMMENT))]);
    comment.chain(without_mark(lively(bytes))).boxed().eventsource()
}

/// Removes a byte order mark from the beginning.
fn without_mark(bytes: Bytestream) -> impl Stream<Item = Result<Bytes, Broken>> + Send {
    let mut beginning = Some(Vec::new());
    bytes.filter_map(move |piece| {
        let rest = match (piece, &mut beginning) {
            (Ok(piece), Some(first)) => {
                first.extend_from_slice(&piece);
                if first.len() < MARK.len() && MARK.starts_with(first) {
                    None
                } else {
                    let begun = beginning.take().unwrap_or_default();
                    let rest = begun.strip_prefix(MARK).unwrap_or(&begun);
                    Some(Ok(Bytes::copy_from_slice(rest)))
                }
            }
            (piece, _) => Some(piece),
        };
        std::future::ready(rest)
    })
}

/// Ends the stream with an error if no data arrives within [`SILENCE`].
fn lively<E: Display + Send + 'static>(
    bytes: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> Bytestream {
    stream::unfold(Box::pin(bytes), |mut bytes| async move {
        let piece = match tokio::time::timeout(SILENCE, bytes.next()).await {
            Ok(Some(Ok(piece))) => Ok(piece),
            Ok(None) => return None,
            Ok(Some(Err(_))) | Err(_) => Err(Broken),
        };
        Some((piece, bytes))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn texts(bytes: &str, cut: usize) -> Vec<String> {
        let pieces: Vec<_> = bytes
            .as_bytes()
            .chunks(cut)
            .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
            .collect();
        let events = events(stream::iter(pieces));
        events
            .map(|event| event.expect("the stream is well-formed").data)
            .collect()
            .await
    }

    #[tokio::test]
    async fn a_stream_may_begin_with_a_byte_order_mark_and_a_second_one_is_no_mark() {
        for cut in 1..12 {
            assert_eq!(texts("data: x\n\n", cut).await, ["x"]);
            assert_eq!(texts("\u{feff}data: x\n\ndata: y\n\n", cut).await, ["x", "y"]);
            assert_eq!(texts("\u{feff}\u{feff}data: x\n\ndata: y\n\n", cut).await, ["y"]);
            assert_eq!(texts("\u{feff}", cut).await, [""; 0]);
        }
    }
}
