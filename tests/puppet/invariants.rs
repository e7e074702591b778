//! What is true after every story, by the table of events and by the cluster.

use std::{collections::BTreeMap, time::Duration};

use slipway::domain::{BuildId, State};
use sqlx::types::Uuid;

use crate::{puppet::chronicle::Seen, puppet::world::World};

/// What the tables say of one build.
#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: Uuid,
    state: String,
    retries: i32,
    relaunches: i32,
    ends: i64,
    accepted: i64,
}

const ROWS: &str = "
    SELECT b.id, b.state::text AS state, b.retries, b.relaunches,
        (SELECT count(*) FROM build_events e WHERE e.build_id = b.id
            AND e.state IN ('succeeded', 'failed', 'cancelled', 'superseded', 'expired')) AS ends,
        (SELECT count(*) FROM specs s WHERE s.build_id = b.id) AS accepted
    FROM builds b";

/// One end for each build that has ended, at most one Job for each that was not made again, no Job without a row, no
/// running row without a Job, and retries as Kubernetes counts them.
pub async fn hold(world: &World) {
    let rows: Vec<Row> = sqlx::query_as(ROWS)
        .fetch_all(&world.sql)
        .await
        .expect("the rows can be read");
    let rows: BTreeMap<BuildId, Row> = rows.into_iter().map(|row| (BuildId(row.id), row)).collect();
    for (id, row) in &rows {
        let state: State = row.state.parse().expect("a state");
        assert_eq!(row.ends, i64::from(state.is_terminal()), "one end: {row:?}");
        assert_eq!(row.accepted, 1, "{row:?}");
        if state == State::Cancelled {
            world.chronicle.gone(*id).await;
        }
        let seen = world.chronicle.seen();
        let jobs = seen.jobs_of(*id).count();
        let most = 1 + usize::try_from(row.relaunches).expect("a count");
        assert!(jobs <= most, "{jobs} Jobs: {row:?}");
        let has_job = seen.job(*id).is_some();
        assert!(has_job || state != State::Running, "no Job: {row:?}");
    }
    for (id, row) in &rows {
        if matches!(row.state.as_str(), "succeeded" | "failed") {
            retries_are_counted_alike(world, *id, row.retries).await;
        }
    }
    nothing_was_wrong(&world.chronicle.seen(), &rows);
    for name in world.jobs().await {
        let known = BuildId::from_job_name(&name).is_some_and(|id| rows.contains_key(&id));
        assert!(known, "a Job without a row: {name}");
    }
}

fn nothing_was_wrong(seen: &Seen, rows: &BTreeMap<BuildId, Row>) {
    assert!(seen.wrongs.is_empty(), "{:?}", seen.wrongs);
    for job in &seen.jobs {
        assert!(
            rows.contains_key(&job.build),
            "a Job without a row: {}",
            job.build
        );
    }
}

/// The Job's own count trails the end of its last pod.
async fn retries_are_counted_alike(world: &World, id: BuildId, retries: i32) {
    let is_there = world
        .chronicle
        .seen()
        .job(id)
        .is_some_and(|job| job.metadata.deletion_timestamp.is_none());
    if !is_there {
        return;
    }
    let what = format!("{retries} retries, as counted by the Job of {id}");
    let counted = world.chronicle.until(what, |seen| {
        let status = seen.job(id)?.status.as_ref()?;
        (status.failed.unwrap_or(0) == retries).then_some(())
    });
    tokio::time::timeout(Duration::from_secs(60), counted)
        .await
        .expect("the chronicle loses patience before");
}
