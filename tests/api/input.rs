//! Bad input: refused as problems that say what is wrong.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use slipway::api::{ListenerOptions, serve};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use crate::api::harness::{Harness, request, settled, wanted};

const BUILDS: &str = "/api/v1/builds";

/// A request with one field set to something else; `path` as JSON pointers have it.
fn with(path: &str, value: Value) -> Value {
    let mut body = wanted();
    let (parent, name) = path.rsplit_once('/').expect("a pointer has a slash");
    body.pointer_mut(parent).expect("the parent is there")[name] = value;
    body
}

#[sqlx::test(migrations = false)]
async fn hostile_values_are_refused_by_field(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let long = "a".repeat(5_000);
    let git = |bad: &str| ("/source/git/url", json!(bad), "source.git.url");
    let reference = |bad: &str| ("/source/git/ref", json!(bad), "source.git.ref");
    let sub_path = |bad: &str| ("/source/git/sub_path", json!(bad), "source.git.sub_path");
    let dockerfile = |bad: &str| ("/dockerfile", json!(bad), "dockerfile");
    let image = |bad: &str| ("/destinations", json!([bad]), "destinations[0]");
    let arg = |bad: &str, field: &'static str| ("/build_args", json!({bad: "1"}), field);
    let cases = [
        git("ext::sh -c touch% /tmp/pwned"),
        git("file:///etc"),
        git("-uhttps://host/x"),
        git("--upload-pack=touch /tmp/pwned"),
        git("https://user:secret@host/x.git"),
        git("https://host/x\n"),
        git("https://host/x\0"),
        git("ssh://host/x"),
        git("https://host/x#main"),
        git(""),
        git(&long),
        reference("-main"),
        reference("a#b"),
        reference("a..b"),
        reference("a b"),
        reference("a\u{7f}"),
        reference("refs/heads/x.lock"),
        reference("@{u}"),
        reference(&long),
        sub_path("/etc"),
        sub_path("../x"),
        sub_path("a/../../b"),
        sub_path("a\\..\\b"),
        sub_path("a\0"),
        dockerfile("/etc/passwd"),
        dockerfile("../Dockerfile"),
        dockerfile("-f"),
        dockerfile(""),
        image("registry.example@evil/x"),
        image("registry.example/UPPER:1"),
        image("no-host:1"),
        image("registry.example/x:tag:tag"),
        image("registry.example/../x"),
        image("https://registry.example/x"),
        image("registry.example/x y"),
        image(&long),
        arg("PATH", "build_args.PATH"),
        arg("LD_PRELOAD", "build_args.LD_PRELOAD"),
        arg("DOCKER_CONFIG", "build_args.DOCKER_CONFIG"),
        arg("KANIKO_DIR", "build_args.KANIKO_DIR"),
        arg("BASH_ENV", "build_args.BASH_ENV"),
        arg("--flag", "build_args.--flag"),
        ("/source", json!({"svn": {"url": "x"}}), "source"),
        ("/source", json!({}), "source"),
        (
            "/source",
            json!({"http": {"url": "http://user@host/x"}}),
            "source.http.url",
        ),
        (
            "/source",
            json!({"upload": {"context_id": "x"}}),
            "source.upload.context_id",
        ),
        (
            "/source",
            json!({"volume": {"claim": "A_b"}}),
            "source.volume.claim",
        ),
        ("/project", json!("../x"), "project"),
        ("/timeout_seconds", json!(0), "timeout_seconds"),
        ("/max_retries", json!(11), "max_retries"),
        ("/max_retries", json!(1.5), "max_retries"),
        ("/priority", json!(1e300), "priority"),
        ("/resources", json!({"memory": "lots"}), "resources.memory"),
        ("/platform", json!("linux/amd64 --x"), "platform"),
        ("/unknown", json!(1), "unknown"),
    ];
    for (path, value, field) in cases {
        let body = with(path, value);
        let refused = service
            .post(BUILDS, &body)
            .await
            .is_problem(422, "validation_failed");
        assert_eq!(refused["errors"][0]["field"], field, "{refused}");
        assert!(
            !refused["errors"][0]["reason"]
                .as_str()
                .expect("it is a text")
                .is_empty()
        );
    }
    let left = service.get(BUILDS).await.json();
    assert_eq!(left["builds"], json!([]), "nothing was stored");
}

#[sqlx::test(migrations = false)]
async fn a_problem_looks_like_this(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let refused = service
        .post(BUILDS, &with("/source/git/url", json!("file:///etc")))
        .await;
    insta::assert_json_snapshot!("problem", settled(refused.json()));
}

