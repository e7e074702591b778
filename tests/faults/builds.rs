//! What may happen to builds that run: to their Jobs, their pods, their node, and to all replicas at once.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use serde_json::json;
use slipway::domain::State::{Running, Succeeded};

use crate::faults::world::{SOON, World};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn all_replicas_killed_in_mid_build_and_its_end_is_recorded_later() {
    let mut world = World::new(2).await;
    world.up().await;
    let (slow, fails) = (world.create(0, "slow").await, world.create(1, "fails").await);
    world.until_building(slow).await;
    world.kill(0);
    world.kill(1);
    world
        .until("the Jobs' ends", SOON, async || {
            [slow, fails]
                .iter()
                .all(|id| has_ended(&world.ledger.jobs(*id)[0].last))
                .then_some(())
        })
        .await;
    world.up().await;
    let build = world.ended(0, slow).await;
    assert_eq!(build["state"], "succeeded", "{build:#}");
    let build = world.ended(1, fails).await;
    assert_eq!(build["failure"]["reason"], "build_step_failed", "{build:#}");
    assert_eq!(build["failure"]["exit_code"], 42, "{build:#}");
    world.hold().await;
    world.close().await;
}

fn has_ended(job: &Job) -> bool {
    let conditions = job
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .filter(|one| one.status == "True")
        .any(|one| one.type_ == "Complete" || one.type_ == "Failed")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_job_deleted_by_hand_is_made_again_until_that_is_pointless() {
    let mut world = World::new(2).await;
    world.up().await;
    let once = world.at_work(1, "patient").await;
    world.shorten("patient");
    world.delete_job(once).await;
    let id = world.create(0, "long").await;
    for jobs in 1..=4 {
        let runs = async || {
            let made = world.ledger.jobs(id).len() == jobs;
            (made && world.state(id).await == Some(Running)).then_some(())
        };
        world.until(&format!("Job {jobs}"), SOON, runs).await;
        world.until_building(id).await;
        world.delete_job(id).await;
    }
    let build = world.ended(0, id).await;
    assert_eq!(build["failure"]["reason"], "job_lost", "{build:#}");
    let build = world.ended(0, once).await;
    assert_eq!(build["state"], "succeeded", "{build:#}");
    assert_eq!(world.ledger.jobs(once).len(), 2);
    world.hold().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_pod_deleted_by_hand_costs_a_retry() {
    let mut world = World::new(2).await;
    world.up().await;
    let id = world.at_work(0, "slow").await;
    assert!(world.delete_pods(id).await);
    let build = world.ended(0, id).await;
    assert_eq!(build["state"], "succeeded", "{build:#}");
    assert_eq!(
        (&build["retries"], world.ledger.pods(id).len()),
        (&json!(1), 2),
        "{build:#}"
    );
    assert_eq!(build["attempts"][0]["state"], "failed", "{build:#}");
    assert_eq!(world.ledger.jobs(id).len(), 1);
    world.hold().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn what_the_cluster_ends_ends_with_its_reason() {
    let mut world = World::with(2, &[("SLIPWAY_PENDING_DEADLINE", "20s")]).await;
    world.up().await;
    let with = |world: &World, kind: &str, more: serde_json::Value| {
        let mut body = world.request(kind);
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        body
    };
    let hungry = with(&world, "hungry", json!({ "resources": { "memory": "256Mi" } }));
    let hungry = world.submit(0, &hungry).await;
    let late = with(&world, "long", json!({ "timeout_seconds": 20 }));
    let late = world.submit(0, &late).await;
    let huge = with(&world, "quick", json!({ "resources": { "cpu": "500" } }));
    let huge = world.submit(0, &huge).await;
    for (id, reason, retries) in [
        (hungry, "out_of_memory", 1),
        (late, "timed_out", 1),
        (huge, "unschedulable", 0),
    ] {
        let build = world.ended(1, id).await;
        assert_eq!(build["failure"]["reason"], reason, "{build:#}");
        assert_eq!(build["retries"], retries, "{build:#}");
        assert!(world.ledger.pods(id).len() <= 1, "not tried again");
    }
    let removed = async || world.ledger.jobs(huge)[0].gone.then_some(());
    world
        .until("the Job that waited in vain to go", SOON, removed)
        .await;
    world.hold().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_job_that_somebody_replaced_by_its_like_is_taken_for_what_it_is() {
    let mut world = World::new(1).await;
    world.up().await;
    let id = world.at_work(0, "slow").await;
    world.kill(0);
    let jobs = world.place.api::<Job>();
    let mut copy = jobs.get(&id.job_name()).await.expect("it is there");
    let old = copy.uid();
    world.delete_job(id).await;
    let gone = async || world.ledger.pods(id).iter().all(|pod| pod.gone).then_some(());
    world.until("the pods to go", SOON, gone).await;
    replant(&mut copy);
    jobs.create(&Default::default(), &copy)
        .await
        .expect("it is created");
    world.start(0).await;
    let build = world.ended(0, id).await;
    assert_eq!(build["state"], "succeeded", "{build:#}");
    let recorded: Option<String> = sqlx::query_scalar("SELECT external_id FROM builds WHERE id = $1")
        .bind(id.0)
        .fetch_one(&world.sql)
        .await
        .expect("it answers");
    assert_ne!(recorded, old, "the Job's uid is the new one's");
    assert_eq!(world.state(id).await, Some(Succeeded));
    world.hold().await;
    world.close().await;
}

/// As `kubectl get -o yaml`, `kubectl replace --force` leave it.
fn replant(job: &mut Job) {
    job.metadata.uid = None;
    job.metadata.resource_version = None;
    job.metadata.creation_timestamp = None;
    job.metadata.managed_fields = None;
    job.status = None;
    let generated = |key: &String| key.contains("controller-uid") || key.contains("job-name");
    let spec = job.spec.as_mut().expect("a Job has a spec");
    spec.selector = None;
    for labels in [
        &mut job.metadata.labels,
        &mut spec.template.metadata.as_mut().expect("it has labels").labels,
    ] {
        labels
            .iter_mut()
            .for_each(|labels| labels.retain(|key, _| !generated(key)));
    }
}
