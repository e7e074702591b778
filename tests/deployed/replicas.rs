//! Two replicas of the service on one database. What becomes of them under faults is tried by `tests/faults`.

use std::time::Duration;

use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    deployed::case::within,
    deployed::expected::succeeded,
    deployed::world::{World, service},
};

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn one_replica_finishes_what_another_began(_: PgPoolOptions, database: PgConnectOptions) {
    let mut world = World::with(&database, &[]).await;
    let dockerfile = "FROM BASE\nRUN echo begun; sleep 8; echo done\n";
    let expected = succeeded().logs("begun").logs("done");
    let case = world.case(
        "two replicas, one killed in mid-build",
        dockerfile,
        json!({}),
        expected,
    );
    let id = world.begin(&case).await;
    let begun = within(Duration::from_secs(120), async || {
        world.log(&id).await.contains("begun\n")
    });
    assert!(begun.await, "it never began");

    let (place, home) = (&world.place, world.home.path());
    let mut second = service("second", &database, &place.namespace, &world.registry.host, home);
    second.up().await;
    world.service.kill();
    // From here on, only the second one is there to be asked.
    std::mem::swap(&mut world.service, &mut second);
    let row = world.end(&case, &id).await;
    world.report(&[row]);
}
