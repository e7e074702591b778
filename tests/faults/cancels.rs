//! Cancels that race with whatever else becomes of a build.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};
use slipway::domain::State::{Cancelled, Cancelling, Succeeded};

use crate::{faults::proxy::Calls, faults::world::World};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_cancel_at_any_time_leads_to_one_end() {
    let seed = std::env::var("SLIPWAY_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("SLIPWAY_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::new(2).await;
    world.up().await;
    let mut cancels = tokio::task::JoinSet::new();
    for number in 0..40 {
        let kind = ["quick", "fails", "absent", "slow"][number % 4];
        let id = world.create(number % 2, kind).await;
        let delay = Duration::from_millis(random.random_range(0..15_000));
        let service = world.service((number + 1) % 2);
        let address = service.url(&format!("api/v1/builds/{id}/cancel"));
        let token = service.token().await.expect("clients have one").to_owned();
        cancels.spawn(async move {
            tokio::time::sleep(delay).await;
            let client = reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("an HTTP client");
            let answer = client
                .post(address)
                .bearer_auth(token)
                .send()
                .await
                .expect("it answers");
            (id, answer.status().as_u16())
        });
    }
    let answers = cancels.join_all().await;
    // A cancel deletes the pod, and with it the log of a build that had been pushed by then and was not read yet.
    let stopped = answers.iter().filter(|(_, status)| *status == 202);
    world.bereft.extend(stopped.map(|(id, _)| *id));
    world.hold().await;
    for (id, status) in answers {
        let state = world.state(id).await;
        match status {
            200 => assert_eq!(
                state,
                Some(Cancelled),
                "seed {seed}: {id} was said to be cancelled"
            ),
            // What had been pushed before its pod could be stopped has succeeded.
            202 => assert!(
                matches!(state, Some(Cancelled | Succeeded)),
                "seed {seed}: {id} was to be cancelled, and is {state:?}"
            ),
            409 => assert_ne!(state, Some(Cancelled), "seed {seed}: {id} was said to have ended"),
            other => panic!(
                "seed {seed}: a cancel was answered {other}\n{}",
                world.account().await
            ),
        }
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn cancelled_while_it_is_launched_a_build_ends_when_its_pod_is_gone() {
    let mut world = World::with(2, &[("SLIPWAY_LAUNCH_LEASE", "20s")]).await;
    world.start(0).await;
    for after in [false, true] {
        let mut held = world.proxy(0).hold(Calls::Create, after);
        let id = world.create(0, "long").await;
        let call = held.recv().await.expect("the Job is being created");
        assert_eq!(world.cancel(0, id).await.expect("it answers"), 202);
        assert_eq!(world.state(id).await, Some(Cancelling));
        drop(call);
        world.until_state(id, Cancelled).await;
    }
    world.hold().await;
    world.close().await;
}
