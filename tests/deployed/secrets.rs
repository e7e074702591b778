//! Secrets of the cluster in steps that ask for them: and nowhere else, as far as we have a say in it.

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Pod, Secret},
};
use kube::api::ListParams;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    deployed::expected::succeeded, deployed::world::World, support::cluster, support::registry::Registry,
};

/// One step uses the secret, another one prints it, and the next must not see it any more.
const STEPS: &str = r#"FROM BASE
RUN --mount=type=secret,id=npm /bin/busybox sha256sum /run/secrets/npm
RUN --mount=type=secret,id=npm echo "with <$(cat /run/secrets/npm)> in it"
RUN test ! -e /run/secrets/npm && echo gone again > /said && cat /said
"#;

/// A token of a form that logs are searched for. Nothing else can be masked: the service has no right to the value.
fn value() -> String {
    format!("ghp_{}", "4711".repeat(9))
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_secret_is_in_its_step_and_nowhere_else(pool: PgPoolOptions, database: PgConnectOptions) {
    let world = World::with(&database, &[]).await;
    let secret = json!({ "metadata": { "name": "team" }, "stringData": { "token": value() } });
    world.place.create::<Secret>(secret).await;
    world.project("team", json!({ "build_secrets": ["team"] })).await;
    let rest = json!({
        "project": "team", "secrets": [{ "id": "npm", "secret": "team", "key": "token" }],
    });
    let expected = succeeded()
        .logs(hex::encode(Sha256::digest(value())))
        .logs("with <***> in it")
        .logs("gone again");
    let case = world.case("secrets: a step that asks for one", STEPS, rest, expected);
    let id = world.begin(&case).await;
    let row = world.end(&case, &id).await;
    world.report(&[row]);

    world.the_cluster_keeps_it_in_the_secret_only().await;
    world.the_api_does_not_tell_it(&id).await;
    let pool = pool.connect_with(database).await.expect("the database answers");
    assert_eq!(tables_with(&pool, &value()).await, Vec::<String>::new());
    assert!(!world.service.log().contains(&value()));
    let image = world
        .registry
        .content("team/secrets-a-step-that-asks-for-one", "1")
        .await;
    let has = |text: &str| image.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("gone again"), "it is what was built");
    assert!(!has(&value()));
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_project_names_no_secret_that_is_not_settled_for_it(_: PgPoolOptions, database: PgConnectOptions) {
    let mut world = World::new(&database, Registry::start(&cluster::host())).await;
    world.serve(&[]).await;
    world.project("team", json!({ "build_secrets": ["team"] })).await;
    let case = |secret: &str| {
        let secrets = json!([{ "id": "npm", "secret": secret, "key": "token" }]);
        let rest = json!({ "project": "team", "secrets": secrets });
        world
            .case("secrets: another one's", STEPS, rest, succeeded())
            .request
    };
    let (status, problem) = world.service.post("api/v1/builds", &case("registry")).await;
    assert_eq!(status, 422, "{problem}");
    assert!(problem.to_string().contains("secrets[0]"), "{problem}");
    let jobs = world.place.api::<Job>().list(&ListParams::default()).await;
    assert!(jobs.expect("the API server answers").items.is_empty());
}

impl World {
    async fn the_cluster_keeps_it_in_the_secret_only(&self) {
        let all = ListParams::default();
        let jobs = self.place.api::<Job>().list(&all).await;
        let pods = self.place.api::<Pod>().list(&all).await;
        let jobs = serde_json::to_string(&jobs.expect("they can be listed")).expect("it is JSON");
        let pods = serde_json::to_string(&pods.expect("they can be listed")).expect("it is JSON");
        assert!(jobs.contains("--secret=id=npm"), "{jobs}");
        assert!(!jobs.contains(&value()), "{jobs}");
        assert!(!pods.contains(&value()), "{pods}");
    }

    async fn the_api_does_not_tell_it(&self, id: &str) {
        for path in [
            "builds?project=team",
            &format!("builds/{id}"),
            &format!("builds/{id}/events"),
            &format!("builds/{id}/logs"),
            "events?project=team",
            "queue",
            "projects/team",
            "audit",
        ] {
            let (status, answer) = self.service.get(&format!("api/v1/{path}")).await;
            assert_eq!(status, 200, "{path}: {answer}");
            assert!(!answer.to_string().contains(&value()), "{path}: {answer}");
        }
    }
}

/// The tables that have a text in a row, as it is or as bytes. Logs are packed; they are read over the API.
async fn tables_with(pool: &PgPool, text: &str) -> Vec<String> {
    let names = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()";
    let names: Vec<String> = sqlx::query_scalar(names)
        .fetch_all(pool)
        .await
        .expect("the tables have names");
    assert!(names.iter().any(|name| name == "builds"), "{names:?}");
    let mut found = Vec::new();
    for name in names {
        let hex = hex::encode(text);
        let count = format!(
            r#"SELECT count(*) FROM "{name}" AS row WHERE strpos(row::text, $1) > 0 OR strpos(row::text, $2) > 0"#
        );
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(count))
            .bind(text)
            .bind(hex)
            .fetch_one(pool)
            .await
            .expect("the table can be read");
        if count > 0 {
            found.push(name);
        }
    }
    found
}
