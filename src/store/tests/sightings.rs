//! Recorded observations of a running build: its attempts, its phase, and the time that it waits.

use super::*;
use crate::domain::{AttemptSeen, AttemptState, Failure, Reason};

/// Returns a pod whose container has not started.
pub(super) fn seen(name: &str) -> AttemptSeen {
    AttemptSeen {
        running: false,
        ..running_pod(name)
    }
}

fn waiting(reason: Option<Reason>) -> Outcome {
    Outcome::Waiting {
        reason,
        message: None,
    }
}

pub(super) const BUILDING: Outcome = Outcome::Running {
    phase: Phase::Building,
};

#[sqlx::test]
async fn a_sighting_is_written_once(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    let pod = AttemptSeen {
        running: true,
        started_at: Some("2026-11-24T01:02:03.123456789Z".parse().unwrap()),
        ..seen("pod-a")
    };
    for outcome in [waiting(Some(Reason::Unschedulable)), waiting(None), BUILDING] {
        store
            .observe(id, &outcome, std::slice::from_ref(&pod), 0)
            .await
            .unwrap();
        let version = get(&store, id).await.version;
        store
            .observe(id, &outcome, std::slice::from_ref(&pod), 0)
            .await
            .unwrap();
        assert_eq!(get(&store, id).await.version, version, "{outcome:?}");
    }
}

#[sqlx::test]
async fn waiting_is_measured_from_its_first_sighting_and_ends_with_a_container(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    sqlx::query("UPDATE builds SET waiting_since = now() - interval '100 s'")
        .execute(&pool)
        .await
        .unwrap();
    let outcome = waiting(Some(Reason::Unschedulable));
    for _ in 0..2 {
        let Recorded::Yes {
            waiting_for: Some(span),
        } = store.observe(id, &outcome, &[], 0).await.unwrap()
        else {
            panic!("it waits");
        };
        assert!(span >= Duration::from_secs(100), "{span:?}");
    }
    assert_eq!(get(&store, id).await.waiting_reason, Some(Reason::Unschedulable));
    let recorded = store.observe(id, &BUILDING, &[], 0).await.unwrap();
    assert_eq!(recorded, Recorded::Yes { waiting_for: None });
    let build = get(&store, id).await;
    assert_eq!((build.waiting_reason, build.phase), (None, Some(Phase::Building)));
}

#[sqlx::test]
async fn an_attempt_after_a_failed_one_waits_for_itself(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    let since_long = "UPDATE builds SET waiting_since = now() - interval '100 s'";
    let waits = async |pods: &[AttemptSeen]| {
        sqlx::query(since_long).execute(&pool).await.unwrap();
        match store.observe(id, &waiting(None), pods, 0).await.unwrap() {
            Recorded::Yes { waiting_for } => waiting_for.unwrap().as_secs(),
            Recorded::Stale => panic!("it waits"),
        }
    };
    let failed = AttemptSeen {
        failure: Some(Failure::new(Reason::Unknown, "it failed")),
        ..seen("pod-a")
    };
    assert!(
        waits(&[seen("pod-a")]).await >= 100,
        "the wait began before there was a pod"
    );
    assert!(waits(std::slice::from_ref(&failed)).await >= 100);
    assert!(waits(&[failed.clone(), seen("pod-b")]).await < 100);
    assert!(waits(&[failed, seen("pod-b")]).await >= 100);
}

#[sqlx::test]
async fn a_phase_goes_back_only_with_the_next_attempt(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    let first = AttemptSeen {
        running: true,
        ..seen("pod-a")
    };
    let phase = async |outcome: &Outcome, pods: &[AttemptSeen]| {
        store.observe(id, outcome, pods, 0).await.unwrap();
        get(&store, id).await.phase.unwrap()
    };
    let fetching = Outcome::Running {
        phase: Phase::Fetching,
    };
    let pods = [first.clone()];
    assert_eq!(phase(&waiting(None), &[seen("pod-a")]).await, Phase::Pending);
    assert_eq!(phase(&BUILDING, &pods).await, Phase::Building);
    assert_eq!(phase(&fetching, &pods).await, Phase::Building);
    assert_eq!(phase(&waiting(None), &pods).await, Phase::Building);
    let failed = AttemptSeen {
        running: false,
        failure: Some(Failure::new(Reason::PushFailed, "broke off")),
        ..first
    };
    assert_eq!(
        phase(&waiting(None), std::slice::from_ref(&failed)).await,
        Phase::Pending
    );
    let second = AttemptSeen {
        running: true,
        ..seen("pod-b")
    };
    assert_eq!(phase(&fetching, &[failed, second]).await, Phase::Fetching);
    let attempts = store.attempts(id).await.unwrap();
    let numbers: Vec<_> = attempts
        .iter()
        .map(|attempt| (attempt.number, attempt.name.as_str()))
        .collect();
    assert_eq!(numbers, [(1, "pod-a"), (2, "pod-b")]);
}

#[sqlx::test]
async fn an_ended_attempt_stays_as_it_ended(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    let failed = AttemptSeen {
        failure: Some(Failure::new(Reason::Evicted, "evicted")),
        exit_code: Some(137),
        node: Some("node-1".to_owned()),
        ..seen("pod-a")
    };
    store.observe(id, &waiting(None), &[failed], 1).await.unwrap();
    store
        .observe(
            id,
            &waiting(None),
            &[AttemptSeen {
                running: true,
                ..seen("pod-a")
            }],
            0,
        )
        .await
        .unwrap();
    let attempt = store.attempts(id).await.unwrap().remove(0);
    assert_eq!(
        (attempt.state, attempt.exit_code),
        (AttemptState::Failed, Some(137))
    );
    assert_eq!(attempt.failure.unwrap().reason, Reason::Evicted);
    assert_eq!(attempt.node.as_deref(), Some("node-1"));
    assert_eq!(get(&store, id).await.retries, 1);
}

#[sqlx::test]
async fn an_end_that_is_the_first_thing_seen_leaves_nothing_open(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    let ended = AttemptSeen {
        started_at: Some("2026-11-24T10:00:00Z".parse().unwrap()),
        failure: Some(Failure::new(Reason::Unknown, "It ended.")),
        ..seen("pod-1")
    };
    let failed = Outcome::Failed(Failure::new(Reason::Unknown, "It ended."));
    assert!(
        store
            .finish(id, &failed, &[ended, seen("pod-2")], 2)
            .await
            .unwrap()
    );
    assert!(store.build(id).await.unwrap().unwrap().started_at.is_some());
    let attempts = store.attempts(id).await.unwrap();
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt.state == AttemptState::Failed)
    );
}
