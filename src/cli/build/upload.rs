//! Uploads a context to the service.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use bytes::Bytes;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Body;
use tokio::{io::AsyncRead, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::ReaderStream;

use crate::{
    cli::{context::Context, ending::Failure, screen::Screen},
    client::{self, Client},
    domain::ProjectName,
};

/// Bytes in one piece of the upload.
const PIECE: usize = 64 * 1024;
/// Pieces that may be buffered before they are sent.
const WAITING: usize = 8;

/// Result of a folder's upload.
pub(super) struct Sent {
    pub context: client::Context,
    /// Files that were removed between the listing and the upload.
    pub gone: Vec<PathBuf>,
}

/// Packs a folder and uploads it at the same time.
pub(super) async fn folder(
    client: &Client,
    screen: &Screen,
    project: Option<&ProjectName>,
    context: Context,
) -> Result<Sent, Failure> {
    let bar = bar(screen, Some(context.size()));
    let (pieces, body) = mpsc::channel(WAITING);
    let packing = tokio::task::spawn_blocking({
        let bar = bar.clone();
        move || {
            let writer = BufWriter::with_capacity(PIECE, Pieces(pieces.clone()));
            let packed = context.pack(writer, |length| bar.inc(length));
            if let Err(error) = &packed {
                // The error keeps the body from looking complete.
                let _ = pieces.blocking_send(Err(io::Error::other(error.to_string())));
            }
            packed
        }
    });
    let body = Body::wrap_stream(ReceiverStream::new(body));
    let answer = client.upload_context(project, "application/gzip", body).await;
    let packed = packing.await;
    bar.finish_and_clear();
    match packed {
        Ok(Ok(gone)) => Ok(Sent {
            context: answer?,
            gone,
        }),
        // The service stopped reading; its answer has the reason.
        Ok(Err(error)) if error.is_broken_pipe() => Err(match answer {
            Err(why) => why.into(),
            Ok(_) => Failure::Local(error.to_string()),
        }),
        Ok(Err(error)) => Err(Failure::Input(error.to_string())),
        Err(error) => Err(Failure::Local(error.to_string())),
    }
}

/// Uploads an archive or a Dockerfile's text; `kind` is its content type.
pub(super) async fn stream(
    client: &Client,
    screen: &Screen,
    project: Option<&ProjectName>,
    kind: &str,
    begun: Vec<u8>,
    rest: impl AsyncRead + Send + Unpin + 'static,
) -> Result<client::Context, Failure> {
    let bar = bar(screen, None);
    let begun = futures::stream::iter([Ok(Bytes::from(begun))]);
    let rest = ReaderStream::with_capacity(rest, PIECE);
    let counted = begun.chain(rest).inspect({
        let bar = bar.clone();
        move |piece: &io::Result<Bytes>| bar.inc(piece.as_ref().map_or(0, |piece| piece.len() as u64))
    });
    let answer = client
        .upload_context(project, kind, Body::wrap_stream(counted))
        .await;
    bar.finish_and_clear();
    Ok(answer?)
}

/// Creates a progress bar; it is drawn only on a terminal.
fn bar(screen: &Screen, size: Option<u64>) -> ProgressBar {
    let target = if screen.is_quiet() || !screen.err_is_terminal() {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let template = match size {
        Some(_) => "sending {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}",
        None => "{spinner} sending {decimal_bytes} {decimal_bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    ProgressBar::with_draw_target(size, target).with_style(style)
}

/// Writer that sends its bytes in pieces. It blocks, so it must not be used on a thread of the runtime.
struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
