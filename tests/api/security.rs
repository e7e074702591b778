//! Bodies without an end and clients without haste, against the service as a process of its own: `security.md`, 19,
//! and "slow clients". docs/security-tests.md says where the other faults are.

use std::{
    io::Write,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    api::harness::{Harness, address},
    support::service::Service,
};

/// Long enough for every machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

/// A service process on a database that is ready, with these settings.
async fn running(database: &PgConnectOptions, settings: &[(&str, &str)]) -> Service {
    let url = address(database);
    drop(Harness::with(&url, slipway::api::ApiOptions::default()).await);
    let mut all = vec![
        ("SLIPWAY_DATABASE_URL", url.as_str()),
        ("SLIPWAY_LAUNCHER", "none"),
        ("SLIPWAY_ROLE", "api"),
    ];
    all.extend_from_slice(settings);
    let mut service = Service::new("slipway", &all);
    let folder = service.home().join("contexts");
    service.set(
        "SLIPWAY_CONTEXT_STORE",
        folder.to_str().expect("the path is text"),
    );
    service.up().await;
    service
}

fn socket(service: &Service) -> SocketAddr {
    let url: url::Url = service.url("").parse().expect("it is an address");
    url.socket_addrs(|| None).expect("it is an address")[0]
}

/// A figure of a process' memory in bytes: `VmRSS`, what it has now; `VmHWM`, the most that it ever had.
fn memory(service: &Service, figure: &str) -> u64 {
    let pid = service.pid().expect("it runs");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("there is /proc");
    let line = status.lines().find(|line| line.starts_with(figure));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.expect("the figure is there")
        .parse::<u64>()
        .expect("it is a number")
        * 1024
}

/// Sends a head, then pieces for as long as the service listens, up to 1 GiB; what it answers. Adds up in `sent`.
async fn pour(to: SocketAddr, head: &str, piece: &[u8], sent: &AtomicU64) -> String {
    let client = TcpStream::connect(to).await.expect("it listens");
    let (mut read, mut write) = client.into_split();
    write.write_all(head.as_bytes()).await.expect("it listens");
    let answering = tokio::spawn(async move {
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, read.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    });
    while sent.load(Ordering::Relaxed) < 1024 * MIB && !answering.is_finished() {
        if write.write_all(piece).await.is_err() {
            break;
        }
        sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    drop(write);
    answering.await.expect("it is read")
}

/// One chunk of a body whose length is not told.
fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// The head of a request that a token opens the API for.
async fn post(service: &Service, path: &str, kind: &str, length: &str) -> String {
    let token = service.token().await.expect("the service asks for tokens");
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
        Content-Type: {kind}\r\n{length}\r\n\r\n"
    )
}

#[sqlx::test(migrations = false)]
async fn fault_19_endless_bodies_are_cut_off_at_the_cap_with_flat_memory(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = running(&database, &[]).await;
    let to = socket(&service);
    let before = memory(&service, "VmRSS:");
    let piece = chunk(&[b' '; 64 << 10]);
    let head = post(
        &service,
        "/api/v1/builds",
        "application/json",
        "Transfer-Encoding: chunked",
    )
    .await;
    let sent = AtomicU64::new(0);
    let pours = (0..8).map(|_| pour(to, &head, &piece, &sent));
    for answer in futures::future::join_all(pours).await {
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(answer.contains("body_too_large"), "{answer}");
    }
    let grown = memory(&service, "VmHWM:").saturating_sub(before);
    println!(
        "JSON: {} MiB sent by 8 clients; {before} bytes before, {grown} more at most",
        sent.into_inner() / MIB
    );
    assert!(grown < 48 * MIB, "it grew by {grown} bytes");
}

#[sqlx::test(migrations = false)]
async fn fault_19_endless_deliveries_are_cut_off_at_the_cap_with_flat_memory(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let key = "01".repeat(32);
    let settings = [
        ("SLIPWAY_SECRET_KEY", key.as_str()),
        ("SLIPWAY_DATABASE_ACQUIRE_TIMEOUT", "60s"),
    ];
    let service = running(&database, &settings).await;
    let (status, trigger) = service
        .post("api/v1/triggers", &crate::api::triggers::wanted())
        .await;
    assert_eq!(status, 201, "{trigger}");
    let path = trigger["hook_path"].as_str().expect("it has an address");
    let to = socket(&service);
    let before = memory(&service, "VmRSS:");
    let piece = chunk(&[b' '; 64 << 10]);
    let head = post(&service, path, "application/json", "Transfer-Encoding: chunked").await;
    let sent = AtomicU64::new(0);
    let pours = (0..8).map(|_| pour(to, &head, &piece, &sent));
    for answer in futures::future::join_all(pours).await {
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(answer.contains("body_too_large"), "{answer}");
    }
    let grown = memory(&service, "VmHWM:").saturating_sub(before);
    println!(
        "deliveries: {} MiB sent by 8 git hosts; {before} bytes before, {grown} more at most",
        sent.into_inner() / MIB
    );
    // Each may hold the cap of 2 MiB, and what its buffer grew by on the way there.
    assert!(grown < 48 * MIB, "it grew by {grown} bytes");
}

