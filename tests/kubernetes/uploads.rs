//! Uploaded contexts, fetched by our own image.

use std::{io::Write, net::TcpListener};

use serde_json::json;
use sha2::{Digest, Sha256};
use slipway::{
    domain::{Outcome, Reason},
    launcher::{ContextGrant, Launcher, Order},
};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::header};

use crate::{
    kubernetes::harness::{World, read_log},
    support::cluster::{fetcher_image, host},
};

async fn world() -> World {
    World::with(|options| {
        options.fetcher_image = fetcher_image();
    })
    .await
}

fn archive(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, &content[..]).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

/// Serves an archive as our API does, and grants it to a build.
async fn granted(world: &World, archive: Vec<u8>) -> (MockServer, Order) {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = MockServer::builder().listener(listener).start().await;
    let sha256 = Sha256::digest(&archive).into();
    let size = archive.len() as u64;
    Mock::given(header("authorization", "Bearer gr$(ant"))
        .respond_with(ResponseTemplate::new(200).set_body_bytes(archive))
        .mount(&server)
        .await;
    let source =
        json!({ "upload": { "context_id": "01890a5d-ac96-774b-bcce-b302099a8058", "sub_path": "web" } });
    let mut order = world.order(source, json!({ "max_retries": 1 }));
    order.context = Some(ContextGrant {
        url: format!("http://{}:{port}/archive", host()).parse().unwrap(),
        token: "gr$(ant".to_owned().into(),
        sha256,
        size,
    });
    (server, order)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn an_uploaded_context_is_fetched_verified_and_built() {
    let world = world().await;
    let dockerfile = "FROM scratch AS a\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"id\"]\n\
                      FROM scratch\nCOPY --from=a /bin/busybox /b\nCOPY note /note\n";
    let files = [
        ("web/Dockerfile", dockerfile.as_bytes().to_vec()),
        ("web/busybox", std::fs::read("/bin/busybox").unwrap()),
        ("web/note", b"hi".to_vec()),
    ];
    let (_server, order) = granted(&world, archive(&files)).await;
    world.launcher.launch(&order).await.unwrap();
    let seen = world.finish(order.id).await;
    let Outcome::Succeeded { digest: Some(digest) } = &seen.outcome else {
        panic!("{:?}", seen.outcome)
    };
    assert_eq!(
        world.registry.digest("team/app", "1").await.as_deref(),
        Some(digest.as_str())
    );
    let log = read_log(&world, order.id, &seen.attempts[0].name).await;
    assert!(
        log.starts_with("slipway: fetch-context: fetching the context"),
        "{log}"
    );
    assert!(log.contains("COPY note /note"), "{log}");
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn an_archive_that_reaches_outside_ends_the_build_before_kaniko_begins() {
    let world = world().await;
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_mode(0o777);
    link.set_size(0);
    tar.append_link(&mut link, "web", "/etc").unwrap();
    let mut gz = tar.into_inner().unwrap();
    gz.flush().unwrap();
    let (_server, order) = granted(&world, gz.finish().unwrap()).await;
    world.launcher.launch(&order).await.unwrap();
    let seen = world.finish(order.id).await;
    let Outcome::Failed(failure) = &seen.outcome else {
        panic!("{:?}", seen.outcome)
    };
    assert_eq!(
        (failure.reason, failure.exit_code),
        (Reason::ContextInvalid, Some(65))
    );
    assert!(failure.message.contains("symbolic link"), "{failure:?}");
    assert_eq!(seen.failed_attempts, 1);
    world.place.close().await;
}
