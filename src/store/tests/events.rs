//! Events: their causes, and reads without a gap or a repeat in whatever order transactions end.

use std::time::Instant;

use futures::future::join_all;

use super::*;
use crate::domain::{BuildEvent, Cause, EventKind, Failure, Reason, State};

const START: EventCursor = EventCursor { xid: 0, id: 0 };

fn team() -> ProjectName {
    "team".parse().unwrap()
}

fn what(event: &BuildEvent) -> (State, Option<Cause>) {
    let EventKind::State(state) = event.kind;
    (state, event.cause)
}

async fn causes(store: &Store, id: BuildId) -> Vec<(State, Option<Cause>)> {
    store.events(id).await.unwrap().iter().map(what).collect()
}

/// Reads the events that are visible after the cursor, and moves the cursor behind them.
async fn read_on(store: &Store, cursor: &mut EventCursor) -> Vec<i64> {
    let events = store.project_events(&team(), *cursor, 3).await.unwrap();
    if let Some((last, _)) = events.last() {
        *cursor = *last;
    }
    events.into_iter().map(|(_, event)| event.id).collect()
}

/// Reads on until `count` events have come. Transactions of the server's other databases delay them, too.
async fn read_until(store: &Store, cursor: &mut EventCursor, count: usize) -> Vec<i64> {
    let begun = Instant::now();
    let mut seen = Vec::new();
    while seen.len() < count {
        assert!(
            begun.elapsed() < Duration::from_secs(40),
            "{} of {count} came",
            seen.len()
        );
        let mut wakeup = store.watch_builds();
        let events = read_on(store, cursor).await;
        if events.is_empty() {
            wakeup.wait().await;
        }
        seen.extend(events);
    }
    seen
}

#[sqlx::test]
async fn every_change_of_state_says_what_caused_it(pool: PgPool) {
    let store = store(&pool);
    let failure = Failure::new(Reason::JobLost, "gone");
    let id = queued(&store, "team", 0).await;
    let claim = store.claim(PLENTY, LEASE, 1).await.unwrap().remove(0);
    assert!(store.release(id, claim.token, Duration::ZERO).await.unwrap());
    let claim = store.claim(PLENTY, LEASE, 1).await.unwrap().remove(0);
    assert!(store.launched(id, claim.token, "uid").await.unwrap());
    let claim = store.relaunch(id, LEASE).await.unwrap().unwrap();
    assert!(store.launched(id, claim.token, "uid").await.unwrap());
    assert!(
        store
            .give_up(id, &failure, Cause::PendingDeadline, &[], 0)
            .await
            .unwrap()
    );
    assert_eq!(
        causes(&store, id).await,
        [
            (State::Queued, Some(Cause::Request)),
            (State::Launching, Some(Cause::Claim)),
            (State::Queued, Some(Cause::LaunchDeferred)),
            (State::Launching, Some(Cause::Claim)),
            (State::Running, Some(Cause::Launch)),
            (State::Launching, Some(Cause::JobLost)),
            (State::Running, Some(Cause::Launch)),
            (State::Failed, Some(Cause::PendingDeadline)),
        ]
    );

    let mut again = new_build("team");
    again.rebuild_of = Some(id);
    let again = created(&store, again).await.id;
    let claim = store.claim(PLENTY, LEASE, 1).await.unwrap().remove(0);
    assert!(store.launch_failed(again, claim.token, &failure).await.unwrap());
    let seen = running(&store, "team").await;
    let succeeded = Outcome::Succeeded { digest: None };
    assert!(store.finish(seen, &succeeded, &[], 0).await.unwrap());
    let stopped = running(&store, "team").await;
    store.cancel(stopped).await.unwrap();
    assert!(store.cancelled(stopped).await.unwrap());
    for (id, last) in [
        (
            again,
            vec![
                (State::Queued, Some(Cause::Rebuild)),
                (State::Failed, Some(Cause::LaunchFailed)),
            ],
        ),
        (seen, vec![(State::Succeeded, Some(Cause::Observation))]),
        (
            stopped,
            vec![
                (State::Cancelling, Some(Cause::CancelRequest)),
                (State::Cancelled, Some(Cause::PodGone)),
            ],
        ),
    ] {
        let all = causes(&store, id).await;
        assert!(
            last.iter().all(|one| all.contains(one)) && all.last() == last.last(),
            "{all:?}"
        );
    }
}

