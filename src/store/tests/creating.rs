//! Creation: batches, keys, contexts.

use futures::{FutureExt, future::join_all};

use super::*;
use crate::domain::ContextId;

#[sqlx::test]
async fn a_hundred_requests_with_one_key_over_three_replicas_make_one_build(pool: PgPool) {
    let stores = [store(&pool), store(&pool), store(&pool)];
    let creators: Vec<_> = stores.iter().map(creator).collect();
    let answers = join_all((0..100).map(|n| creators[n % 3].create(keyed("team", "delivery-1", 7)))).await;
    let mut ids: Vec<_> = answers
        .into_iter()
        .map(|answer| match answer.unwrap() {
            Created::New(build) => (build.id, true),
            Created::Repeated(build) => (build.id, false),
        })
        .collect();
    assert_eq!(ids.iter().filter(|(_, new)| *new).count(), 1);
    ids.sort();
    ids.dedup_by_key(|(id, _)| *id);
    assert_eq!(ids.len(), 1);
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM builds")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(rows, 1);
}

#[sqlx::test]
async fn a_key_is_bound_to_its_request_and_to_its_project(pool: PgPool) {
    let store = store(&pool);
    let creator = creator(&store);
    creator.create(keyed("team", "k", 1)).await.unwrap();
    let reused = creator.create(keyed("team", "k", 2)).await;
    assert!(matches!(reused, Err(CreateError::KeyReused)));
    let other = creator.create(keyed("other", "k", 2)).await.unwrap();
    assert!(matches!(other, Created::New(_)));
}

#[sqlx::test]
async fn an_answer_that_was_lost_is_given_again(pool: PgPool) {
    let store = store(&pool);
    let creator = creator(&store);
    let first = keyed("team", "k", 1);
    let id = first.id;
    // The first poll hands the request over; its answer is never awaited.
    assert!(futures::poll!(Box::pin(creator.create(first))).is_pending());
    let Created::Repeated(build) = creator.create(keyed("team", "k", 1)).await.unwrap() else {
        panic!("it was stored before");
    };
    assert_eq!(build.id, id);
}

#[sqlx::test]
async fn a_bad_row_hurts_only_itself(pool: PgPool) {
    let store = store(&pool);
    let twice = created(&store, new_build("team")).await;
    let creator = creator(&store);
    let mut bad = new_build("team");
    bad.id = twice.id;
    let (a, bad, b) = tokio::join!(
        creator.create(new_build("team")),
        creator.create(bad),
        creator.create(new_build("fresh"))
    );
    assert!(matches!(a, Ok(Created::New(_))) && matches!(b, Ok(Created::New(_))));
    assert!(matches!(bad, Err(CreateError::Store(StoreError::Query(_)))));
}

#[sqlx::test]
async fn the_context_must_be_the_projects_own(pool: PgPool) {
    let store = store(&pool);
    let creator = creator(&store);
    let context = ContextId::generate();
    let team: ProjectName = "team".parse().unwrap();
    store.begin_context(context).await.unwrap();
    store.add_context(context, &team, 10, [1; 32]).await.unwrap();
    let with = |project: &str, context: ContextId| {
        let mut build = new_build(project);
        build.spec.source =
            serde_json::from_value(serde_json::json!({"upload": {"context_id": context}})).unwrap();
        build
    };
    assert!(matches!(
        creator.create(with("team", context)).await,
        Ok(Created::New(_))
    ));
    for bad in [with("other", context), with("team", ContextId::generate())] {
        assert!(matches!(
            creator.create(bad).await,
            Err(CreateError::NoSuchContext)
        ));
    }
}

#[sqlx::test]
async fn more_than_the_bound_is_refused_at_once(pool: PgPool) {
    let store = store(&pool);
    let (creator, _not_running) = store.creator(2);
    let mut waiting: Vec<_> = (0..3)
        .map(|_| Box::pin(creator.create(new_build("team"))))
        .collect();
    assert!(futures::poll!(waiting[0].as_mut()).is_pending());
    assert!(futures::poll!(waiting[1].as_mut()).is_pending());
    let refused = waiting[2].as_mut().await;
    assert!(matches!(refused, Err(CreateError::Overloaded)));
}

#[sqlx::test]
async fn creation_wakes_whoever_waits_for_the_queue(pool: PgPool) {
    let store = store(&pool);
    let mut wakeup = store.wakeup(Topic::Queue);
    created(&store, new_build("team")).await;
    assert!(wakeup.wait().now_or_never().is_some());
}

#[tokio::test]
async fn without_a_database_everybody_who_waits_is_told_at_once() {
    // A port without a listener.
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
    let creator = creator(&store);
    let begun = std::time::Instant::now();
    let answers = join_all((0..1000).map(|_| creator.create(new_build("team")))).await;
    for answer in answers {
        assert!(
            matches!(answer, Err(CreateError::Store(StoreError::Unavailable(_)))),
            "{answer:?}"
        );
    }
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "not one time-out after the other: {:?}",
        begun.elapsed()
    );
}

/// Returns a store as in the service, with a pool of one connection for creation.
fn of_one_connection(pool: &PgPool) -> (Store, Creator) {
    use sqlx::ConnectOptions;
    let store = Store::connect(&StoreOptions {
        url: pool.connect_options().to_url_lossy().to_string().into(),
        direct_url: None,
        max_connections: 2,
        acquire_timeout: Duration::from_secs(10),
        notify: false,
    })
    .expect("the address is valid");
    let creator = creator(&store);
    (store, creator)
}

#[sqlx::test]
async fn the_batchers_connection_serves_what_needs_locks_too_and_is_given_back(pool: PgPool) {
    sqlx::query("INSERT INTO projects (name, max_queued) VALUES ('limited', 10)")
        .execute(&pool)
        .await
        .expect("it answers");
    let (store, creator) = of_one_connection(&pool);
    for project in ["plain", "limited", "plain", "plain", "limited", "limited"] {
        creator.create(new_build(project)).await.expect("it is stored");
    }
    creator.create(new_build("plain")).await.expect("it is stored");
    assert_eq!(store.creating.idle(), 0, "the next creation finds it at hand");
    let given_back = async {
        while store.creating.idle() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), given_back)
        .await
        .expect("it is given back in time");
}

#[sqlx::test]
async fn a_connection_that_broke_while_it_was_held_costs_one_batch(pool: PgPool) {
    let (_store, creator) = of_one_connection(&pool);
    creator.create(new_build("team")).await.expect("it is stored");
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'slipway'",
    )
    .execute(&pool)
    .await
    .expect("it answers");
    let during = creator.create(new_build("team")).await;
    let away = matches!(during, Err(CreateError::Store(StoreError::Unavailable(_))));
    assert!(away || during.is_ok(), "{during:?}");
    creator.create(new_build("team")).await.expect("it is stored");
}
