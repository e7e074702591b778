//! A request that is answered before its body was read: the rest is read for a while, and thrown away.
//!
//! Otherwise the connection would be reset under the client, which then may never see the answer.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, extract::Request};
use bytes::Bytes;
use futures::StreamExt;
use http::header;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// How much is thrown away.
const MAX_BYTES: usize = 64 << 20;
/// For how long.
const MAX_TIME: Duration = Duration::from_secs(5);

/// The same request; what is left of its body when that is dropped is read and thrown away.
pub(super) fn linger(request: Request) -> Request {
    // A client that asks first (`Expect: 100-continue`) sends nothing to throw away unless the body is asked for.
    let sends = !request.headers().contains_key(header::EXPECT);
    request.map(|body| {
        if body.is_end_stream() {
            return body;
        }
        Body::new(Lingering {
            rest: Some(body),
            sends,
        })
    })
}

struct Lingering {
    /// Taken once the body has ended.
    rest: Option<Body>,
    /// Whether the client is sending it.
    sends: bool,
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.sends = true;
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        let frame = std::task::ready!(Pin::new(rest).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.rest = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.rest
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let sends = self.sends;
        let rest = self.rest.take().filter(|rest| sends && !rest.is_end_stream());
        if let (Some(rest), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(MAX_TIME, discard(rest)));
        }
    }
}

async fn discard(body: Body) {
    let mut pieces = body.into_data_stream();
    let mut left = MAX_BYTES;
    while let Some(Ok(piece)) = pieces.next().await {
        let Some(less) = left.checked_sub(piece.len()) else {
            return;
        };
        left = less;
        tokio::task::consume_budget().await;
    }
}
