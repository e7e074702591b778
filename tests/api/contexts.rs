//! Contexts: uploaded, described, and downloaded by those who may.

use std::{io::Write, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use futures::StreamExt;
use http::{Method, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};
use slipway::{
    api::ApiOptions,
    domain::{BuildId, ContextId},
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::api::harness::{Answer, Harness, address, request, settled};

const CONTEXTS: &str = "/api/v1/contexts";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, *content).unwrap();
    }
    gzip(&tar.into_inner().unwrap())
}

/// Bytes that do not get smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

async fn upload(service: &Harness, kind: &str, body: Body) -> Answer {
    let request = request(Method::POST, CONTEXTS).header("content-type", kind);
    service.send(request.body(body).unwrap()).await
}

/// Everything below the storage's folder, however deep.
fn stored(service: &Harness) -> usize {
    std::fs::read_dir(service.folder.path().join("contexts")).map_or(0, Iterator::count)
}

/// What is cleaned up in the background is gone soon.
async fn nothing_is_left(service: &Harness) {
    tokio::time::timeout(Duration::from_secs(10), async {
        while stored(service) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("nothing is left behind");
}

#[sqlx::test(migrations = false)]
async fn an_archive_is_uploaded_and_described(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let bytes = archive(&[("Dockerfile", b"FROM scratch\n"), ("data", &noise(1 << 20))]);
    for kind in [
        "application/gzip",
        "application/x-gtar",
        "application/octet-stream",
    ] {
        let pieces: Vec<Bytes> = bytes.chunks(10_000).map(Bytes::copy_from_slice).collect();
        let pieces = futures::stream::iter(pieces).map(Ok::<_, std::io::Error>);
        let made = upload(&service, kind, Body::from_stream(pieces)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        let context = made.json();
        assert_eq!(context["size"], bytes.len());
        assert_eq!(context["sha256"], hex::encode(Sha256::digest(&bytes)));
        let location = made.header("location").expect("it has an address");
        assert_eq!(service.get(location).await.json(), context);
        assert_eq!(stored(&service), 1);
        let id = context["id"].as_str().unwrap();
        let file = service.folder.path().join(format!("contexts/{id}.tar.gz"));
        assert_eq!(std::fs::read(&file).unwrap(), bytes);
        std::fs::remove_file(file).unwrap();
    }
}

#[sqlx::test(migrations = false)]
async fn a_dockerfile_alone_becomes_an_archive(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let text = "FROM scratch\nCOPY Dockerfile /\n";
    let made = upload(&service, "text/plain; charset=utf-8", Body::from(text)).await;
    assert_eq!(made.status, StatusCode::CREATED);
    // The bytes are the compressor's choice.
    insta::assert_json_snapshot!("context", settled(made.json()), {
        ".sha256" => "[sha256]", ".size" => "[size]",
    });
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let bytes = std::fs::read(service.folder.path().join(format!("contexts/{id}.tar.gz"))).unwrap();
    assert_eq!(made.json()["size"], bytes.len());
    assert_eq!(made.json()["sha256"], hex::encode(Sha256::digest(&bytes)));
    let mut tar = tar::Archive::new(GzDecoder::new(&bytes[..]));
    let mut entries = tar.entries().unwrap();
    let mut only = entries.next().expect("it holds a file").unwrap();
    assert_eq!(only.path().unwrap().to_str(), Some("Dockerfile"));
    assert_eq!(std::io::read_to_string(&mut only).unwrap(), text);
    assert!(entries.next().is_none());
}

#[sqlx::test(migrations = false)]
async fn what_no_build_could_use_is_refused_and_not_kept(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let good = archive(&[("Dockerfile", b"FROM scratch\n")]);
    let mut long = tar::Header::new_gnu();
    long.set_size(0);
    long.as_old_mut().name[..9].copy_from_slice(b"../escape");
    long.set_cksum();
    let escape = gzip(&[&long.as_bytes()[..], &[0; 1024]].concat());
    let cases: [(&str, Vec<u8>); 8] = [
        ("application/gzip", vec![]),
        ("application/gzip", b"PK\x03\x04 not gzip".to_vec()),
        ("application/gzip", gzip(b"no tar in here")),
        ("application/gzip", good[..good.len() / 2].to_vec()),
        ("application/gzip", escape),
        ("application/gzip", gzip(&vec![0; 64 << 20])),
        ("text/plain", b" \n".to_vec()),
        ("text/plain", b"FROM \xff".to_vec()),
    ];
    for (index, (kind, body)) in cases.into_iter().enumerate() {
        let refused = upload(&service, kind, Body::from(body)).await;
        assert_eq!(refused.status, 422, "{index}: {refused:?}");
        let refused = refused.is_problem(422, "context_invalid");
        assert!(refused["detail"].is_string(), "{refused}");
    }
    nothing_is_left(&service).await;
}

#[sqlx::test(migrations = false)]
async fn uploads_above_the_limit_are_cut_off(_: PgPoolOptions, database: PgConnectOptions) {
    let options = ApiOptions {
        max_context_size: 1 << 20,
        ..ApiOptions::default()
    };
    let service = Harness::with(&address(&database), options).await;
    let large = archive(&[("data", &noise(2 << 20))]);
    let endless = futures::stream::iter(large.chunks(4096).map(Bytes::copy_from_slice).collect::<Vec<_>>())
        .map(Ok::<_, std::io::Error>);
    let refused = upload(&service, "application/gzip", Body::from_stream(endless)).await;
    refused.is_problem(413, "body_too_large");
    let announced = request(Method::POST, CONTEXTS)
        .header("content-type", "application/gzip")
        .header("content-length", (2 << 20).to_string());
    let refused = service.send(announced.body(Body::empty()).unwrap()).await;
    refused.is_problem(413, "body_too_large");
    let dockerfile = upload(&service, "text/plain", Body::from(vec![b'#'; (1 << 20) + 1])).await;
    dockerfile.is_problem(413, "body_too_large");
    nothing_is_left(&service).await;
}

#[sqlx::test(migrations = false)]
async fn other_kinds_of_bodies_are_refused(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    for kind in [
        "application/json",
        "application/zip",
        "application/x-www-form-urlencoded",
    ] {
        upload(&service, kind, Body::from("x"))
            .await
            .is_problem(415, "unsupported_media_type");
    }
    let bad = request(Method::POST, "/api/v1/contexts?project=No").header("content-type", "text/plain");
    let refused = service.send(bad.body(Body::from("FROM x")).unwrap()).await;
    assert_eq!(
        refused.is_problem(422, "validation_failed")["errors"][0]["field"],
        "project"
    );
}

#[sqlx::test(migrations = false)]
async fn a_broken_or_silent_upload_leaves_nothing_behind(_: PgPoolOptions, database: PgConnectOptions) {
    let options = ApiOptions {
        upload_idle_timeout: Duration::from_millis(50),
        ..ApiOptions::default()
    };
    let service = Harness::with(&address(&database), options).await;
    let half = Bytes::from(archive(&[("data", &noise(1 << 20))])).slice(..600_000);
    let broken = futures::stream::iter([Ok(half.clone()), Err(std::io::Error::other("gone"))]);
    let refused = upload(&service, "application/gzip", Body::from_stream(broken)).await;
    refused.is_problem(400, "bad_request");
    let silent = futures::stream::iter([Ok::<_, std::io::Error>(half)]).chain(futures::stream::pending());
    let refused = upload(&service, "application/gzip", Body::from_stream(silent)).await;
    refused.is_problem(408, "request_timeout");
    nothing_is_left(&service).await;
}

#[sqlx::test(migrations = false)]
async fn uploads_beyond_the_places_are_put_off(_: PgPoolOptions, database: PgConnectOptions) {
    let options = ApiOptions {
        max_uploads: 0,
        ..ApiOptions::default()
    };
    let service = Harness::with(&address(&database), options).await;
    upload(&service, "text/plain", Body::from("FROM x"))
        .await
        .is_problem(503, "overloaded");
}

#[sqlx::test(migrations = false)]
async fn a_context_is_built_from_in_its_own_project_only(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let made = upload(&service, "text/plain", Body::from("FROM scratch\n")).await;
    let build = |project: &str, context: &str| {
        json!({
            "project": project,
            "source": {"upload": {"context_id": context}},
            "destinations": ["registry.example/app:1"],
        })
    };
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let accepted = service.post("/api/v1/builds", &build("default", &id)).await;
    assert_eq!(accepted.status, StatusCode::CREATED);
    for body in [
        build("web", &id),
        build("default", &ContextId::generate().to_string()),
    ] {
        let refused = service
            .post("/api/v1/builds", &body)
            .await
            .is_problem(422, "validation_failed");
        assert_eq!(refused["errors"][0]["field"], "source.upload.context_id");
    }
}

#[sqlx::test(migrations = false)]
async fn only_a_running_builds_token_opens_its_context(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let bytes = archive(&[("Dockerfile", b"FROM scratch\n")]);
    let made = upload(&service, "application/gzip", Body::from(bytes.clone())).await;
    let context: ContextId = made.json()["id"].as_str().unwrap().parse().unwrap();
    let body = json!({
        "source": {"upload": {"context_id": context}},
        "destinations": ["registry.example/app:1"],
    });
    let build: BuildId = service.create(&body).await;
    let token = "slipway-test-token";
    let grant = Sha256::digest(token).into();
    service.store.grant_context(context, build, grant).await.unwrap();
    let download = async |credentials: Option<String>| {
        let mut request = request(Method::GET, &format!("{CONTEXTS}/{context}/content"));
        if let Some(credentials) = credentials {
            request = request.header("authorization", credentials);
        }
        service.send(request.body(Body::empty()).unwrap()).await
    };
    let right = || Some(format!("Bearer {token}"));
    download(right()).await.is_problem(401, "unauthorized");
    service.launch(build).await;
    for wrong in [
        None,
        Some("Bearer x".into()),
        Some(format!("Basic {token}")),
        Some("Bearer".into()),
    ] {
        let refused = download(wrong).await;
        refused.is_problem(401, "unauthorized");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
    let opened = download(right()).await;
    assert_eq!(opened.status, StatusCode::OK);
    assert_eq!(opened.header("content-type"), Some("application/gzip"));
    assert_eq!(
        opened.header("content-length"),
        Some(bytes.len().to_string().as_str())
    );
    assert_eq!(opened.body, bytes);
}
