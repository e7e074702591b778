//! The dispatcher's statements each keep a pinned connection.

use sqlx::ConnectOptions;

use super::{sessions::eventually, *};
use crate::store::{StoreOptions, own::Own};

const SUCCEEDED: Outcome = Outcome::Succeeded { digest: None };

/// Returns a store that is connected as in the service.
fn connected(pool: &PgPool) -> Store {
    Store::connect(&StoreOptions {
        url: pool.connect_options().to_url_lossy().to_string().into(),
        direct_url: None,
        max_connections: 2,
        acquire_timeout: Duration::from_secs(10),
        notify: false,
    })
    .expect("the address is valid")
}

/// Takes one build through all three statements.
async fn one_build(store: &Store) -> Result<(), StoreError> {
    creator(store)
        .create(new_build("team"))
        .await
        .expect("it is stored");
    for claim in store.claim(PLENTY, LEASE, 10).await? {
        store.launched(claim.id, claim.token, "uid").await?;
        store.finish(claim.id, &SUCCEEDED, &[], 0).await?;
    }
    Ok(())
}

/// Returns the session of a pinned connection.
async fn session(own: &Own) -> i32 {
    let mut connection = own.take().await.expect("there is one");
    let session = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut *connection)
        .await
        .expect("it answers");
    own.keep(connection);
    session
}

async fn sessions(store: &Store) -> [i32; 3] {
    [
        session(&store.claiming).await,
        session(&store.launching).await,
        session(&store.ending).await,
    ]
}

/// Ends these sessions, as a restart of the database does.
async fn end(sessions: [i32; 3], pool: &PgPool) {
    let ended: Vec<bool> =
        sqlx::query_scalar("SELECT pg_terminate_backend(pid, 10000) FROM unnest($1::int[]) pid")
            .bind(sessions.as_slice())
            .fetch_all(pool)
            .await
            .expect("it answers");
    assert_eq!(ended, [true; 3]);
}

#[sqlx::test]
async fn each_kind_of_statement_stays_in_its_session(pool: PgPool) {
    let store = connected(&pool);
    one_build(&store).await.expect("it answers");
    let before = sessions(&store).await;
    for _ in 0..3 {
        one_build(&store).await.expect("it answers");
    }
    assert_eq!(sessions(&store).await, before);
    assert!(before[0] != before[1] && before[1] != before[2] && before[2] != before[0]);
    for own in [&store.claiming, &store.launching, &store.ending] {
        assert_eq!(own.idle(), 0, "the next statement finds it at hand");
    }
    let open: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1) AND state <> 'idle'")
            .bind(before.as_slice())
            .fetch_one(&pool)
            .await
            .expect("it answers");
    assert_eq!(open, 0, "no transaction is left open");
}

#[sqlx::test]
async fn a_session_that_broke_while_it_was_kept_costs_one_statement(pool: PgPool) {
    let store = connected(&pool);
    one_build(&store).await.expect("it answers");
    end(sessions(&store).await, &pool).await;
    let mut refused = 0;
    while let Err(error) = one_build(&store).await {
        assert!(error.is_outage(), "{error:?}");
        refused += 1;
        assert!(refused <= 3, "once for each kind at the most");
    }
}

#[sqlx::test]
async fn one_that_was_kept_unused_for_long_is_asked_before_it_is_used(pool: PgPool) {
    let store = connected(&pool);
    one_build(&store).await.expect("it answers");
    end(sessions(&store).await, &pool).await;
    for own in [&store.claiming, &store.launching, &store.ending] {
        own.unused_for(Duration::from_secs(2));
    }
    one_build(&store).await.expect("all of them are new");
}

#[sqlx::test]
async fn one_that_is_in_use_all_the_time_goes_back_to_its_pool_at_times(pool: PgPool) {
    let store = connected(&pool);
    one_build(&store).await.expect("it answers");
    let own = [&store.claiming, &store.launching, &store.ending];
    own.iter().for_each(|own| own.held_for(Duration::from_secs(61)));
    one_build(&store).await.expect("it answers");
    eventually("the pools to have them", async || {
        own.iter().all(|own| own.idle() == 1)
    })
    .await;
    one_build(&store).await.expect("it answers");
    assert_eq!(own.map(Own::idle), [0; 3], "and are kept again");
}
