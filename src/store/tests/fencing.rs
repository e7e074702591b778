//! Late writes of processes that were stopped or cut off change nothing.

use super::*;
use crate::domain::{AttemptSeen, AttemptState, Cause, Failure, Reason, Sighting, State, outcome::Advice};

fn begun_pod(name: &str) -> AttemptSeen {
    AttemptSeen {
        started_at: Some("2026-11-24T01:02:03Z".parse().expect("a time")),
        ..running_pod(name)
    }
}

fn sighting(job: &str, outcome: Outcome) -> Sighting {
    Sighting {
        external_id: job.to_owned(),
        outcome,
        attempts: vec![begun_pod(&format!("{job}-pod"))],
        failed_attempts: 1,
        deleting: false,
        advice: Advice::None,
    }
}

#[sqlx::test]
async fn what_was_seen_of_a_job_says_nothing_of_the_one_that_took_its_place(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    let before = store.live(None, 1).await.unwrap().remove(0).external_id;
    let claim = store.relaunch(id, LEASE).await.unwrap().unwrap();
    assert!(store.launched(id, claim.token, "job-2").await.unwrap());
    let build = get(&store, id).await;

    let old = sighting(
        &before.unwrap(),
        Outcome::Running {
            phase: Phase::Building,
        },
    );
    let of = OfJob::seen(id, &old);
    let failure = Failure::new(Reason::Unknown, "it was deleted");
    let failed = Outcome::Failed(failure.clone());
    assert!(!store.finish(of, &failed, &old.attempts, 1).await.unwrap());
    assert!(!store.give_up(of, &failure, Cause::JobLost, &[], 1).await.unwrap());
    let observed = store.observe(of, &old.outcome, &old.attempts, 1).await.unwrap();
    assert_eq!(observed, Recorded::Stale);
    assert!(store.relaunch(of, LEASE).await.unwrap().is_none());
    assert_eq!(get(&store, id).await, build);
    assert!(store.attempts(id).await.unwrap().is_empty());

    let new = sighting("job-2", failed.clone());
    assert!(
        store
            .finish(OfJob::seen(id, &new), &failed, &new.attempts, 1)
            .await
            .unwrap()
    );
}

#[sqlx::test]
async fn an_attempt_whose_pod_went_away_unseen_has_ended_when_another_succeeds(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    let building = Outcome::Running {
        phase: Phase::Building,
    };
    store
        .observe(id, &building, &[begun_pod("pod-1")], 0)
        .await
        .unwrap();
    let second = AttemptSeen {
        succeeded: true,
        running: false,
        ..begun_pod("pod-2")
    };
    let succeeded = Outcome::Succeeded { digest: None };
    assert!(store.finish(id, &succeeded, &[second], 1).await.unwrap());
    let states = store
        .attempts(id)
        .await
        .unwrap()
        .iter()
        .map(|attempt| attempt.state)
        .collect::<Vec<_>>();
    assert_eq!(states, [AttemptState::Failed, AttemptState::Succeeded]);
    assert_eq!(get(&store, id).await.state, State::Succeeded);
}

#[sqlx::test]
async fn whoever_stops_within_a_transaction_keeps_its_locks_for_a_while_only(pool: PgPool) {
    // As behind a pooler, where the connection itself has no such setting.
    let mut db = crate::store::begin::begin(&pool).await.unwrap();
    let limit = "SHOW idle_in_transaction_session_timeout";
    let within: String = sqlx::query_scalar(limit).fetch_one(&mut *db).await.unwrap();
    assert_eq!(within, "30s");
    drop(db);
    let mut db = crate::store::begin::begin_with(&pool, crate::store::claim::BEGIN)
        .await
        .unwrap();
    let within: String = sqlx::query_scalar(limit).fetch_one(&mut *db).await.unwrap();
    assert_eq!(within, "30s");
}

#[sqlx::test]
async fn a_stopped_observer_cannot_keep_a_lock_that_it_just_got(pool: PgPool) {
    let store = store(&pool);
    let _lock = store.become_observer().await.unwrap().unwrap();
    let after_the_lock: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity a JOIN pg_locks l USING (pid)
        WHERE l.locktype = 'advisory' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND a.query LIKE '%set_config%'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(after_the_lock, 0, "the lock comes last");
}

#[sqlx::test]
async fn a_lock_that_was_not_to_be_had_leaves_a_connection_that_works(pool: PgPool) {
    let store = store(&pool);
    let one = sqlx::postgres::PgPoolOptions::new().max_connections(1);
    let one = one.connect_with((*pool.connect_options()).clone()).await.unwrap();
    let alone = Store::over(one.clone(), one, false);
    queued(&store, "team", 0).await;
    let mut holder = pool.begin().await.unwrap();
    let hold = "SELECT pg_advisory_xact_lock(1936484471, 3)";
    sqlx::query(hold).execute(&mut *holder).await.unwrap();
    let refused = alone.look_after_lanes(true).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(alone.claim(PLENTY, LEASE, 10).await.unwrap().len(), 1);
}

#[sqlx::test]
async fn a_launch_that_waits_for_a_cancel_still_leaves_its_job_with_the_build(pool: PgPool) {
    let store = store(&pool);
    let id = queued(&store, "team", 0).await;
    let claim = store.claim(PLENTY, LEASE, 1).await.unwrap().remove(0);
    let mut cancel = pool.begin().await.unwrap();
    let cancelling = "UPDATE builds SET state = 'cancelling', cancel_requested_at = now() WHERE id = $1";
    sqlx::query(cancelling)
        .bind(id.0)
        .execute(&mut *cancel)
        .await
        .unwrap();
    let launch = tokio::spawn(async move { store.launched(id, claim.token, "job-1").await });
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'
        AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
    while sqlx::query_scalar::<_, i64>(waiting)
        .fetch_one(&pool)
        .await
        .unwrap()
        == 0
    {
        tokio::task::yield_now().await;
    }
    cancel.commit().await.unwrap();
    assert!(!launch.await.unwrap().unwrap(), "it is unwanted");
    let row = "SELECT state::text, external_id, lease_until IS NULL FROM builds WHERE id = $1";
    let row: (String, Option<String>, bool) = sqlx::query_as(row).bind(id.0).fetch_one(&pool).await.unwrap();
    assert_eq!(row, ("cancelling".to_owned(), Some("job-1".to_owned()), true));
}
