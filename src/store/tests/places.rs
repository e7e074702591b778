//! Positions in the queue: in the order of claims, and found without a scan.

use uuid::Uuid;

use super::*;
use crate::domain::queue::{Eta, Place, WaitingFor};

async fn serving(store: &Store, slots: Slots, answers: bool) {
    store.dispatcher_seen(Uuid::nil(), slots, answers).await.unwrap();
}

async fn place(store: &Store, id: BuildId) -> Place {
    store.place(id).await.unwrap().expect("it is queued")
}

/// Stores a build that succeeded after it held its slot for `seconds`.
async fn ended(store: &Store, pool: &PgPool, repository: &str, seconds: f64) {
    let mut build = new_build("team");
    build.spec.destinations = serde_json::from_value(serde_json::json!([format!("{repository}:1")])).unwrap();
    build.spec.priority = Priority::try_from(100).unwrap();
    let id = created(store, build).await.id;
    let claim = store.claim(PLENTY, LEASE, 1).await.unwrap().remove(0);
    assert_eq!(claim.id, id);
    sqlx::query("UPDATE build_events SET at = at - make_interval(secs => $2) WHERE build_id = $1")
        .bind(id.0)
        .bind(seconds)
        .execute(pool)
        .await
        .unwrap();
    assert!(store.launched(id, claim.token, "uid").await.unwrap());
    let succeeded = Outcome::Succeeded { digest: None };
    assert!(store.finish(id, &succeeded, &[], 0).await.unwrap());
}

#[sqlx::test]
async fn a_place_counts_priority_age_and_other_projects(pool: PgPool) {
    let store = store(&pool);
    let slots = Slots {
        total: 1,
        per_project: 1,
    };
    serving(&store, slots, true).await;
    let running = running(&store, "other").await;
    let old = queued(&store, "team", 0).await;
    let young = queued(&store, "team", 0).await;
    let high = queued(&store, "team", 10).await;
    let other = queued(&store, "other", 0).await;
    let mut seen = Vec::new();
    for id in [high, old, young, other] {
        let place = place(&store, id).await;
        assert!(!place.estimated);
        seen.push((place.position, place.ahead));
    }
    assert_eq!(seen, [(1, 0), (2, 1), (3, 3), (1, 2)]);
    assert_eq!(store.place(running).await.unwrap(), None);
    assert_eq!(store.place(BuildId::generate()).await.unwrap(), None);
}

#[sqlx::test]
async fn a_build_says_what_it_waits_for(pool: PgPool) {
    let store = store(&pool);
    let first = running(&store, "team").await;
    let id = queued(&store, "team", 0).await;
    let waiting = async || place(&store, id).await.waiting_for;
    let slots = |total, per_project| Slots { total, per_project };
    assert_eq!(waiting().await, WaitingFor::Cluster { dispatcher: false });
    serving(&store, slots(1, 1), false).await;
    assert_eq!(waiting().await, WaitingFor::Cluster { dispatcher: true });
    serving(&store, slots(5, 1), true).await;
    assert_eq!(waiting().await, WaitingFor::ProjectLimit { limit: 1 });
    serving(&store, slots(1, 5), true).await;
    let full = WaitingFor::Slot {
        slots: 1,
        free: false,
    };
    assert_eq!(waiting().await, full);
    store.cancel(first).await.unwrap();
    assert!(store.cancelled(first).await.unwrap());
    let free = WaitingFor::Slot { slots: 1, free: true };
    assert_eq!(waiting().await, free);

    let claim = store.claim(slots(1, 5), LEASE, 1).await.unwrap().remove(0);
    store
        .release(id, claim.token, Duration::from_secs(600))
        .await
        .unwrap();
    assert!(matches!(waiting().await, WaitingFor::Retry { .. }));
    // A dispatcher whose heartbeat stops counts as gone after a while.
    sqlx::query("UPDATE dispatchers SET seen_at = now() - interval '31 s'")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(waiting().await, WaitingFor::Cluster { dispatcher: false });
}

#[sqlx::test]
async fn an_estimate_comes_from_the_repository_or_else_from_the_project(pool: PgPool) {
    let store = store(&pool);
    let slots = Slots {
        total: 1,
        per_project: 1,
    };
    serving(&store, slots, true).await;
    let id = queued(&store, "team", 0).await;
    let eta = async || place(&store, id).await.eta;
    assert_eq!(eta().await, None);
    let stranger = queued(&store, "stranger", 0).await;
    ended(&store, &pool, "registry.example.com/team/lib", 100.0).await;
    let told = eta().await.expect("the project has a history");
    assert!((100..=105).contains(&told.p50_seconds), "{told:?}");
    for _ in 0..3 {
        ended(&store, &pool, "registry.example.com/team/app", 20.0).await;
    }
    let told = eta().await.expect("the repository has a history");
    assert!((20..=25).contains(&told.p50_seconds), "{told:?}");
    assert_eq!(place(&store, stranger).await.eta, None::<Eta>);
}

#[sqlx::test]
async fn the_queue_is_shown_with_its_projects(pool: PgPool) {
    let store = store(&pool);
    let empty = store.queue(None).await.unwrap();
    assert_eq!((empty.queued, empty.running, empty.slots), (0, 0, None));
    assert_eq!((empty.oldest, empty.projects.len()), (None, 0));

    serving(&store, PLENTY, true).await;
    running(&store, "small").await;
    for priority in [0, 1, 1] {
        queued(&store, "large", priority).await;
    }
    sqlx::query("UPDATE builds SET run_at = now() - interval '90 s' WHERE priority = 1")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("UPDATE projects SET max_running = 2, weight = 3 WHERE name = 'large'")
        .execute(&pool)
        .await
        .unwrap();
    store.look_after_lanes(true).await.unwrap();
    let all = store.queue(None).await.unwrap();
    assert_eq!(
        (all.queued, all.running, all.slots, all.more_projects),
        (3, 1, Some(1000), false)
    );
    let age = all.oldest.expect("something is queued").as_secs();
    assert!((90..120).contains(&age), "{age}");
    let shown: Vec<_> = all
        .projects
        .iter()
        .map(|one| {
            (
                one.project.as_str(),
                one.queued,
                one.running,
                one.slots,
                one.weight,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [("large", 3, 0, Some(2), 3), ("small", 0, 1, Some(1000), 1)]
    );
    assert!(all.projects[0].oldest.is_some_and(|age| age.as_secs() >= 90));

    let one = store.queue(Some(&"small".parse().unwrap())).await.unwrap();
    assert_eq!((one.queued, one.projects.len()), (3, 1));
    assert_eq!(one.projects[0], all.projects[1]);
    let none = store.queue(Some(&"nobody".parse().unwrap())).await.unwrap();
    assert_eq!(none.projects, []);
}
