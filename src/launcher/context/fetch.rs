//! `slipway fetch-context`: downloads an archive into a file, verifies it, and only then unpacks it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable};
use reqwest::{Client, Response, StatusCode, redirect};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::{
    fs::File,
    io::{AsyncWriteExt, BufWriter},
};

use super::{FetchContextArgs, unpack};
use crate::{
    domain::archive::{ArchiveError, Limits, Summary},
    launcher::outcome::{EXIT_CONTEXT_INVALID, EXIT_FETCH_FAILED},
};

/// Error of a fetch, by its consequence.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Another try would fail, too.
    #[error("{0}")]
    Invalid(String),
    /// Another try may succeed.
    #[error("{0}")]
    Temporary(String),
}

impl FetchError {
    /// Returns the command's exit code, from which the build's failure is derived.
    pub const fn exit_code(&self) -> i32 {
        match self {
            Self::Invalid(_) => EXIT_CONTEXT_INVALID,
            Self::Temporary(_) => EXIT_FETCH_FAILED,
        }
    }
}

/// Fetches the context and unpacks it. Progress is written to stderr, which becomes part of the build's log.
pub async fn fetch_context(args: FetchContextArgs, token: Option<SecretString>) -> Result<(), FetchError> {
    let waits = ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_max_times(4);
    fetch_patiently(args, token, waits).await
}

pub(super) async fn fetch_patiently(
    args: FetchContextArgs,
    token: Option<SecretString>,
    waits: ExponentialBuilder,
) -> Result<(), FetchError> {
    let client = client(args.url.scheme())?;
    let file = beside(&args.dir);
    say(format_args!(
        "fetching the context from {}",
        args.url.origin().ascii_serialization()
    ));
    let bytes = (|| download(&client, &args, token.as_ref(), &file))
        .retry(waits)
        .when(|error| matches!(error, FetchError::Temporary(_)))
        .notify(|error, wait| say(format_args!("{error}; another try in {} s", wait.as_secs())))
        .await?;
    say(format_args!("fetched {bytes} bytes"));
    let summary = tokio::task::spawn_blocking(move || unpack_file(&file, &args.dir, &args.limits.into()))
        .await
        .map_err(|_| FetchError::Temporary("the unpacking broke off".into()))??;
    say(format_args!(
        "unpacked {} entries, {} bytes",
        summary.entries, summary.expanded_bytes
    ));
    Ok(())
}

fn say(words: std::fmt::Arguments<'_>) {
    eprintln!("slipway: fetch-context: {words}");
}

fn client(scheme: &str) -> Result<Client, FetchError> {
    let mut builder = Client::builder();
    if scheme == "http" {
        // The image may contain no certificate authorities, and a client cannot be created without any. Plain
        // HTTP needs none.
        builder = builder.tls_certs_only([]);
    }
    builder
        .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(60))
        .redirect(redirect::Policy::limited(5))
        .build()
        .map_err(|error| FetchError::Temporary(format!("cannot make requests: {}", chain(&error))))
}

/// Returns a path beside the folder, so that the unpacked context does not contain the archive.
fn beside(dir: &Path) -> PathBuf {
    dir.with_extension("tar.gz")
}

async fn download(
    client: &Client,
    args: &FetchContextArgs,
    token: Option<&SecretString>,
    file: &Path,
) -> Result<u64, FetchError> {
    let mut request = client.get(args.url.clone());
    if let Some(token) = token {
        request = request.bearer_auth(token.expose_secret());
    }
    let response = request.send().await.map_err(network)?;
    check_status(response.status())?;
    let (bytes, sha256) = store(response, file, args.limits.max_bytes).await?;
    match &args.sha256 {
        Some(expected) if !expected.eq_ignore_ascii_case(&sha256) => Err(FetchError::Temporary(format!(
            "the archive's SHA-256 is {sha256}, not {expected}"
        ))),
        _ => Ok(bytes),
    }
}

fn check_status(status: StatusCode) -> Result<(), FetchError> {
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Err(FetchError::Temporary(format!("the server answered {status}")))
        }
        status if status.is_server_error() => {
            Err(FetchError::Temporary(format!("the server answered {status}")))
        }
        status => Err(FetchError::Invalid(format!(
            "the context cannot be had: the server answered {status}"
        ))),
    }
}

async fn store(mut response: Response, path: &Path, max: u64) -> Result<(u64, String), FetchError> {
    if let Some(above) = path.parent() {
        tokio::fs::create_dir_all(above)
            .await
            .map_err(|error| disk(&error))?;
    }
    let mut file = BufWriter::new(File::create(path).await.map_err(|error| disk(&error))?);
    let (mut bytes, mut hash) = (0, Sha256::new());
    while let Some(chunk) = response.chunk().await.map_err(network)? {
        bytes += chunk.len() as u64;
        if bytes > max {
            return Err(FetchError::Invalid(format!(
                "the archive is larger than {max} bytes"
            )));
        }
        hash.update(&chunk);
        file.write_all(&chunk).await.map_err(|error| disk(&error))?;
    }
    file.flush().await.map_err(|error| disk(&error))?;
    Ok((bytes, hex::encode(hash.finalize())))
}

fn unpack_file(file: &Path, dir: &Path, limits: &Limits) -> Result<Summary, FetchError> {
    let unpacked = || -> Result<Summary, ArchiveError> {
        fs::create_dir_all(dir)?;
        let summary = unpack(io::BufReader::new(fs::File::open(file)?), dir, limits)?;
        fs::remove_file(file)?;
        Ok(summary)
    };
    unpacked().map_err(|error| match error {
        ArchiveError::Invalid(_) => FetchError::Invalid(error.to_string()),
        ArchiveError::Io(error) => disk(&error),
    })
}

fn disk(error: &io::Error) -> FetchError {
    FetchError::Temporary(format!("the context cannot be stored: {error}"))
}

/// Converts a network error. The URL is left out, because it may carry a signature.
fn network(error: reqwest::Error) -> FetchError {
    FetchError::Temporary(format!("the request failed: {}", chain(&error.without_url())))
}

/// Formats an error with its causes, because the outermost alone says little.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |words, cause| format!("{words}: {cause}"))
}
