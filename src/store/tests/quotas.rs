//! Limits of the builds that a project may request: exact over replicas and batches.

use futures::future::join_all;

use super::*;
use crate::domain::quota::{QuotaExceeded, QuotaLimit, Quotas};

async fn limited(pool: &PgPool, project: &str, max_queued: Option<i32>, max_per_hour: Option<i32>) {
    sqlx::query(
        "INSERT INTO projects (name, max_queued, max_per_hour) VALUES ($1, $2, $3)
        ON CONFLICT (name) DO UPDATE SET max_queued = excluded.max_queued, max_per_hour = excluded.max_per_hour",
    )
    .bind(project)
    .bind(max_queued)
    .bind(max_per_hour)
    .execute(pool)
    .await
    .unwrap();
}

fn refused(answer: Result<Created, CreateError>) -> QuotaExceeded {
    match answer {
        Err(CreateError::QuotaExceeded(quota)) => *quota,
        other => panic!("it should have been refused: {other:?}"),
    }
}

#[sqlx::test]
async fn creations_over_three_replicas_never_pass_a_limit_together(pool: PgPool) {
    for (max_queued, max_per_hour) in [(Some(37), None), (None, Some(37)), (Some(37), Some(50))] {
        let project = format!("p-{max_queued:?}-{max_per_hour:?}")
            .replace(['(', ')'], "")
            .to_lowercase();
        limited(&pool, &project, max_queued, max_per_hour).await;
        let stores = [store(&pool), store(&pool), store(&pool)];
        let creators: Vec<_> = stores.iter().map(creator).collect();
        // Builds of a project without limits are in the same batches.
        let names = [project.as_str(), "free"];
        let answers =
            join_all((0..300).map(|n| creators[n % 3].create(new_build(names[usize::from(n % 4 == 0)]))))
                .await;
        let mut accepted = [0, 0];
        for (n, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(_) => accepted[usize::from(n % 4 == 0)] += 1,
                Err(error) => assert!(matches!(error, CreateError::QuotaExceeded(_)), "{error:?}"),
            }
        }
        assert_eq!(accepted, [37, 75]);
    }
}

#[sqlx::test]
async fn a_queue_that_moves_makes_room_and_a_refusal_says_what_is_full(pool: PgPool) {
    let store = store(&pool);
    limited(&pool, "team", Some(2), None).await;
    let creator = creator(&store);
    for _ in 0..2 {
        creator.create(new_build("team")).await.unwrap();
    }
    let full = refused(creator.create(new_build("team")).await);
    assert_eq!((full.limit, full.max, full.used), (QuotaLimit::MaxQueued, 2, 2));
    assert_eq!(full.frees_at, None);
    assert!(full.retry_after >= Duration::from_secs(1));
    assert_eq!(store.claim(PLENTY, LEASE, 1).await.unwrap().len(), 1);
    creator.create(new_build("team")).await.unwrap();
    refused(creator.create(new_build("team")).await);
}

#[sqlx::test]
async fn an_hour_slides_and_rebuilds_count(pool: PgPool) {
    let store = store(&pool);
    limited(&pool, "team", None, Some(2)).await;
    let first = created(&store, new_build("team")).await;
    let again = NewBuild {
        rebuild_of: Some(first.id),
        ..new_build("team")
    };
    created(&store, again).await;
    let creator = creator(&store);
    let full = refused(creator.create(new_build("team")).await);
    assert_eq!((full.limit, full.max, full.used), (QuotaLimit::MaxPerHour, 2, 2));
    let frees = full.frees_at.unwrap().duration_since(first.created_at);
    assert_eq!(frees, jiff::SignedDuration::from_hours(1));
    assert!((3590..=3600).contains(&full.retry_after.as_secs()), "{full:?}");
    sqlx::query("UPDATE specs SET created_at = now() - interval '61 min' WHERE build_id = $1")
        .bind(first.id.0)
        .execute(&pool)
        .await
        .unwrap();
    creator.create(new_build("team")).await.unwrap();
    refused(creator.create(new_build("team")).await);
}

#[sqlx::test]
async fn a_repeated_request_is_answered_by_a_full_project_and_counts_once(pool: PgPool) {
    let store = store(&pool);
    limited(&pool, "team", Some(1), Some(1)).await;
    let creator = creator(&store);
    // In one batch, the second use of a key takes no room and is not refused.
    let (a, b, c) = tokio::join!(
        creator.create(keyed("team", "k", 1)),
        creator.create(keyed("team", "k", 1)),
        creator.create(keyed("team", "other", 1))
    );
    let new = [a, b].map(|answer| matches!(answer.unwrap(), Created::New(_)));
    assert_ne!(new[0], new[1], "one was stored, the other found");
    refused(c);
    let again = creator.create(keyed("team", "k", 1)).await;
    assert!(matches!(again, Ok(Created::Repeated(_))), "{again:?}");
    assert!(matches!(
        creator.create(keyed("team", "k", 2)).await,
        Err(CreateError::KeyReused)
    ));
}

#[sqlx::test]
async fn what_cannot_be_stored_leaves_its_room_to_the_next(pool: PgPool) {
    let store = store(&pool);
    limited(&pool, "team", Some(1), None).await;
    let mut bad = new_build("team");
    bad.spec.source = serde_json::from_value(
        serde_json::json!({"upload": {"context_id": crate::domain::ContextId::generate()}}),
    )
    .unwrap();
    let creator = creator(&store);
    let (bad, good) = tokio::join!(creator.create(bad), creator.create(new_build("team")));
    assert!(matches!(bad, Err(CreateError::NoSuchContext)));
    assert!(good.is_ok());
}

#[sqlx::test]
async fn the_services_limit_holds_for_projects_without_one_of_their_own(pool: PgPool) {
    let quotas = Quotas {
        max_queued: Some(1),
        max_per_hour: None,
    };
    let store = store(&pool).with_quotas(quotas);
    limited(&pool, "large", Some(3), None).await;
    let creator = creator(&store);
    for (project, most) in [("new", 1), ("large", 3)] {
        for _ in 0..most {
            creator.create(new_build(project)).await.unwrap();
        }
        assert_eq!(refused(creator.create(new_build(project)).await).max, most);
    }
}
