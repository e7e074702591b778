//! The life of a build: forwards, back, and to each of its ends.

use super::{
    sightings::{BUILDING, seen},
    *,
};
use crate::domain::{AttemptSeen, AttemptState, Digest, Failure, Reason, State};

#[sqlx::test]
async fn a_build_goes_from_the_queue_to_its_digest(pool: PgPool) {
    let store = store(&pool);
    let build = created(&store, new_build("team")).await;
    assert_eq!(get(&store, build.id).await, build);

    let claims = store.claim(PLENTY, LEASE, 10).await.unwrap();
    assert_eq!(claims.len(), 1);
    assert_eq!((claims[0].id, claims[0].launches), (build.id, 0));
    assert_eq!(claims[0].spec, build.spec);
    assert!(store.launched(build.id, claims[0].token, "uid").await.unwrap());
    assert_eq!(get(&store, build.id).await.phase, Some(Phase::Pending));

    let attempt = AttemptSeen {
        running: true,
        ..seen("pod-a")
    };
    let recorded = store
        .observe(build.id, &BUILDING, std::slice::from_ref(&attempt), 0)
        .await
        .unwrap();
    assert_eq!(recorded, Recorded::Yes { waiting_for: None });
    let live = store.live(None, 10).await.unwrap();
    assert_eq!(live[0].external_id.as_deref(), Some("uid"));

    let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
    let ended = AttemptSeen {
        running: false,
        succeeded: true,
        exit_code: Some(0),
        ..attempt
    };
    let outcome = Outcome::Succeeded {
        digest: Some(digest.clone()),
    };
    assert!(store.finish(build.id, &outcome, &[ended], 0).await.unwrap());

    let build = get(&store, build.id).await;
    assert_eq!((build.state, build.phase), (State::Succeeded, None));
    assert_eq!(build.digest, Some(digest));
    assert!(build.started_at.is_some() && build.finished_at.is_some() && build.failure.is_none());
    assert_eq!(
        history(&store, build.id).await,
        ["queued", "launching", "running", "succeeded"]
    );
    let attempts = store.attempts(build.id).await.unwrap();
    assert_eq!(
        (attempts[0].number, attempts[0].state),
        (1, AttemptState::Succeeded)
    );
    assert!(store.live(None, 10).await.unwrap().is_empty());
    let standings = store.standings(&[build.id, BuildId::generate()]).await.unwrap();
    assert_eq!(standings.len(), 1);
    assert_eq!(
        (standings[0].id, standings[0].state),
        (build.id, State::Succeeded)
    );
    assert!(standings[0].ended_for.is_some());
}

#[sqlx::test]
async fn a_failure_is_kept_whole(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    let failure = Failure {
        reason: Reason::BuildStepFailed,
        message: "RUN make failed".to_owned(),
        exit_code: Some(2),
        log_snippet: Some("make: *** [all] Error 2".to_owned()),
    };
    let attempt = AttemptSeen {
        failure: Some(failure.clone()),
        exit_code: Some(1),
        finished_at: Some("2026-11-24T01:02:03.123456789Z".parse().unwrap()),
        ..seen("pod-a")
    };
    let ended = store
        .finish(id, &Outcome::Failed(failure.clone()), &[attempt], 1)
        .await
        .unwrap();
    assert!(ended);
    let build = get(&store, id).await;
    assert_eq!((build.state, build.retries), (State::Failed, 1));
    assert_eq!(build.failure.as_ref(), Some(&failure));
    let attempts = store.attempts(id).await.unwrap();
    assert_eq!(attempts[0].failure.as_ref(), Some(&failure));
    assert_eq!(
        (attempts[0].state, attempts[0].exit_code),
        (AttemptState::Failed, Some(1))
    );
    let events = store.events(id).await.unwrap();
    assert_eq!(events.last().unwrap().reason, Some(Reason::BuildStepFailed));
}

#[sqlx::test]
async fn terminal_is_terminal(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    let failure = Failure::new(Reason::Unknown, "gone");
    assert!(
        store
            .finish(id, &Outcome::Failed(failure.clone()), &[], 0)
            .await
            .unwrap()
    );
    let build = get(&store, id).await;
    let succeeded = Outcome::Succeeded { digest: None };
    assert!(!store.finish(id, &succeeded, &[seen("late")], 3).await.unwrap());
    assert_eq!(
        store.observe(id, &BUILDING, &[seen("late")], 3).await.unwrap(),
        Recorded::Stale
    );
    assert!(store.relaunch(id, LEASE).await.unwrap().is_none());
    assert!(!store.cancelled(id).await.unwrap());
    assert!(matches!(
        store.cancel(id).await.unwrap(),
        Some(Cancelled::Ended(_))
    ));
    assert_eq!(get(&store, id).await, build);
    assert!(store.attempts(id).await.unwrap().is_empty());
}

