//! What the machine must have: an engine, an executor, volumes, credentials.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use bollard::{
    models::VolumeCreateRequest,
    query_parameters::{RemoveImageOptions, RemoveVolumeOptions},
};
use jiff::Timestamp;
use serde_json::json;
use slipway::{
    domain::{BuildId, Clock, Reason},
    launcher::{LaunchError, Launcher, engine::Options},
};

use crate::{
    engine::digest, engine::failure, engine::world::World, engine::world_or_skip, support::port::Port,
    support::registry,
};

#[tokio::test]
async fn credentials_open_a_locked_registry_and_without_them_it_stays_shut() {
    let world = world_or_skip!(locked);
    let order = world.order("FROM scratch\nCOPY Dockerfile /\n", json!({}));
    let sighting = world.build(&order).await;
    assert_eq!(failure(&sighting).reason, Reason::RegistryUnauthorized);
    assert_eq!(sighting.failed_attempts, 1);

    let auth = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("builder:{}", registry::PASSWORD),
    );
    let config = json!({ "auths": { &world.registry.host: { "auth": auth } } });
    let config = world.write_aside("config.json", &config.to_string());
    let trusted = world.with_options(|options| options.docker_config = Some(config));
    let order = world.order("FROM scratch\nCOPY Dockerfile /\n", json!({}));
    trusted.launch(&order).await.expect("launches");
    let sighting = world.to_the_end(&trusted, &order).await;
    assert_eq!(digest(&sighting), world.registry.digest("team/app", "1").await);
}

#[tokio::test]
async fn only_volumes_that_are_marked_for_builds_are_mounted() {
    let world = world_or_skip!(open);
    let named = world.with_options(|options| options.volume_root = None);
    let volume = format!("slipway-test-{}", BuildId::generate());
    let order = world.order(
        "FROM BASE\n",
        json!({ "source": { "volume": { "claim": volume } } }),
    );
    let missing = named.launch(&order).await;
    assert!(matches!(missing, Err(LaunchError::Refused(_))), "{missing:?}");

    make_volume(&world, &volume, &[]).await;
    let unmarked = named.launch(&order).await;
    assert!(matches!(unmarked, Err(LaunchError::Refused(_))), "{unmarked:?}");
    assert_eq!(world.engine.list().await.expect("answers"), []);
    remove_volume(&world, &volume).await;

    make_volume(&world, &volume, &[("slipway.dev/context", "true")]).await;
    named.launch(&order).await.expect("is marked");
    let sighting = world.to_the_end(&named, &order).await;
    assert_eq!(
        failure(&sighting).reason,
        Reason::DockerfileMissing,
        "an empty volume was mounted"
    );
    named.remove(order.id).await.expect("removes");
    remove_volume(&world, &volume).await;
}

async fn make_volume(world: &World, name: &str, labels: &[(&str, &str)]) {
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let request = VolumeCreateRequest {
        name: Some(name.to_owned()),
        labels: Some(labels),
        ..VolumeCreateRequest::default()
    };
    world.docker.create_volume(request).await.expect("creates");
}

async fn remove_volume(world: &World, name: &str) {
    world
        .docker
        .remove_volume(name, None::<RemoveVolumeOptions>)
        .await
        .expect("removes, builds leave it alone");
}

#[tokio::test]
async fn an_executor_that_cannot_be_had_fails_builds_only_after_a_while() {
    let world = world_or_skip!(open);
    let clock = Arc::new(Hands(AtomicI64::new(0)));
    let missing =
        |options: &mut Options| options.kaniko.image = format!("{}/no/such-executor:1", world.registry.host);
    let engine = world.with_clock(missing, clock.clone());
    let order = world.order("FROM BASE\n", json!({}));

    let now = engine.launch(&order).await;
    assert!(
        matches!(&now, Err(LaunchError::Unavailable(words)) if words.contains("no/such-executor")),
        "{now:?}"
    );
    clock.0.store(11 * 60, Ordering::Relaxed);
    let later = engine.launch(&order).await;
    assert!(
        matches!(&later, Err(LaunchError::Refused(words)) if words.contains("no/such-executor")),
        "{later:?}"
    );
}

#[tokio::test]
async fn an_executor_is_pulled_and_one_that_cannot_start_leaves_no_container() {
    let world = world_or_skip!(open);
    // An image without an entry point: kaniko's first argument is taken for a program.
    let base = world.registry.base();
    let engine = world.with_options(|options| options.kaniko.image = base.clone());
    let order = world.order("FROM BASE\n", json!({}));

    let launched = engine.launch(&order).await;

    assert!(matches!(launched, Err(LaunchError::Refused(_))), "{launched:?}");
    assert_eq!(engine.list().await.expect("answers"), []);
    world
        .docker
        .remove_image(&base, None::<RemoveImageOptions>, None)
        .await
        .expect("was pulled");
}

/// A clock that is set by hand: seconds since 2027 began.
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_798_761_600 + self.0.load(Ordering::Relaxed)).expect("a time")
    }
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_unavailable() {
    let world = world_or_skip!(open);
    let nobody = Port::reserve();
    let away = world.with_options(|options| options.host = Some(format!("tcp://127.0.0.1:{nobody}")));
    assert!(away.ready().await.is_err());
    let order = world.order("FROM BASE\n", json!({}));
    assert!(matches!(
        away.launch(&order).await,
        Err(LaunchError::Unavailable(_))
    ));
    assert!(world.engine.ready().await.is_ok());
}
