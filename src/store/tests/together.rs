//! Group commit: each write gets its own answer, whatever happens to the others of its batch.

use std::time::Instant;

use futures::{FutureExt, future::join_all};

use super::{sessions::eventually, *};
use crate::domain::{AttemptSeen, Failure, Reason, State};

const SUCCEEDED: Outcome = Outcome::Succeeded { digest: None };

/// Returns this many claimed builds.
async fn claimed(store: &Store, many: usize) -> Vec<Claim> {
    let creator = creator(store);
    join_all((0..many).map(|_| creator.create(new_build("team")))).await;
    let claims = store.claim(PLENTY, LEASE, 1000).await.unwrap();
    assert_eq!(claims.len(), many);
    claims
}

/// Returns this many running builds.
async fn running(store: &Store, many: usize) -> Vec<BuildId> {
    let claims = claimed(store, many).await;
    let launched = join_all(
        claims
            .iter()
            .map(|claim| store.launched(claim.id, claim.token, "uid")),
    )
    .await;
    assert!(launched.into_iter().all(|launched| launched.unwrap()));
    claims.iter().map(|claim| claim.id).collect()
}

/// Counts the transactions that wrote the events of this state.
async fn transactions(pool: &PgPool, state: &str) -> i64 {
    sqlx::query_scalar("SELECT count(DISTINCT xid::text) FROM build_events WHERE state::text = $1")
        .bind(state)
        .fetch_one(pool)
        .await
        .unwrap()
}

fn ended_pod(name: &str) -> AttemptSeen {
    AttemptSeen {
        name: name.to_owned(),
        node: Some("node-1".to_owned()),
        started_at: Some("2026-11-24T01:02:03Z".parse().unwrap()),
        finished_at: Some("2026-11-24T01:02:09Z".parse().unwrap()),
        exit_code: Some(0),
        failure: None,
        running: false,
        succeeded: true,
    }
}

#[sqlx::test]
async fn what_waits_goes_in_few_transactions(pool: PgPool) {
    let store = store(&pool);
    let ids = running(&store, 150).await;
    assert!(
        transactions(&pool, "running").await <= 5,
        "launches are recorded together"
    );
    let ended = join_all(ids.iter().map(|id| store.finish(*id, &SUCCEEDED, &[], 0))).await;
    assert!(ended.into_iter().all(|ended| ended.unwrap()));
    assert!(transactions(&pool, "succeeded").await <= 5, "and so are ends");
    for id in ids {
        assert_eq!(
            history(&store, id).await,
            ["queued", "launching", "running", "succeeded"]
        );
    }
}

#[sqlx::test]
async fn each_is_answered_for_itself(pool: PgPool) {
    let store = store(&pool);
    let claims = claimed(&store, 4).await;
    store.cancel(claims[1].id).await.unwrap();
    let stale = ClaimToken(uuid::Uuid::new_v4());
    let answers = tokio::join!(
        store.launched(claims[0].id, claims[0].token, "uid-0"),
        store.launched(claims[1].id, claims[1].token, "uid-1"),
        store.launched(claims[2].id, stale, "uid-2"),
        store.launched(claims[3].id, claims[3].token, "uid-3"),
        store.launched(claims[3].id, claims[3].token, "uid-3"),
    );
    let took_place = [answers.0, answers.1, answers.2].map(Result::unwrap);
    assert_eq!(took_place, [true, false, false]);
    assert!(
        answers.3.unwrap() ^ answers.4.unwrap(),
        "the same twice takes place once"
    );
    let states: Vec<State> = join_all(claims.iter().map(|claim| get(&store, claim.id)))
        .await
        .iter()
        .map(|build| build.state)
        .collect();
    use State::{Cancelling, Launching, Running};
    assert_eq!(states, [Running, Cancelling, Launching, Running]);
    let jobs: Vec<Option<String>> = store
        .live(None, 10)
        .await
        .unwrap()
        .into_iter()
        .map(|live| live.external_id)
        .collect();
    let job = |name: &str| Some(name.to_owned());
    assert_eq!(
        jobs,
        [job("uid-0"), job("uid-1"), None, job("uid-3")],
        "each has its own Job"
    );
}

