//! Postgres goes away and comes back: said at once, nothing lost, no help needed.

use std::time::{Duration, Instant};

use crate::support::postgres::PrivatePostgres;
use slipway::{
    domain::{BuildId, NewBuild},
    store::{CreateError, Created, Slots, Store, StoreError, StoreOptions, Topic},
};
use tokio_util::sync::CancellationToken;

fn store(postgres: &PrivatePostgres) -> Store {
    Store::connect(&StoreOptions {
        url: postgres.url().into(),
        direct_url: None,
        max_connections: 5,
        acquire_timeout: Duration::from_millis(500),
        notify: true,
    })
    .expect("the URL is one")
}

fn build() -> NewBuild {
    NewBuild {
        id: BuildId::generate(),
        spec: serde_json::from_value(serde_json::json!({
            "source": {"git": {"url": "https://git.example.com/app.git"}},
            "destinations": ["registry.example.com/team/app:1"],
        }))
        .expect("the spec is valid"),
        rebuild_of: None,
        idempotency: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_said_quickly_and_overcome_without_losing_an_accepted_build() {
    let postgres = PrivatePostgres::start();
    let store = store(&postgres);
    store.migrate().await.expect("migrated");
    let (creator, batcher) = store.creator(1024);
    tokio::spawn(batcher);
    let stop = CancellationToken::new();
    let wakeups = tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move { store.run_wakeups(stop).await }
    });

    // Clients that send without a pause, through the crash.
    let (accepted, mut ids) = tokio::sync::mpsc::unbounded_channel();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (creator, accepted, stop) = (creator.clone(), accepted.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    match creator.create(build()).await {
                        Ok(Created::New(build)) => accepted.send(build.id).expect("the test listens"),
                        Ok(Created::Repeated(_)) => panic!("nothing repeats"),
                        Err(CreateError::Store(StoreError::Unavailable(_))) => tokio::task::yield_now().await,
                        Err(other) => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    let mut known = vec![ids.recv().await.expect("builds are accepted")];
    postgres.crash();

    let begun = Instant::now();
    assert!(matches!(store.ready().await, Err(StoreError::Unavailable(_))));
    let slots = Slots {
        total: 5,
        per_project: 5,
    };
    let claimed = store.claim(slots, Duration::from_secs(60), 5).await;
    assert!(matches!(claimed, Err(StoreError::Unavailable(_))), "{claimed:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());

    while let Ok(id) = ids.try_recv() {
        known.push(id);
    }
    postgres.resume();
    // By itself: the next build is accepted, and what was accepted before is there.
    known.push(
        tokio::time::timeout(Duration::from_secs(20), ids.recv())
            .await
            .expect("recovers")
            .expect("accepted"),
    );
    stop.cancel();
    for client in clients {
        client.await.expect("no client panicked");
    }
    wakeups.await.expect("the wake-ups end when asked to");
    for id in known {
        assert!(
            store.build(id).await.expect("the database is back").is_some(),
            "{id} was lost"
        );
    }
    store.ready().await.expect("ready again");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_that_died_are_replaced_before_they_are_used() {
    let postgres = PrivatePostgres::start();
    let store = store(&postgres);
    store.migrate().await.expect("migrated");
    store.ready().await.expect("ready");
    postgres.crash();
    postgres.resume();
    // What was cut while idle is found out before it is used.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    store.ready().await.expect("no request pays for the restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_whose_connection_broke_listens_again() {
    let postgres = PrivatePostgres::start();
    let (here, there) = (store(&postgres), store(&postgres));
    here.migrate().await.expect("migrated");
    let stop = CancellationToken::new();
    for store in [&here, &there] {
        let (store, stop) = (store.clone(), stop.clone());
        tokio::spawn(async move { store.run_wakeups(stop).await });
    }
    for round in 0..2 {
        let begun = Instant::now();
        loop {
            let mut wakeup = there.wakeup(Topic::Queue);
            here.wake(Topic::Queue);
            let waited = Instant::now();
            wakeup.wait().await;
            // Sooner than the earliest poll, and not once only.
            if waited.elapsed() < Duration::from_millis(400) {
                break;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "not heard in round {round}"
            );
        }
        if round == 0 {
            postgres.crash();
            postgres.resume();
        }
    }
    stop.cancel();
}
