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
