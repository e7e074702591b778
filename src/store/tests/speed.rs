//! Figures, on demand: `cargo test --release --lib store::tests::speed -- --ignored --nocapture`.

use std::time::Instant;

use super::*;

async fn backlog(pool: &PgPool, projects: i32, builds: i32) {
    sqlx::query("INSERT INTO projects (name) SELECT 'p' || n FROM generate_series(1, $1) n")
        .bind(projects)
        .execute(pool)
        .await
        .unwrap();
    sqlx::query(
        "WITH new AS (
            INSERT INTO builds (id, project_id, priority, run_at)
            SELECT gen_random_uuid(), 1 + n % $1, 0, now() - interval '1 h' + n * interval '1 ms'
            FROM generate_series(1, $2) n RETURNING id, project_id
        )
        INSERT INTO specs (build_id, project_id, repository, spec) SELECT id, project_id, 'r', $3 FROM new",
    )
    .bind(projects)
    .bind(builds)
    .bind(sqlx::types::Json(spec("p1")))
    .execute(pool)
    .await
    .unwrap();
}

async fn cycles(store: &Store, rounds: u32, slots: Slots) -> f64 {
    let begun = Instant::now();
    let mut done = 0_u32;
    for _ in 0..rounds {
        let claims = store.claim(slots, LEASE, 50).await.unwrap();
        store.keep_lanes().await;
        done += u32::try_from(claims.len()).unwrap();
        futures::future::join_all(claims.into_iter().map(async |claim| {
            assert!(store.launched(claim.id, claim.token, "uid").await.unwrap());
            assert!(
                store
                    .finish(claim.id, &Outcome::Succeeded { digest: None }, &[], 0)
                    .await
                    .unwrap()
            );
        }))
        .await;
    }
    f64::from(done) / begun.elapsed().as_secs_f64()
}

async fn claims(store: &Store, rounds: u32, slots: Slots, pool: &PgPool) -> f64 {
    let mut spent = Duration::ZERO;
    let mut done = 0_u32;
    for _ in 0..rounds {
        let begun = Instant::now();
        let claims = store.claim(slots, LEASE, 50).await.unwrap();
        store.keep_lanes().await;
        spent += begun.elapsed();
        done += u32::try_from(claims.len()).unwrap();
        sqlx::query("UPDATE builds SET state = 'succeeded', finished_at = now(), lease_until = NULL, claim_token = NULL WHERE state IN ('launching', 'running', 'cancelling')")
            .execute(pool).await.unwrap();
    }
    f64::from(done) / spent.as_secs_f64()
}

#[sqlx::test]
#[ignore = "takes a minute; prints figures"]
async fn claiming(pool: PgPool) {
    let slots = Slots {
        total: 50,
        per_project: 50,
    };
    for (projects, builds) in [(1, 10_000), (1, 1_000_000), (10_000, 1_000_000)] {
        sqlx::query(
            "TRUNCATE projects, builds, specs, lanes, build_events, results RESTART IDENTITY CASCADE",
        )
        .execute(&pool)
        .await
        .unwrap();
        backlog(&pool, projects, builds).await;
        let store = store(&pool);
        store.look_after_lanes(true).await.unwrap();
        claims(&store, 20, slots, &pool).await;
        println!(
            "{projects} projects, {builds} builds: {:.0} claims/s",
            claims(&store, 100, slots, &pool).await
        );
        println!("  {:.0} claim+launch+finish/s", cycles(&store, 60, slots).await);
    }
}

#[sqlx::test]
#[ignore = "takes a minute; prints figures"]
async fn under_an_old_snapshot(pool: PgPool) {
    let slots = Slots {
        total: 50,
        per_project: 50,
    };
    backlog(&pool, 1, 1_000_000).await;
    let store = store(&pool);
    store.look_after_lanes(true).await.unwrap();
    let mut old = pool
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM lanes")
        .await
        .unwrap();
    sqlx::query("SELECT 1").execute(&mut *old).await.unwrap();
    let begun = Instant::now();
    for round in 0..12 {
        println!(
            "{round} {:>6.1?}: {:.0} claim+launch+finish/s",
            begun.elapsed(),
            cycles(&store, 100, slots).await
        );
    }
}

#[sqlx::test]
#[ignore = "takes a minute; prints figures"]
async fn creating(pool: PgPool) {
    let store = store(&pool);
    let creator = creator(&store);
    for clients in [1, 8, 32, 128] {
        let begun = Instant::now();
        let each = 4000 / clients;
        futures::future::join_all((0..clients).map(|_| async {
            for _ in 0..each {
                creator.create(new_build("team")).await.unwrap();
            }
        }))
        .await;
        println!(
            "{clients} clients: {:.0} builds/s",
            f64::from(each * clients) / begun.elapsed().as_secs_f64()
        );
    }
}

/// The median, and what 99 of 100 lie below, of the times that this takes.
async fn times(count: usize, mut ask: impl AsyncFnMut(usize)) -> String {
    let mut times = Vec::with_capacity(count);
    for n in 0..count {
        let begun = Instant::now();
        ask(n).await;
        times.push(begun.elapsed());
    }
    times.sort();
    format!(
        "p50 {:.2?}, p99 {:.2?}",
        times[count / 2],
        times[count * 99 / 100]
    )
}

#[sqlx::test]
#[ignore = "takes minutes; prints figures"]
async fn asking_where_builds_stand(pool: PgPool) {
    for projects in [1, 10_000] {
        sqlx::query(
            "TRUNCATE projects, builds, specs, lanes, build_events, results, lane_counts RESTART IDENTITY CASCADE",
        )
        .execute(&pool)
        .await
        .unwrap();
        backlog(&pool, projects, 1_000_000).await;
        sqlx::query(
            "INSERT INTO results (build_id, project_id, repository, held_seconds)
            SELECT gen_random_uuid(), 1 + n % $1, 'r', 60 + n % 60 FROM generate_series(1, 100000) n",
        )
        .bind(projects)
        .execute(&pool)
        .await
        .unwrap();
        let store = store(&pool);
        store.look_after_lanes(true).await.unwrap();
        let begun = Instant::now();
        store.recount().await.unwrap();
        println!(
            "{projects} projects, 1,000,000 queued: counted anew in {:.0?}",
            begun.elapsed()
        );
        store
            .dispatcher_seen(uuid::Uuid::nil(), PLENTY, true)
            .await
            .unwrap();
        let ids: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT id FROM builds ORDER BY run_at")
            .fetch_all(&pool)
            .await
            .unwrap();
        let spread = |n: usize| BuildId(ids[n * (ids.len() - 1) / 999]);
        println!(
            "  place and ETA: {}",
            times(1000, async |n| {
                store.place(spread(n)).await.unwrap();
            })
            .await
        );
        let queue = times(1000, async |_| drop(store.queue(None).await.unwrap())).await;
        println!("  the whole queue: {queue}");
        let name = "p1".parse().unwrap();
        let queue = times(1000, async |_| drop(store.queue(Some(&name)).await.unwrap())).await;
        println!("  one project of it: {queue}");
    }
}
