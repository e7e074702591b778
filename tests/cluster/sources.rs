//! Where a build's context comes from.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::world::World;

const GOOD: &str =
    "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"echo\", \"hello from the step\"]\n";

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_context_on_a_claim_as_in_the_article(_: PgPoolOptions, database: PgConnectOptions) {
    let mut world = World::with(&database, &[]).await;
    let source = world.volume(GOOD).await;
    let id = world.service.create(&world.request(&source)).await;
    let build = world.service.ended(&id, Duration::from_secs(120)).await;
    assert_eq!(build["state"], "succeeded", "{build:#}");
    let digest = world.registry.digest("team/app", "1").await;
    assert_eq!(build["digest"].as_str(), digest.as_deref(), "{build:#}");
    world.place.close().await;
}
