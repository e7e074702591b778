//! Where a build's context comes from.
//!
//! Archives behind HTTPS are not among it: kaniko takes no others, and none from a host whose certificate its image does
//! not know. What becomes of those is among the failures.

use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    deployed::expected::succeeded,
    deployed::git::{self, GitHost},
    deployed::world::{World, archive},
    support::cluster,
    support::registry::Registry,
};

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_context_on_a_claim_as_in_the_article(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::with(&database, &[]).await;
    // The whole claim is the context of the second one.
    world.folder(".", "FROM BASE\nRUN echo from the root\n");
    let root = json!({ "volume": { "claim": "contexts" } });
    world
        .run(vec![
            world.case(
                "volume: a folder on a claim",
                "FROM BASE\nCOPY Dockerfile /copied\nRUN cat /copied\n",
                json!({}),
                succeeded().logs("COPY Dockerfile /copied"),
            ),
            world.case_from(
                "volume: the root of a claim",
                root,
                json!({}),
                succeeded().logs("from the root"),
            ),
        ])
        .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_git_repository_at_its_tip_a_tag_and_a_commit(_: PgPoolOptions, database: PgConnectOptions) {
    let host = GitHost::start(&cluster::host());
    let world = World::with(&database, &[]).await;
    let dockerfile =
        |words: &str| world.dockerfile(&format!("FROM BASE\nRUN echo this is the {words} one\n"));
    let commits = host.repository("app", &["first", "second", "third"].map(dockerfile));
    let at = |more: serde_json::Value| {
        let mut source = json!({ "url": host.url("app"), "sub_path": "image" });
        let more = more.as_object().expect("fields of a source").clone();
        source.as_object_mut().expect("it is an object").extend(more);
        json!({ "git": source })
    };
    let case = |name, more, words: &str| {
        world.case_from(
            name,
            at(more),
            json!({}),
            succeeded().logs(format!("this is the {words} one")),
        )
    };
    world
        .run(vec![
            case("git: the default branch", json!({}), "third"),
            case("git: a branch", json!({ "ref": "refs/heads/main" }), "third"),
            case(
                "git: a branch by its short name",
                json!({ "ref": "main" }),
                "third",
            ),
            case("git: a tag", json!({ "ref": "refs/tags/v1" }), "first"),
            case("git: a commit", json!({ "commit": commits[1] }), "second"),
        ])
        .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_private_git_repository(_: PgPoolOptions, database: PgConnectOptions) {
    let host = GitHost::start(&cluster::host());
    let registry = Registry::open(&cluster::host()).await;
    let mut world = World::new(&database, registry).await;
    let login = json!({ "username": git::USER, "password": git::PASSWORD });
    let secret = json!({ "metadata": { "name": "git" }, "stringData": login });
    world.place.create::<Secret>(secret).await;
    world
        .serve(&[("SLIPWAY_GIT_SECRET", "git"), ("SLIPWAY_GIT_HOSTS", &host.host)])
        .await;
    let dockerfile = world.dockerfile("FROM BASE\nRUN echo nobody else sees this\n");
    host.repository("private/app", &[dockerfile]);
    let source = json!({ "git": { "url": host.url("private/app"), "sub_path": "image" } });
    world
        .run(vec![world.case_from(
            "git: a private repository, by a Secret",
            source,
            json!({}),
            succeeded().logs("nobody else sees this"),
        )])
        .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn an_uploaded_context_is_fetched_from_the_service(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::with(&database, &[]).await;
    let dockerfile = world.dockerfile("FROM BASE\nCOPY note /note\nRUN cat /note\n");
    let files = archive(&[("web/Dockerfile", &dockerfile), ("web/note", "from the upload")]);
    let context = world.service.upload("test", files).await;
    let source = json!({ "upload": { "context_id": context, "sub_path": "web" } });
    world
        .run(vec![
            world.case_from(
                "upload: a folder in an archive",
                source,
                json!({}),
                succeeded()
                    .logs("slipway: fetch-context: fetching the context")
                    .logs("from the upload"),
            ),
        ])
        .await;
}