#[sqlx::test]
async fn a_builds_events_are_read_on_after_the_last_one(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    let all = store.events(id).await.unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(store.events_after(id, all[0].id).await.unwrap(), all[1..]);
    assert_eq!(store.events_after(id, all[2].id).await.unwrap(), []);
}

#[sqlx::test]
async fn what_commits_late_is_neither_skipped_nor_shown_twice(pool: PgPool) {
    let store = store(&pool);
    let id = queued(&store, "team", 0).await;
    let mut cursor = START;
    assert_eq!(read_until(&store, &mut cursor, 1).await.len(), 1);

    // It has drawn its event's id, and commits late.
    let mut late = pool.begin().await.unwrap();
    let drawn: i64 = sqlx::query_scalar(
        "INSERT INTO build_events (build_id, project_id, state, cause)
        SELECT id, project_id, 'superseded', 'request' FROM builds WHERE id = $1 RETURNING id",
    )
    .bind(id.0)
    .fetch_one(&mut *late)
    .await
    .unwrap();
    let second = queued(&store, "team", 0).await;
    let after = store.events(second).await.unwrap()[0].id;
    assert!(after > drawn);
    let early = read_on(&store, &mut cursor).await;
    assert!(early.is_empty(), "not before what was begun earlier: {early:?}");
    late.commit().await.unwrap();
    assert_eq!(read_until(&store, &mut cursor, 2).await, [drawn, after]);
    assert!(read_on(&store, &mut cursor).await.is_empty());
}

#[sqlx::test]
async fn one_that_is_undone_holds_nobody_up(pool: PgPool) {
    let store = store(&pool);
    let mut undone = pool.begin().await.unwrap();
    sqlx::query("INSERT INTO projects (name) VALUES ('other')")
        .execute(&mut *undone)
        .await
        .unwrap();
    queued(&store, "team", 0).await;
    let mut cursor = START;
    assert!(read_on(&store, &mut cursor).await.is_empty());
    undone.rollback().await.unwrap();
    assert_eq!(read_until(&store, &mut cursor, 1).await.len(), 1);
}

#[sqlx::test]
async fn a_reader_beside_many_writers_sees_each_event_once(pool: PgPool) {
    let store = store(&pool);
    let creator = creator(&store);
    let writers = join_all((0..4).map(async |writer| {
        for n in 0..12 {
            creator.create(new_build("team")).await.unwrap();
            for claim in store.claim(PLENTY, LEASE, 2).await.unwrap() {
                let launched = store.launched(claim.id, claim.token, "uid").await.unwrap();
                if launched && (writer + n) % 2 == 0 {
                    store.cancel(claim.id).await.unwrap();
                    store.cancelled(claim.id).await.unwrap();
                }
            }
        }
    }));
    let mut cursor = START;
    let mut seen = Vec::new();
    let mut writing = std::pin::pin!(writers);
    loop {
        tokio::select! {
            _ = &mut writing => break,
            events = read_on(&store, &mut cursor) => seen.extend(events),
        }
    }
    let all: Vec<i64> = sqlx::query_scalar("SELECT id FROM build_events ORDER BY id")
        .fetch_all(&pool)
        .await
        .unwrap();
    let rest = read_until(&store, &mut cursor, all.len() - seen.len()).await;
    seen.extend(rest);
    seen.sort_unstable();
    assert_eq!(seen, all);
}

#[sqlx::test]
async fn a_reader_that_begins_now_sees_what_comes_and_only_its_project(pool: PgPool) {
    let store = store(&pool);
    queued(&store, "team", 0).await;
    let mut cursor = START;
    read_until(&store, &mut cursor, 1).await;
    let mut now = store.events_from_now().await.unwrap();
    queued(&store, "other", 0).await;
    let id = queued(&store, "team", 0).await;
    let expected = store.events(id).await.unwrap()[0].id;
    assert_eq!(read_until(&store, &mut now, 1).await, [expected]);
}
