//! A body on its way into the storage.

use std::{
    io::{self, Write},
    pin::pin,
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::{Stream, StreamExt};
use sha2::{Digest, Sha256};

use super::check::{Check, invalid};
use crate::{
    api::{
        extract::too_large,
        problem::{Code, Problem},
    },
    blobs::Upload,
    domain::archive::Limits,
};

/// How much may be received, and how slowly.
pub(super) struct Bounds {
    /// Bytes, compressed.
    pub size: u64,
    /// The longest silence.
    pub idle: Duration,
    /// What the archive may hold.
    pub archive: Limits,
}

/// What was received.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub size: u64,
    pub sha256: [u8; 32],
}

/// Streams an archive into the storage: counted, hashed and looked into on the way, and never held in memory.
pub(super) async fn archive(body: Body, mut upload: Upload, bounds: Bounds) -> Result<Received, Problem> {
    let mut pieces = pin!(patient(body, bounds.idle));
    let check = Check::begin(bounds.archive);
    let mut hash = Sha256::new();
    let mut size = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        size += piece.len() as u64;
        if size > bounds.size {
            return Err(too_large(bounds.size));
        }
        hash.update(&piece);
        upload.write(piece.clone()).await?;
        if !check.show(piece).await {
            break;
        }
    }
    if size == 0 {
        return Err(invalid("the body is empty"));
    }
    check.verdict().await?;
    upload.finish().await?;
    Ok(Received {
        size,
        sha256: hash.finalize().into(),
    })
}

/// Stores a Dockerfile's text as an archive that holds nothing else.
pub(super) async fn dockerfile(text: &[u8], mut upload: Upload) -> Result<Received, Problem> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(invalid("the body is empty"));
    }
    if std::str::from_utf8(text).is_err() || text.contains(&0) {
        return Err(invalid("the body is no text in UTF-8"));
    }
    let archive = Bytes::from(pack(text).expect("writing to memory cannot fail"));
    let received = Received {
        size: archive.len() as u64,
        sha256: Sha256::digest(&archive).into(),
    };
    upload.write(archive).await?;
    upload.finish().await?;
    Ok(received)
}

/// The same text gives the same archive: no time and no owner in it.
fn pack(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    tar.append_data(&mut header, "Dockerfile", text)?;
    let mut gzip = tar.into_inner()?;
    gzip.flush()?;
    gzip.finish()
}

/// The body's pieces. A client that falls silent is not waited for.
fn patient(body: Body, idle: Duration) -> impl Stream<Item = Result<Bytes, Problem>> {
    futures::stream::unfold(body.into_data_stream(), move |mut pieces| async move {
        let piece = match tokio::time::timeout(idle, pieces.next()).await {
            Err(_) => Err(Problem::new(Code::RequestTimeout)),
            Ok(None) => return None,
            Ok(Some(Ok(piece))) => Ok(piece),
            Ok(Some(Err(_))) => Err(Problem::new(Code::BadRequest).detail("the body broke off")),
        };
        Some((piece, pieces))
    })
}