#[sqlx::test]
async fn the_attempts_of_each_are_its_own(pool: PgPool) {
    let store = store(&pool);
    let ids = running(&store, 3).await;
    let failure = Failure::new(Reason::BuildStepFailed, "it ended with 42");
    let seen = [
        vec![ended_pod("pod-a")],
        vec![
            AttemptSeen {
                failure: Some(failure.clone()),
                exit_code: Some(42),
                succeeded: false,
                ..ended_pod("pod-b")
            },
            ended_pod("pod-c"),
        ],
        vec![],
    ];
    let failed = Outcome::Failed(failure.clone());
    let ended = tokio::join!(
        store.finish(ids[0], &SUCCEEDED, &seen[0], 0),
        store.finish(ids[1], &SUCCEEDED, &seen[1], 1),
        store.finish(ids[2], &failed, &seen[2], 2),
    );
    assert!(ended.0.unwrap() && ended.1.unwrap() && ended.2.unwrap());
    for (id, seen) in ids.iter().zip(&seen) {
        let attempts = store.attempts(*id).await.unwrap();
        let names: Vec<&str> = attempts.iter().map(|attempt| attempt.name.as_str()).collect();
        assert_eq!(
            names,
            seen.iter().map(|seen| seen.name.as_str()).collect::<Vec<_>>()
        );
        for (number, (attempt, seen)) in (1..).zip(attempts.iter().zip(seen)) {
            assert_eq!(
                (attempt.number, attempt.exit_code, &attempt.failure, &attempt.node),
                (number, seen.exit_code, &seen.failure, &seen.node)
            );
        }
    }
    let builds = join_all(ids.iter().map(|id| get(&store, *id))).await;
    assert_eq!(
        builds.iter().map(|build| build.retries).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert_eq!(builds[2].failure, Some(failure));
}

#[sqlx::test]
async fn a_bad_one_hurts_only_itself(pool: PgPool) {
    let store = store(&pool);
    let ids = running(&store, 3).await;
    // No text column of the database can store it.
    let bad = Outcome::Failed(Failure::new(Reason::Unknown, "\0"));
    let (a, bad, b) = tokio::join!(
        store.finish(ids[0], &SUCCEEDED, &[], 0),
        store.finish(ids[1], &bad, &[], 0),
        store.finish(ids[2], &SUCCEEDED, &[], 0)
    );
    assert!(a.unwrap() && b.unwrap());
    assert!(matches!(bad, Err(StoreError::Query(_))), "{bad:?}");
    assert_eq!(get(&store, ids[1]).await.state, State::Running);
    assert!(
        store.finish(ids[1], &SUCCEEDED, &[], 0).await.unwrap(),
        "nothing is stuck"
    );
}

#[sqlx::test]
async fn what_somebody_wanted_who_went_away_is_done(pool: PgPool) {
    let store = store(&pool);
    let ids = running(&store, 2).await;
    let mut wanted = Box::pin(store.finish(ids[0], &SUCCEEDED, &[], 0));
    assert!((&mut wanted).now_or_never().is_none());
    drop(wanted);
    assert!(store.finish(ids[1], &SUCCEEDED, &[], 0).await.unwrap());
    eventually("it has ended", async || {
        get(&store, ids[0]).await.state == State::Succeeded
    })
    .await;
}

#[sqlx::test]
async fn of_two_replicas_that_end_the_same_builds_one_does_each(pool: PgPool) {
    let (one, other) = (store(&pool), store(&pool));
    let ids = running(&one, 60).await;
    let forwards = ids.iter().map(|id| one.finish(*id, &SUCCEEDED, &[], 0));
    let backwards = ids.iter().rev().map(|id| other.finish(*id, &SUCCEEDED, &[], 0));
    let (forwards, backwards) = tokio::join!(join_all(forwards), join_all(backwards));
    for (forwards, backwards) in forwards.into_iter().zip(backwards.into_iter().rev()) {
        assert!(forwards.unwrap() ^ backwards.unwrap());
    }
    let results: i64 = sqlx::query_scalar("SELECT count(*) FROM results")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(results, 60);
}

#[tokio::test]
async fn without_a_database_all_who_wait_are_told_by_one_time_out() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let store = Store::connect(&StoreOptions {
        url: format!("postgres://nobody@127.0.0.1:{port}/none").into(),
        direct_url: None,
        max_connections: 2,
        acquire_timeout: Duration::from_millis(300),
        notify: false,
    })
    .unwrap();
    let begun = Instant::now();
    let ends = (0..60).map(|_| store.finish(BuildId::generate(), &SUCCEEDED, &[], 0));
    for ended in join_all(ends).await {
        assert!(matches!(ended, Err(StoreError::Unavailable(_))), "{ended:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
