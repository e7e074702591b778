//! Names that are taken, and Jobs that cannot begin.

use k8s_openapi::api::batch::v1::Job;
use kube::api::DeleteParams;
use serde_json::json;
use slipway::{
    domain::{Outcome, Reason, Sighting},
    launcher::{LaunchError, Launcher, manifest::RegistryCredentials},
};

use crate::{kubernetes::harness::World, support::cluster::host};

fn waits_for(reason: Reason) -> impl Fn(Option<&Sighting>) -> bool {
    move |seen| {
        seen.is_some_and(
            |seen| matches!(&seen.outcome, Outcome::Waiting { reason: Some(found), .. } if *found == reason),
        )
    }
}

fn git(world: &World) -> slipway::launcher::Order {
    world.order(
        json!({ "git": { "url": format!("http://{}:1/team/app.git", host()) } }),
        json!({}),
    )
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn launching_twice_gives_one_job() {
    let world = World::new().await;
    let order = git(&world);
    let (one, two) = tokio::join!(world.launcher.launch(&order), world.launcher.launch(&order));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.external_id, two.external_id);
    assert!(one.adopted != two.adopted);
    // Seen at once, though nobody has watched yet.
    assert!(world.launcher.look(order.id).await.unwrap().is_some());
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_strangers_job_is_neither_adopted_nor_seen_nor_removed() {
    let world = World::new().await;
    let order = git(&world);
    let name = order.id.job_name();
    let pod = json!({ "restartPolicy": "Never", "containers": [{ "name": "x", "image": "x.test/x:1" }] });
    world
        .place
        .create::<Job>(json!({ "metadata": { "name": name }, "spec": { "template": { "spec": pod } } }))
        .await;
    let refused = world.launcher.launch(&order).await;
    assert!(
        matches!(&refused, Err(LaunchError::NameConflict(taken)) if *taken == name),
        "{refused:?}"
    );
    assert!(world.launcher.look(order.id).await.unwrap().is_none());
    world.launcher.remove(order.id).await.unwrap();
    assert!(world.place.api::<Job>().get_opt(&name).await.unwrap().is_some());
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_quota_is_named_as_what_a_build_waits_for() {
    let world = World::new().await;
    world.place.quota("pods", "0").await;
    let order = git(&world);
    world.launcher.launch(&order).await.unwrap();
    world.watch(order.id, waits_for(Reason::QuotaExceeded)).await;
    world.launcher.remove(order.id).await.unwrap();
    world.watch(order.id, |seen| seen.is_none()).await;
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_quota_on_jobs_sends_the_build_back_to_the_queue() {
    let world = World::new().await;
    world.place.quota("count/jobs.batch", "0").await;
    let refused = world.launcher.launch(&git(&world)).await;
    assert!(matches!(refused, Err(LaunchError::Unavailable(_))), "{refused:?}");
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_missing_secret_is_named_as_what_a_build_waits_for() {
    let world = World::with(|options| {
        options.registry_credentials = Some(RegistryCredentials::Secret("absent".into()));
    })
    .await;
    let order = git(&world);
    world.launcher.launch(&order).await.unwrap();
    world.watch(order.id, waits_for(Reason::ConfigMissing)).await;
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_builders_image_that_is_nowhere_is_named() {
    let world = World::with(|options| options.kaniko.image = "127.0.0.1:1/kaniko:none".into()).await;
    let order = git(&world);
    world.launcher.launch(&order).await.unwrap();
    world
        .watch(order.id, waits_for(Reason::BuilderImageUnavailable))
        .await;
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_namespace_that_is_not_there_is_the_operators_matter() {
    let world = World::new().await;
    let mut options = world.options.clone();
    options.namespace = "slipway-test-absent".into();
    let launcher = slipway::launcher::kubernetes::Kubernetes::new(world.place.client.clone(), options);
    let refused = launcher.launch(&git(&world)).await;
    assert!(
        matches!(&refused, Err(LaunchError::Refused(words)) if words.contains("not found")),
        "{refused:?}"
    );
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn pods_that_outlive_their_job_are_removed_too() {
    let world = World::with(|options| options.kaniko.image = "127.0.0.1:1/kaniko:none".into()).await;
    let order = git(&world);
    let launched = world.launcher.launch(&order).await.unwrap();
    world
        .watch(order.id, |seen| {
            seen.is_some_and(|seen| !seen.attempts.is_empty())
        })
        .await;
    let orphan = DeleteParams {
        propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    let (jobs, name) = (world.place.api::<Job>(), order.id.job_name());
    jobs.delete(&name, &orphan).await.unwrap();
    let gone = kube::runtime::conditions::is_deleted(&launched.external_id);
    kube::runtime::wait::await_condition(jobs, &name, gone)
        .await
        .unwrap();
    // Seen as long as its pod is there, and could push: that goes on, and is still the Job's.
    let seen = world.launcher.look(order.id).await.unwrap().unwrap();
    assert_eq!(seen.external_id, launched.external_id);
    assert_eq!((seen.attempts.len(), seen.deleting), (1, false));
    world.launcher.remove(order.id).await.unwrap();
    world.watch(order.id, |seen| seen.is_none()).await;
    assert!(world.place.pods(order.id).await.is_empty());
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn readiness_is_the_clusters_answer() {
    let world = World::new().await;
    world.launcher.ready().await.unwrap();
    let gone = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
    let client = kube::Client::try_from(gone).unwrap();
    let launcher = slipway::launcher::kubernetes::Kubernetes::new(client, world.options.clone());
    assert!(launcher.ready().await.is_err());
    assert!(matches!(
        launcher.launch(&git(&world)).await,
        Err(LaunchError::Unavailable(_))
    ));
    world.place.close().await;
}
