//! Registries that ask for credentials, layers from a cache, and several places for one image.

use std::fs;

use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    deployed::expected::{failed, succeeded},
    deployed::report::not_run,
    deployed::world::World,
    support::cluster,
    support::registry::{self, Registry},
};

/// Takes a private base image from the locked registry, and pushes there.
const PRIVATE: &str = "FROM BASE\nRUN echo let in\n";

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn credentials_in_a_secret(_: PgPoolOptions, database: PgConnectOptions) {
    let mut world = World::new(&database, Registry::locked(&cluster::host()).await).await;
    world.registry_secret("registry", registry::PASSWORD).await;
    world.serve(&[("SLIPWAY_REGISTRY_SECRET", "registry")]).await;
    let name = "credentials: from a Secret, a private base image too";
    world
        .run(vec![world.case(
            name,
            PRIVATE,
            json!({}),
            succeeded().logs("let in"),
        )])
        .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn credentials_on_a_claim_as_in_the_article(_: PgPoolOptions, database: PgConnectOptions) {
    let mut world = World::new(&database, Registry::locked(&cluster::host()).await).await;
    let folder = world.home.path().join("docker-config");
    fs::create_dir(&folder).expect("the folder can be made");
    fs::write(
        folder.join("config.json"),
        world.docker_config(registry::PASSWORD),
    )
    .expect("the file can be written");
    world.place.claim("docker-config", &folder).await;
    world.serve(&[("SLIPWAY_REGISTRY_CLAIM", "docker-config")]).await;
    let name = "credentials: from config.json on a claim";
    world
        .run(vec![world.case(
            name,
            PRIVATE,
            json!({}),
            succeeded().logs("let in"),
        )])
        .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn wrong_credentials_and_none(_: PgPoolOptions, database: PgConnectOptions) {
    let open = Registry::open(&cluster::host()).await;
    let mut world = World::new(&database, Registry::locked(&cluster::host()).await).await;
    world.registry_secret("registry", "guessed").await;
    let insecure = [world.registry.host.as_str(), &open.host].join(",");
    world
        .serve(&[
            ("SLIPWAY_REGISTRY_SECRET", "registry"),
            ("SLIPWAY_INSECURE_REGISTRIES", &insecure),
        ])
        .await;
    let pushed_elsewhere = json!({ "destinations": [format!("{}/team/app:1", open.host)], "max_retries": 3 });
    world
        .run(vec![
            world.case(
                "credentials: a wrong password for the destination",
                "FROM scratch\nCOPY Dockerfile /\n",
                json!({ "max_retries": 3 }),
                failed("registry_unauthorized", "operator"),
            ),
            world.case(
                "credentials: a wrong password for the base image",
                "FROM BASE\n",
                pushed_elsewhere,
                failed("base_image_unauthorized", "user"),
            ),
        ])
        .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_second_build_takes_its_layers_from_the_cache(_: PgPoolOptions, database: PgConnectOptions) {
    let (first, second) = (
        "cache: the first build fills it",
        "cache: the second takes from it",
    );
    if cluster::is_standin() {
        not_run(second, "the stand-in has no layer cache");
        return;
    }
    let world = World::with(&database, &[]).await;
    let slow = "FROM BASE\nRUN sleep 12; echo done > /slow\n";
    let cache =
        json!({ "cache": { "enabled": true, "repository": format!("{}/team/cache", world.registry.host) } });
    let filling = succeeded().within(12.0..150.0).logs("Pushing layer");
    world
        .run(vec![world.case(first, slow, cache.clone(), filling)])
        .await;
    // The step alone would take the twelve seconds.
    let taking = succeeded()
        .within(0.0..12.0)
        .logs("Using caching version of cmd: RUN sleep 12");
    world.run(vec![world.case(second, slow, cache, taking)]).await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn several_destinations_get_the_same_image(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::with(&database, &[]).await;
    let places = ["team/app:1", "team/app:latest", "other/app:1"];
    let places = places.map(|place| format!("{}/{place}", world.registry.host));
    let rest = json!({ "destinations": places });
    let name = "destinations: three of them";
    world
        .run(vec![world.case(
            name,
            "FROM BASE\nCOPY Dockerfile /\n",
            rest,
            succeeded(),
        )])
        .await;
}