#[sqlx::test(migrations = false)]
async fn fault_19_an_announced_gibibyte_is_refused_before_it_is_sent(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = running(&database, &[("SLIPWAY_MAX_CONTEXT_SIZE", "16Mi")]).await;
    for (path, kind) in [
        ("/api/v1/builds", "application/json"),
        ("/api/v1/contexts?project=default", "application/gzip"),
        ("/api/v1/contexts?project=default", "text/plain"),
    ] {
        let length = "Expect: 100-continue\r\nContent-Length: 1073741824";
        let head = post(&service, path, kind, length).await;
        let mut client = TcpStream::connect(socket(&service)).await.expect("it listens");
        client.write_all(head.as_bytes()).await.expect("it listens");
        let mut answer = String::new();
        let read = timeout(PATIENCE, client.read_to_string(&mut answer)).await;
        read.expect("it answers in time").expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 413"), "{path} {kind}: {answer}");
    }
}

/// An archive of one file of noise: as large packed as it is unpacked.
fn archive(size: usize) -> Vec<u8> {
    let mut noise = vec![0; size];
    rand::RngCore::fill_bytes(&mut rand::rng(), &mut noise);
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::none()));
    let mut header = tar::Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(0o644);
    builder
        .append_data(&mut header, "noise", noise.as_slice())
        .expect("it is written");
    let mut packed = builder.into_inner().expect("it is written");
    packed.flush().expect("it is written");
    packed.finish().expect("it is written")
}

#[sqlx::test(migrations = false)]
async fn fault_19_uploads_are_cut_off_at_the_cap_with_flat_memory(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let settings = [
        ("SLIPWAY_MAX_CONTEXT_SIZE", "16Mi"),
        // Looking into archives takes a busy machine's processors from everything else.
        ("SLIPWAY_DATABASE_ACQUIRE_TIMEOUT", "60s"),
    ];
    let service = running(&database, &settings).await;
    let to = socket(&service);
    let before = memory(&service, "VmRSS:");
    // Whole but for its end, which lies beyond the cap: it is the size that it is refused for.
    let body = chunk(&archive(20 << 20));
    let head = post(
        &service,
        "/api/v1/contexts?project=default",
        "application/gzip",
        "Transfer-Encoding: chunked",
    )
    .await;
    let sent = AtomicU64::new(0);
    let pours = (0..4).map(|_| pour(to, &head, &body, &sent));
    for answer in futures::future::join_all(pours).await {
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}\n{}", service.log());
    }
    let grown = memory(&service, "VmHWM:").saturating_sub(before);
    println!("uploads: 4 of 20 MiB, cap 16 MiB; {before} bytes before, {grown} more at most");
    assert!(grown < 32 * MIB, "4 uploads of 16 MiB took {grown} bytes");
}

/// Sends a byte now and then until the service answers or hangs up: what it said, and after how long.
async fn drip(to: SocketAddr, head: &str, pause: Duration) -> (String, Duration) {
    let began = Instant::now();
    let client = TcpStream::connect(to).await.expect("it listens");
    let (mut read, mut write) = client.into_split();
    write.write_all(head.as_bytes()).await.expect("it listens");
    let dripping = tokio::spawn(async move {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(pause).await;
        }
    });
    let mut answer = Vec::new();
    let ended = timeout(PATIENCE, read.read_to_end(&mut answer)).await;
    dripping.abort();
    assert!(ended.is_ok(), "it neither answers nor hangs up");
    (String::from_utf8_lossy(&answer).into_owned(), began.elapsed())
}

#[sqlx::test(migrations = false)]
async fn slow_clients_are_hung_up_on_by_the_real_service(_: PgPoolOptions, database: PgConnectOptions) {
    let service = running(&database, &[("SLIPWAY_HEADER_TIMEOUT", "1s")]).await;
    let to = socket(&service);
    let pause = Duration::from_millis(100);
    let (said, took) = drip(to, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ", pause).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    let head = post(
        &service,
        "/api/v1/builds",
        "application/json",
        "Content-Length: 100000",
    )
    .await;
    let (said, took) = drip(to, &head, pause).await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(said.contains("request_timeout"), "{said}");
    assert!(took < Duration::from_secs(40), "{took:?}");
    assert_eq!(service.get("livez").await.0, 200);
}

#[sqlx::test(migrations = false)]
async fn a_crowd_of_slow_clients_beyond_the_cap_shuts_nobody_out_for_long(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let settings = [
        ("SLIPWAY_MAX_CONNECTIONS", "4"),
        ("SLIPWAY_HEADER_TIMEOUT", "300ms"),
    ];
    let service = running(&database, &settings).await;
    let to = socket(&service);
    let mut crowd = Vec::new();
    for _ in 0..60 {
        let mut one = TcpStream::connect(to).await.expect("it listens");
        one.write_all(b"GET / HTTP/1.1\r\nX-Slow: ")
            .await
            .expect("it is taken in");
        crowd.push(one);
    }
    let (status, _) = timeout(PATIENCE, service.get("livez"))
        .await
        .expect("its turn comes");
    assert_eq!(status, 200);
}

#[sqlx::test(migrations = false)]
async fn clients_that_read_nothing_give_their_places_up(_: PgPoolOptions, database: PgConnectOptions) {
    let settings = [
        ("SLIPWAY_MAX_CONNECTIONS", "2"),
        ("SLIPWAY_WRITE_TIMEOUT", "500ms"),
        ("SLIPWAY_ADDRESS_RATE", "0"),
    ];
    let service = running(&database, &settings).await;
    let to = socket(&service);
    let mut greedy = Vec::new();
    for _ in 0..2 {
        let mut one = TcpStream::connect(to).await.expect("it listens");
        let asked = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(64);
        one.write_all(asked.as_bytes()).await.expect("it is taken");
        greedy.push(one);
    }
    let (status, _) = timeout(PATIENCE, service.get("livez"))
        .await
        .expect("its turn comes");
    assert_eq!(status, 200);
    drop(greedy);
}
