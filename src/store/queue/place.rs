//! Position of a queued build. No part of this scans the queue, so the cost does not grow with its length.

use jiff_sqlx::Timestamp;
use sqlx::{PgConnection, types::Uuid};

use super::{
    BEGIN,
    rank::Rank,
    shares::{ProjectShare, alone},
};
use crate::{
    domain::{
        BuildId,
        queue::{Eta, History, Load, Place, Share, WaitingFor},
    },
    store::{Store, StoreError, begin, dispatchers, rows::length},
};

/// Upper bound of builds counted one by one; the position in a longer queue is an estimate.
const COUNTED: i64 = 1000;
/// Upper bound of projects with exactly the build's share that are read to decide which goes first.
const TIES: usize = 64;
/// Upper bound of builds skipped in these projects, in total, to find the ones that decide.
const SKIPPED: u64 = 4000;
/// Number of ended builds of a project from which the duration of the next is estimated.
const HISTORY: i64 = 500;

/// The build's values that determine its turn.
struct Own {
    id: Uuid,
    project_id: i64,
    priority: i16,
    run_at: Timestamp,
    repository: String,
    put_off: bool,
    rank: Rank,
}

impl Store {
    /// Returns the position of a queued build; `None` if the build is not queued.
    pub async fn place(&self, id: BuildId) -> Result<Option<Place>, StoreError> {
        let mut db = begin::begin_with(&self.pool, BEGIN).await?;
        let Some(build) = own(&mut db, id.0).await? else {
            return Ok(None);
        };
        let service = dispatchers::service(&mut *db).await?;
        let shares = self.known_shares(&mut db, service.as_ref()).await?;
        let own = shares.iter().find(|one| one.project_id == build.project_id);
        let own = own.map_or_else(|| alone(service.as_ref()), |one| one.share);
        let position = build.rank.position();
        let (ahead, told) = ahead(&mut db, &build, &own, &shares).await?;
        let held = shares.iter().map(|one| one.share.held).sum();
        let eta = match &service {
            None => None,
            Some(service) => {
                let load = Load {
                    position,
                    ahead,
                    own,
                    slots: service.slots,
                    held,
                };
                Eta::of(&load, &history(&mut db, &build).await?)
            }
        };
        db.commit().await?;
        let put_off = build.put_off.then(|| build.run_at.to_jiff());
        Ok(Some(Place {
            position,
            ahead,
            estimated: build.rank.is_estimate() || !told,
            eta,
            waiting_for: WaitingFor::of(put_off, service.as_ref(), &own, held),
        }))
    }
}

/// Reads the build's position in its lane, counted from the lane's head or, near the end of a long lane, from
/// its end.
async fn own(db: &mut PgConnection, id: Uuid) -> Result<Option<Own>, sqlx::Error> {
    let row = sqlx::query_file!("src/store/queue/place.sql", id, COUNTED)
        .fetch_optional(db)
        .await?;
    Ok(row.map(|row| Own {
        id,
        project_id: row.project_id,
        priority: row.priority,
        run_at: row.run_at,
        repository: row.repository,
        put_off: row.put_off,
        rank: Rank {
            counted: length(COUNTED),
            above: length(row.above),
            lane: length(row.lane),
            before: length(row.before),
            behind: length(row.behind),
            share_of_rest: row.share_of_rest,
        },
    }))
}

/// Returns the number of builds of all projects that go first, and true if that number is certain.
async fn ahead(
    db: &mut PgConnection,
    build: &Own,
    own: &Share,
    shares: &[ProjectShare],
) -> Result<(u64, bool), sqlx::Error> {
    let position = build.rank.position();
    let mut first = position - 1;
    let (mut tied, mut skips) = (Vec::new(), Vec::new());
    let (mut told, mut skipped) = (true, 0);
    for other in shares.iter().filter(|one| one.project_id != build.project_id) {
        let ahead = own.ahead(position, &other.share);
        first += ahead.sure;
        if !ahead.tie {
            continue;
        }
        if tied.len() < TIES && skipped + ahead.sure <= SKIPPED {
            skipped += ahead.sure;
            tied.push(other.project_id);
            skips.push(i64::try_from(ahead.sure).unwrap_or(i64::MAX));
        } else {
            first += 1;
            told = false;
        }
    }
    if !tied.is_empty() {
        first += ties(db, build, &tied, &skips).await?;
    }
    Ok((first, told))
}

/// Counts the projects whose next build, after the given number of skipped ones, goes before the build by
/// priority, age and id.
async fn ties(
    db: &mut PgConnection,
    build: &Own,
    projects: &[i64],
    skips: &[i64],
) -> Result<u64, sqlx::Error> {
    let first = sqlx::query_file_scalar!(
        "src/store/queue/ties.sql",
        projects,
        skips,
        build.priority,
        build.run_at as Timestamp,
        build.id
    )
    .fetch_one(db)
    .await?;
    Ok(length(first))
}

/// Reads for how long the project's latest successful builds held their slots.
async fn history(db: &mut PgConnection, build: &Own) -> Result<History, sqlx::Error> {
    let rows = sqlx::query_file!(
        "src/store/queue/history.sql",
        build.project_id,
        build.repository,
        HISTORY
    )
    .fetch_all(db)
    .await?;
    let own = rows.iter().filter(|row| row.same);
    Ok(History {
        repository: own.map(|row| row.seconds).collect(),
        project: rows.iter().map(|row| row.seconds).collect(),
    })
}
