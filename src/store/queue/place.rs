//! Where a queued build stands. No part of this walks through the queue, whatever its length.

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

/// Builds that are counted one by one; a longer queue is estimated.
const COUNTED: i64 = 1000;
/// Projects of the very same share as the build's that are looked at to tell who is first.
const TIES: usize = 64;
/// Builds of these that are passed over to find those that count, in all.
const SKIPPED: u64 = 4000;
/// Ended builds of a project that are looked at to tell how long the next will take.
const HISTORY: i64 = 500;

/// The build, as far as its turn depends on it.
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
    /// Where a queued build stands; `None` for one that is not queued.
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

/// The build's place in its lane: counted from the lane's head or, for one near the end of a long lane, from its end.
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

/// Builds of all projects that go first, and whether that is certain.
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

/// How many of these projects' next builds, each after so many others of its own, go before the build by priority, age
/// and id.
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

/// How long the project's latest successful builds held their slots.
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
