//! Fetches a context, checks it on the way, and passes it on as the tar stream that the engine unpacks.
//!
//! Nothing is stored on this machine: the archive flows from its source through the checks into the
//! container. An error here concerns one build only, so it is never `Unavailable`, which would delay all
//! other builds; a refused launch is tried again a few times.

use std::{
    io::{self, Read, Write},
    path::Path,
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use secrecy::ExposeSecret;
use sha2::{Digest as _, Sha256};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    domain::archive::{ArchiveError, Limits, sanitize},
    launcher::{LaunchError, Order, kaniko_args},
};

/// Chunks in flight between two steps: enough to keep both busy.
const CHUNKS: usize = 8;

/// Size in bytes of the chunks that are passed on.
const CHUNK_BYTES: usize = 64 * 1024;

/// Context that is being transferred.
pub struct Arriving {
    /// The checked archive, as a tar without compression.
    pub tar: mpsc::Receiver<io::Result<Bytes>>,
    /// Result of the checks. The transferred data is valid only if it is `Ok`.
    pub checked: JoinHandle<Result<(), LaunchError>>,
}

/// Starts to fetch the order's context. `None` if kaniko fetches it by itself.
pub async fn fetch(
    http: &reqwest::Client,
    order: &Order,
    limits: &Limits,
) -> Result<Option<Arriving>, LaunchError> {
    if !kaniko_args::must_be_fetched(&order.spec.source) {
        return Ok(None);
    }
    let Some(grant) = &order.context else {
        return Err(LaunchError::Refused(
            "the uploaded context is not there any more".into(),
        ));
    };
    let request = http
        .get(grant.url.clone())
        .bearer_auth(grant.token.expose_secret());
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    if !status.is_success() {
        return Err(LaunchError::Refused(format!(
            "the context cannot be fetched: its host answers {status}"
        )));
    }
    Ok(Some(check(response.bytes_stream(), grant.sha256, limits.clone())))
}

/// Converts a network error. The URL is left out, because it names a machine of the operator's.
fn unreachable(error: reqwest::Error) -> LaunchError {
    LaunchError::Refused(format!("the context cannot be fetched: {}", error.without_url()))
}

fn check<S, E>(chunks: S, sha256: [u8; 32], limits: Limits) -> Arriving
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let (packed, arriving) = mpsc::channel(CHUNKS);
    let (leaving, tar) = mpsc::channel(CHUNKS);
    tokio::spawn(async move {
        let mut chunks = std::pin::pin!(chunks);
        while let Some(chunk) = chunks.next().await {
            if packed.send(chunk.map_err(io::Error::other)).await.is_err() {
                return;
            }
        }
    });
    let checked = tokio::task::spawn_blocking(move || {
        let mut reader = Hashing {
            chunks: arriving,
            rest: Bytes::new(),
            hash: Sha256::new(),
        };
        let writer = Chunked {
            chunks: leaving.clone(),
            buffer: Vec::with_capacity(CHUNK_BYTES),
        };
        let verdict = pass_on(&mut reader, writer, sha256, &limits);
        if let Err(error) = &verdict {
            // Without this error the engine would take the end of the stream for the end of the archive. If
            // the send fails, the receiver is gone and needs no error.
            drop(leaving.blocking_send(Err(io::Error::other(error.to_string()))));
        }
        verdict
    });
    Arriving { tar, checked }
}

fn pass_on(
    reader: &mut Hashing,
    writer: Chunked,
    sha256: [u8; 32],
    limits: &Limits,
) -> Result<(), LaunchError> {
    let prefix = Path::new(kaniko_args::CONTEXT_DIR.trim_start_matches('/'));
    sanitize(&mut *reader, writer, prefix, limits).map_err(|error| match error {
        ArchiveError::Invalid(_) => LaunchError::Refused(format!("the context is refused: {error}")),
        ArchiveError::Io(_) => LaunchError::Refused(format!("the context's transfer broke off: {error}")),
    })?;
    let broke_off = |error| LaunchError::Refused(format!("the context's transfer broke off: {error}"));
    io::copy(reader, &mut io::sink()).map_err(broke_off)?;
    let found: [u8; 32] = reader.hash.clone().finalize().into();
    if found != sha256 {
        return Err(LaunchError::Refused(
            "the context is not what was uploaded".into(),
        ));
    }
    Ok(())
}

/// Reader of the chunks, which also hashes them.
struct Hashing {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
    hash: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => self.rest = chunk?,
            }
            self.hash.update(&self.rest);
        }
        let piece = self.rest.split_to(self.rest.len().min(buffer.len()));
        buffer[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

/// Writer that collects its input into chunks.
struct Chunked {
    chunks: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Chunked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::replace(
            &mut self.buffer,
            Vec::with_capacity(CHUNK_BYTES),
        ));
        self.chunks
            .blocking_send(Ok(chunk))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Converts the receiver to a stream.
pub fn into_stream(
    receiver: mpsc::Receiver<io::Result<Bytes>>,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    })
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn archive(path: &str) -> Bytes {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o644);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        tar.append(&header, &b"hello"[..]).expect("in memory");
        tar.into_inner()
            .expect("in memory")
            .finish()
            .expect("in memory")
            .into()
    }

    async fn arrive(archive: Bytes, sha256: [u8; 32]) -> (Vec<u8>, Result<(), LaunchError>) {
        let chunks = stream::iter(
            archive
                .chunks(7)
                .map(|c| Ok::<_, io::Error>(Bytes::copy_from_slice(c)))
                .collect::<Vec<_>>(),
        );
        let Arriving { tar, checked } = check(chunks, sha256, Limits::default());
        let pieces: Vec<_> = into_stream(tar).collect().await;
        let bytes = pieces.into_iter().map_while(Result::ok).flatten().collect();
        (bytes, checked.await.expect("does not panic"))
    }

    #[tokio::test]
    async fn a_good_archive_arrives_below_the_context_folder() {
        let archive = archive("Dockerfile");
        let sha256 = Sha256::digest(&archive).into();
        let (tar, verdict) = arrive(archive, sha256).await;
        verdict.expect("is good");
        let mut tar = tar::Archive::new(&tar[..]);
        let names: Vec<_> = tar
            .entries()
            .expect("a tar")
            .map(|entry| {
                entry
                    .expect("whole")
                    .path()
                    .expect("a path")
                    .display()
                    .to_string()
            })
            .collect();
        assert_eq!(
            names.last().map(String::as_str),
            Some("kaniko/buildcontext/Dockerfile")
        );
    }

    #[tokio::test]
    async fn another_archive_than_the_uploaded_one_is_not_used() {
        let (_, verdict) = arrive(archive("Dockerfile"), [0; 32]).await;
        assert!(matches!(verdict, Err(LaunchError::Refused(_))), "{verdict:?}");
    }

    #[tokio::test]
    async fn an_archive_that_leaves_its_root_is_refused() {
        let (_, verdict) = arrive(archive("../evil"), [0; 32]).await;
        assert!(matches!(verdict, Err(LaunchError::Refused(_))), "{verdict:?}");
    }
}
