//! `fetch-context` against a server that behaves, and servers that do not.

use std::{fs, io::Write, time::Duration};

use backon::ExponentialBuilder;
use clap::Parser;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method, path},
};

use super::{FetchContextArgs, FetchError, fetch::fetch_patiently};
use crate::domain::archive::Limits;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: FetchContextArgs,
}

fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(12);
    builder
        .append_data(&mut header, "Dockerfile", &b"FROM scratch"[..])
        .expect("memory takes it");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let archive = builder.into_inner().expect("memory takes it");
    encoder.write_all(&archive).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn args(server: &MockServer, home: &TempDir, sha256: Option<String>) -> FetchContextArgs {
    // Through the command line, as the manifest and the pod do.
    let vector = FetchContextArgs {
        url: format!("{}/context", server.uri())
            .parse()
            .expect("a server has a URL"),
        dir: home.path().join("tree"),
        sha256,
        limits: Limits::default().into(),
    }
    .to_vector();
    Command::parse_from(vector).args
}

async fn fetch_context(args: FetchContextArgs, token: Option<SecretString>) -> Result<(), FetchError> {
    let waits = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(1))
        .with_max_times(2);
    fetch_patiently(args, token, waits).await
}

fn home() -> TempDir {
    tempfile::tempdir().expect("there is room for temporary files")
}

/// Returns the number of requests that the server received.
async fn asked(server: &MockServer) -> usize {
    server.received_requests().await.expect("it records them").len()
}

async fn serving(answers: ResponseTemplate) -> MockServer {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/context"))
        .respond_with(answers)
        .mount(&server)
        .await;
    server
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[tokio::test]
async fn a_context_is_fetched_with_its_token_and_unpacked() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = MockServer::start().await;
    Mock::given(header("authorization", "Bearer t0ken"))
        .respond_with(ResponseTemplate::new(200).set_body_bytes(archive()))
        .mount(&server)
        .await;
    let home = self::home();
    let args = args(&server, &home, Some(sha256(&archive())));
    fetch_context(args, Some("t0ken".to_owned().into()))
        .await
        .expect("the token is the right one");
    assert_eq!(
        fs::read_to_string(home.path().join("tree/Dockerfile")).expect("it was unpacked"),
        "FROM scratch"
    );
    assert_eq!(
        fs::read_dir(home.path()).expect("the folder is there").count(),
        1,
        "the download is gone"
    );
}

#[tokio::test]
async fn a_server_that_fails_once_is_asked_again() {
    let server = serving(ResponseTemplate::new(200).set_body_bytes(archive())).await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(503))
        .up_to_n_times(1)
        .with_priority(1)
        .mount(&server)
        .await;
    let home = self::home();
    fetch_context(args(&server, &home, None), None)
        .await
        .expect("the second answer is the archive");
    assert_eq!(asked(&server).await, 2);
}

#[tokio::test]
async fn what_is_refused_is_not_asked_for_again() {
    let server = serving(ResponseTemplate::new(404)).await;
    let home = self::home();
    let error = fetch_context(args(&server, &home, None), None)
        .await
        .expect_err("it is refused");
    assert!(
        matches!(&error, FetchError::Invalid(words) if words.contains("404")),
        "{error}"
    );
    assert_eq!(error.exit_code(), 65);
    assert_eq!(asked(&server).await, 1);
}

#[tokio::test]
async fn a_hostile_archive_is_invalid() {
    let server = serving(ResponseTemplate::new(200).set_body_bytes(&b"no archive"[..])).await;
    let home = self::home();
    let error = fetch_context(args(&server, &home, None), None)
        .await
        .expect_err("it is refused");
    assert_eq!(error.exit_code(), 65);
    assert!(
        error
            .to_string()
            .starts_with("the archive is not a complete gzip stream"),
        "{error}"
    );
}

#[tokio::test]
async fn an_archive_beyond_the_limit_is_not_stored() {
    let server = serving(ResponseTemplate::new(200).set_body_bytes(vec![0; 4096])).await;
    let home = self::home();
    let mut args = args(&server, &home, None);
    args.limits.max_bytes = 1000;
    let error = fetch_context(args, None).await.expect_err("it is too long");
    assert!(
        matches!(&error, FetchError::Invalid(words) if words.contains("1000 bytes")),
        "{error}"
    );
}

#[tokio::test]
async fn another_archive_than_the_granted_one_is_never_unpacked() {
    let server = serving(ResponseTemplate::new(200).set_body_bytes(archive())).await;
    let home = self::home();
    let error = fetch_context(args(&server, &home, Some(sha256(b"other"))), None)
        .await
        .expect_err("it is another one");
    assert_eq!(error.exit_code(), 75);
    assert!(error.to_string().contains("SHA-256"), "{error}");
    assert_eq!(asked(&server).await, 3);
    assert!(!home.path().join("tree").exists());
}