#[sqlx::test]
async fn only_the_holder_of_the_token_writes_to_a_launching_build(pool: PgPool) {
    let store = store(&pool);
    let id = queued(&store, "team", 0).await;
    let lost = store.claim(PLENTY, Duration::ZERO, 1).await.unwrap().remove(0);
    let won = store.claim(PLENTY, LEASE, 1).await.unwrap().remove(0);
    assert_eq!((won.id, won.launches), (id, 1));
    assert_ne!(won.token, lost.token);
    let failure = Failure::new(Reason::LaunchFailed, "refused");
    assert!(!store.launched(id, lost.token, "uid").await.unwrap());
    assert!(!store.release(id, lost.token, Duration::ZERO).await.unwrap());
    assert!(!store.launch_failed(id, lost.token, &failure).await.unwrap());
    assert!(store.claim(PLENTY, LEASE, 1).await.unwrap().is_empty());
    assert!(store.launch_failed(id, won.token, &failure).await.unwrap());
    let build = get(&store, id).await;
    assert_eq!((build.state, build.failure), (State::Failed, Some(failure)));
}

#[sqlx::test]
async fn a_released_build_waits_its_delay_and_is_claimed_again(pool: PgPool) {
    let store = store(&pool);
    let id = queued(&store, "team", 0).await;
    let claim = store.claim(PLENTY, LEASE, 1).await.unwrap().remove(0);
    assert!(
        store
            .release(id, claim.token, Duration::from_secs(3600))
            .await
            .unwrap()
    );
    assert!(store.claim(PLENTY, LEASE, 1).await.unwrap().is_empty());
    sqlx::query("UPDATE builds SET run_at = now()")
        .execute(&pool)
        .await
        .unwrap();
    let again = store.claim(PLENTY, LEASE, 1).await.unwrap().remove(0);
    assert_eq!(again.launches, 1);
    assert_eq!(
        history(&store, id).await,
        ["queued", "launching", "queued", "launching"]
    );
}

#[sqlx::test]
async fn a_lost_job_is_launched_again_as_the_callers_claim(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    let claim = store.relaunch(id, LEASE).await.unwrap().unwrap();
    assert_eq!((claim.id, claim.launches), (id, 1));
    let live = store.live(None, 10).await.unwrap().remove(0);
    assert_eq!(
        (live.state, live.relaunches, live.external_id),
        (State::Launching, 1, None)
    );
    assert!(store.launched(id, claim.token, "uid-2").await.unwrap());
}

#[sqlx::test]
async fn a_cancel_ends_at_once_what_waits_and_waits_for_what_runs(pool: PgPool) {
    let store = store(&pool);
    assert!(store.cancel(BuildId::generate()).await.unwrap().is_none());

    let id = queued(&store, "team", 0).await;
    let Some(Cancelled::Accepted(build)) = store.cancel(id).await.unwrap() else {
        panic!("it is accepted");
    };
    assert_eq!(build.state, State::Cancelled);
    assert!(build.cancel_requested_at.is_some() && build.finished_at.is_some());
    assert_eq!(history(&store, id).await, ["queued", "cancelling", "cancelled"]);

    let id = running(&store, "team").await;
    let pod = AttemptSeen {
        running: true,
        ..seen("pod-1")
    };
    store.observe(id, &BUILDING, &[pod], 0).await.unwrap();
    let mut wakeup = store.wakeup(Topic::Cancel);
    for _ in 0..2 {
        let Some(Cancelled::Accepted(build)) = store.cancel(id).await.unwrap() else {
            panic!("it is accepted, also again");
        };
        assert_eq!(build.state, State::Cancelling);
    }
    wakeup.wait().await;
    assert_eq!(store.cancelling(None, 10).await.unwrap(), [id]);
    let failed = Outcome::Failed(Failure::new(Reason::Unknown, "stopped"));
    assert!(!store.finish(id, &failed, &[], 0).await.unwrap());
    assert!(store.cancelled(id).await.unwrap());
    assert!(!store.cancelled(id).await.unwrap());
    let attempts = store.attempts(id).await.unwrap();
    assert!(attempts[0].state == AttemptState::Failed && attempts[0].finished_at.is_some());
    assert_eq!(
        history(&store, id).await,
        ["queued", "launching", "running", "cancelling", "cancelled"]
    );
}

#[sqlx::test]
async fn what_was_pushed_before_it_could_be_stopped_has_succeeded(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    store.cancel(id).await.unwrap();
    let succeeded = Outcome::Succeeded { digest: None };
    assert!(store.finish(id, &succeeded, &[], 0).await.unwrap());
    assert!(!store.cancelled(id).await.unwrap());
    assert_eq!(
        history(&store, id).await,
        ["queued", "launching", "running", "cancelling", "succeeded"]
    );
}