#[sqlx::test(migrations = false)]
async fn bodies_that_are_no_json_are_refused(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let send = async |kind: Option<&str>, encoding: Option<&str>, body: Vec<u8>| {
        let mut request = request(Method::POST, BUILDS);
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        service.send(request.body(Body::from(body)).unwrap()).await
    };
    let good = || wanted().to_string().into_bytes();
    let json = Some("application/json");
    for body in [&b"{"[..], b"", b"\xff\xfe", b"{\"a\":\x00}", b"{} trailing"] {
        send(json, None, body.to_vec())
            .await
            .is_problem(400, "malformed_json");
    }
    // A change whose fields may all be left out, too.
    let change = "/api/v1/triggers/01890a5d-ac96-774b-bcce-b302099a8057";
    for (method, path) in [(Method::POST, BUILDS), (Method::PATCH, change)] {
        for body in ["[null, null]", "[]", "null", "3", "\"text\""] {
            let request = request(method.clone(), path).header("content-type", "application/json");
            let answer = service.send(request.body(Body::from(body)).unwrap()).await;
            let problem = answer.is_problem(422, "validation_failed");
            assert_eq!(problem["detail"], "the body must be a JSON object");
        }
    }
    let settings = json!({"push_mode": "direct", "default_resources": {}, "max_resources": [null, null]});
    let project = json!({"name": "lists", "terms": {"settings": settings}});
    let problem = service.post("/api/v1/projects", &project).await;
    let problem = problem.is_problem(422, "validation_failed");
    assert_eq!(problem["errors"][0]["field"], "terms.settings.max_resources");
    // What may be left out of a change is no null for that.
    let problem = service.patch(change, &json!({"clone_url": null})).await;
    let problem = problem.is_problem(422, "validation_failed");
    assert_eq!(problem["errors"][0]["field"], "clone_url");
    for kind in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some(""),
    ] {
        send(kind, None, good())
            .await
            .is_problem(415, "unsupported_media_type");
    }
    send(json, Some("gzip"), good())
        .await
        .is_problem(415, "unsupported_media_type");
    for kind in [
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.team+json",
    ] {
        assert_eq!(
            send(Some(kind), None, good()).await.status,
            StatusCode::CREATED,
            "{kind}"
        );
    }
}

#[sqlx::test(migrations = false)]
async fn a_body_above_the_limit_is_not_read_to_its_end(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let pulled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&pulled);
    let endless = futures::stream::repeat_with(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b' '; 4096]))
    });
    let post = || request(Method::POST, BUILDS).header("content-type", "application/json");
    let refused = service
        .send(post().body(Body::from_stream(endless)).unwrap())
        .await;
    refused.is_problem(413, "body_too_large");
    // What comes after the limit is thrown away, for a while: 64 MiB.
    tokio::task::yield_now().await;
    assert!(
        pulled.load(Ordering::Relaxed) <= (64 << 20) / 4096 + 256 / 4 + 4,
        "{pulled:?}"
    );
    // Announced: not even begun.
    let announced = post()
        .header("content-length", "1000000")
        .body(Body::empty())
        .unwrap();
    service.send(announced).await.is_problem(413, "body_too_large");
}

#[sqlx::test(migrations = false)]
async fn unknown_routes_and_methods_are_problems(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v2/builds",
        "/api/v1/builds/",
        "/api/v1//builds",
    ] {
        service.get(path).await.is_problem(404, "not_found");
    }
    for (method, path, allow) in [
        (Method::DELETE, BUILDS, "GET,HEAD,POST"),
        (Method::PUT, BUILDS, "GET,HEAD,POST"),
        (Method::GET, "/api/v1/contexts", "POST"),
        (Method::POST, "/livez", "GET,HEAD"),
    ] {
        let answer = service
            .send(request(method, path).body(Body::empty()).unwrap())
            .await;
        answer.is_problem(405, "method_not_allowed");
        let mut allowed: Vec<&str> = answer
            .header("allow")
            .expect("it says what is")
            .split(',')
            .collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), allow, "{path}");
    }
    let head = service
        .send(request(Method::HEAD, BUILDS).body(Body::empty()).unwrap())
        .await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
}

#[sqlx::test(migrations = false)]
async fn bad_queries_name_the_parameter(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=", "cursor"),
        ("state=asleep", "state"),
        ("state=", "state"),
        ("project=A", "project"),
        ("repository=x:1", "repository"),
        ("repository=%00", "repository"),
        ("ref=a..b", "ref"),
        ("ref=%00", "ref"),
        ("created_from=yesterday", "created_from"),
        ("created_before=2026-13-01T00:00:00Z", "created_before"),
        ("stat=queued", "stat"),
    ] {
        let refused = service.get(&format!("{BUILDS}?{query}")).await;
        let refused = refused.is_problem(422, "validation_failed");
        assert_eq!(refused["errors"][0]["field"], field, "{query}");
    }
}

#[sqlx::test(migrations = false)]
async fn the_clients_request_id_is_kept_if_it_is_harmless(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let ask = async |id: &str| {
        let request = request(Method::GET, "/nothing").header("x-request-id", id);
        let answer = service.send(request.body(Body::empty()).unwrap()).await;
        answer
            .header("x-request-id")
            .expect("every answer has one")
            .to_owned()
    };
    assert_eq!(ask("my-request.1").await, "my-request.1");
    assert_ne!(ask("{\"x\": 1}").await, "{\"x\": 1}");
}

#[sqlx::test(migrations = false)]
async fn a_client_sees_its_answer_although_it_was_not_heard_out(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    tokio::spawn(serve(
        listener,
        service.app.clone(),
        ListenerOptions::default(),
        soft,
        hard.clone(),
    ));
    let _stop = hard.drop_guard();
    for _ in 0..5 {
        let mut client = TcpStream::connect(address).await.unwrap();
        let head = "POST /api/v1/builds HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                    Content-Type: application/json\r\nContent-Length: 8388608\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        // A client that sends everything before it listens.
        for _ in 0..128 {
            client
                .write_all(&[b' '; 64 << 10])
                .await
                .expect("the service goes on listening");
        }
        let mut answer = String::new();
        client
            .read_to_string(&mut answer)
            .await
            .expect("the answer is whole");
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(answer.contains("body_too_large"), "{answer}");
    }
}
