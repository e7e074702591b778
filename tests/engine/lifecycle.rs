//! Builds that outlive the service, are ended by it, or meet a stranger.

use bollard::{
    models::ContainerCreateBody,
    query_parameters::{
        CreateContainerOptionsBuilder, InspectContainerOptions, RemoveContainerOptionsBuilder,
    },
};
use serde_json::json;
use slipway::{
    domain::{Outcome, Reason},
    launcher::{LaunchError, Launcher, Order},
};

use crate::{engine::digest, engine::failure, engine::world::World, engine::world_or_skip};

#[tokio::test]
async fn a_build_that_takes_too_long_is_ended_even_by_a_restarted_service() {
    let world = world_or_skip!(open);
    let order = world.order("FROM BASE\nRUN sleep 300\n", json!({ "timeout_seconds": 3 }));
    world.engine.launch(&order).await.expect("launches");

    let sighting = world.to_the_end(&world.restarted(), &order).await;

    assert_eq!(failure(&sighting).reason, Reason::TimedOut);
    assert_eq!(sighting.failed_attempts, 1);
}

#[tokio::test]
async fn a_removed_build_leaves_nothing() {
    let world = world_or_skip!(open);
    let order = world.order("FROM BASE\nRUN echo sleeping; sleep 300\n", json!({}));
    world.engine.launch(&order).await.expect("launches");
    world
        .until(&world.engine, &order, |seen| {
            matches!(seen.outcome, Outcome::Running { .. })
        })
        .await;
    assert_eq!(world.engine.list().await.expect("answers"), [order.id]);

    world.engine.remove(order.id).await.expect("removes");

    assert_eq!(world.engine.look(order.id).await.expect("answers"), None);
    assert_eq!(world.engine.list().await.expect("answers"), []);
    world.engine.remove(order.id).await.expect("does no harm twice");
    let late = world.engine.start_attempt(&order, 2).await;
    assert!(late.is_err(), "a removed build has no next attempt");
}

#[tokio::test]
async fn what_runs_is_adopted_after_a_restart_and_what_has_ended_too() {
    let world = world_or_skip!(open);
    let order = world.order("FROM BASE\nRUN sleep 2\n", json!({}));
    let first = world.engine.launch(&order).await.expect("launches");
    assert!(!first.adopted);

    let restarted = world.restarted();
    let again = restarted.launch(&order).await.expect("adopts");
    assert!(again.adopted);
    assert_eq!(again.external_id, first.external_id);

    let sighting = world.to_the_end(&restarted, &order).await;
    assert_eq!(sighting.external_id, first.external_id);
    assert_eq!(digest(&sighting), world.registry.digest("team/app", "1").await);
    assert!(world.restarted().launch(&order).await.expect("adopts").adopted);
}

#[tokio::test]
async fn a_container_that_was_made_and_never_started_is_made_anew() {
    let world = world_or_skip!(open);
    let order = world.order("FROM BASE\nRUN true\n", json!({}));
    let half_made = crashed_before_the_start(&world, &order).await;
    let waiting = world
        .engine
        .look(order.id)
        .await
        .expect("answers")
        .expect("is there");
    assert!(matches!(waiting.outcome, Outcome::Waiting { .. }));

    let launched = world.engine.launch(&order).await.expect("launches");

    assert!(!launched.adopted);
    assert_ne!(launched.external_id, half_made);
    digest(&world.to_the_end(&world.engine, &order).await);
}

/// Leaves what a service leaves that is killed between making a container and starting it.
async fn crashed_before_the_start(world: &World, order: &Order) -> String {
    world.engine.launch(order).await.expect("launches");
    let name = format!("{}-1", order.id.job_name());
    let made = world
        .docker
        .inspect_container(&name, None::<InspectContainerOptions>)
        .await
        .expect("is there");
    world.engine.remove(order.id).await.expect("removes");
    let config = made.config.expect("has a configuration");
    let body = ContainerCreateBody {
        image: config.image,
        cmd: config.cmd,
        labels: config.labels,
        host_config: made.host_config,
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    world
        .docker
        .create_container(Some(options), body)
        .await
        .expect("creates")
        .id
}

#[tokio::test]
async fn a_strangers_container_is_not_adopted() {
    let world = world_or_skip!(open);
    let order = world.order("FROM BASE\n", json!({}));
    let name = format!("{}-1", order.id.job_name());
    let body = ContainerCreateBody {
        image: Some(world.options.kaniko.image.clone()),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let stranger = world
        .docker
        .create_container(Some(options), body)
        .await
        .expect("creates")
        .id;

    let launched = world.engine.launch(&order).await;

    assert!(
        matches!(launched, Err(LaunchError::NameConflict(_))),
        "{launched:?}"
    );
    assert_eq!(world.engine.look(order.id).await.expect("answers"), None);
    let untouched = world
        .docker
        .inspect_container(&stranger, None::<InspectContainerOptions>)
        .await;
    assert!(untouched.is_ok(), "it was not ours to remove");
    let options = RemoveContainerOptionsBuilder::new().force(true).build();
    world
        .docker
        .remove_container(&stranger, Some(options))
        .await
        .expect("removes");
}
