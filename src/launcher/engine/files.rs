//! Copies files into a container before it starts, and out of it after it has ended.

use std::{io::Read, path::Path, time::Duration};

use bollard::{
    Docker,
    query_parameters::{
        DownloadFromContainerOptionsBuilder, UploadToContainerOptions, UploadToContainerOptionsBuilder,
    },
};
use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{
    context::{self, Arriving},
    engine_error,
    request::DIGEST_FILE,
    secrets::Given,
};
use crate::{domain::Digest, launcher::LaunchError};

/// Path at which kaniko looks for registry credentials, without the leading slash.
pub const CREDENTIALS: &str = "kaniko/.docker/config.json";

/// Longest time that the engine may take to unpack a context.
const UNPACKING: Duration = Duration::from_secs(30 * 60);

/// Upper bound in bytes of a tar with a digest file: a larger file is not a digest.
const DIGEST_TAR: usize = 16 * 1024;

/// Reads the operator's registry credentials, as a file for a container.
pub async fn credentials(config: &Path) -> Result<Vec<u8>, LaunchError> {
    tokio::fs::read(config).await.map_err(|error| {
        LaunchError::Unavailable(format!(
            "the registry credentials cannot be read from {}: {error}",
            config.display()
        ))
    })
}

/// Copies credentials and secrets into a container that has not started.
///
/// They are files and not environment variables, because variables are visible to everybody who may inspect
/// containers.
pub async fn put_secrets(docker: &Docker, container: &str, files: Vec<Given>) -> Result<(), LaunchError> {
    if files.is_empty() {
        return Ok(());
    }
    let whole = pack(&files).map_err(|error| {
        LaunchError::Refused(format!("credentials and secrets cannot be packed: {error}"))
    })?;
    // A stream, because the client library logs plain bodies.
    let body = bollard::body_stream(stream::iter([Bytes::from(whole)]));
    let sent = docker.upload_to_container(container, into_root(), body).await;
    sent.map_err(|error| engine_error::launching(&error))
}

fn pack(files: &[Given]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_size(file.content.len() as u64);
        tar.append_data(&mut header, &file.path, &file.content[..])?;
    }
    tar.into_inner()
}

/// Copies a context into a container that has not started.
pub async fn put_context(docker: &Docker, container: &str, arriving: Arriving) -> Result<(), LaunchError> {
    let Arriving { tar, checked } = arriving;
    let body = bollard::body_try_stream(context::into_stream(tar));
    let sent = docker
        .clone()
        .with_timeout(UNPACKING)
        .upload_to_container(container, into_root(), body)
        .await;
    // The result of the checks comes first: if they failed, the engine's error is only a consequence.
    match checked.await {
        Ok(verdict) => verdict?,
        Err(_) => {
            return Err(LaunchError::Refused("the context's transfer broke off".into()));
        }
    }
    sent.map_err(|error| engine_error::launching(&error))
}

fn into_root() -> Option<UploadToContainerOptions> {
    Some(UploadToContainerOptionsBuilder::new().path("/").build())
}

/// Reads the digest that kaniko left in a container that has ended; `None` if there is none.
pub async fn digest(docker: &Docker, container: &str) -> Result<Option<Digest>, bollard::errors::Error> {
    let options = DownloadFromContainerOptionsBuilder::new()
        .path(DIGEST_FILE)
        .build();
    let mut chunks = docker.download_from_container(container, Some(options)).boxed();
    let mut tar = Vec::new();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => tar.extend_from_slice(&chunk),
            Err(error) if engine_error::status(&error) == Some(404) => return Ok(None),
            Err(error) => return Err(error),
        }
        if tar.len() > DIGEST_TAR {
            return Ok(None);
        }
    }
    Ok(only_file(&tar).and_then(|text| text.trim().parse().ok()))
}

fn only_file(tar: &[u8]) -> Option<String> {
    let mut archive = tar::Archive::new(tar);
    let mut entry = archive.entries().ok()?.next()?.ok()?;
    let mut text = String::new();
    entry.read_to_string(&mut text).ok()?;
    Some(text)
}
