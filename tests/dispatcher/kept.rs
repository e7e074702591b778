//! What is kept of logs: no secrets, no endless lines, and each byte once, whoever is killed in between.

use std::{sync::Arc, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::json;
use slipway::{
    dispatcher::Options,
    domain::{
        BuildId, Reason, State,
        log::{Filter, Known, Masker, SourceMark},
        outcome::Advice,
    },
    store::LogBytes,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::dispatcher::world::{World, options};

const SECRET: &str = "hunter2/s3cr3t";
const SHARED: &str = "everybody-knows";

fn strict() -> Options {
    Options {
        max_log_bytes: 1 << 20,
        max_log_line: 1000,
        secrets: Arc::new(Known::new([SHARED])),
        ..options()
    }
}

/// A build that was given a secret, and whose pod runs.
async fn running(world: &World) -> BuildId {
    let id = world
        .submit_spec(json!({
            "source": {"git": {"url": "https://git.example/repo.git"}},
            "destinations": ["registry.example/team/app:1"],
            "build_args": {"NPM_TOKEN": SECRET, "VERSION": "1.2.3-plain"},
        }))
        .await;
    world.claim().await;
    world.is(id, State::Running).await;
    world.cluster.starts(id);
    id
}

async fn stored(world: &World, id: BuildId) -> (Vec<u8>, bool) {
    let slice = world
        .store
        .log_from(id, 1, 0, 1 << 22)
        .await
        .expect("the database answers");
    let Some((log, LogBytes::Here(bytes))) = slice else {
        panic!("the log is in the database")
    };
    (bytes, log.complete)
}

#[sqlx::test(migrations = false)]
async fn secrets_are_masked_wherever_the_log_is_cut(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::with(database, strict()).await;
    let id = running(&world).await;
    world.cluster.prints(id, "token hunter2/s3");
    world.look(id).await;
    assert_eq!(
        stored(&world, id).await.0,
        b"",
        "half a line may be half a secret"
    );
    world.cluster.prints(id, "cr3t!\nVERSION=1.2.3-plain ");
    world.look(id).await;
    assert_eq!(stored(&world, id).await.0, b"token ***!\n");
    world.cluster.prints(
        id,
        "everybody-knows https://user:pass@host/\n-----BEGIN PRIVATE KEY-----\nMIIE\n",
    );
    world.look(id).await;
    world
        .cluster
        .prints(id, "vQIBADANBg\n-----END PRIVATE KEY-----\naHVudGVyMi9zM2NyM3Q=");
    world.cluster.succeeds(id);
    world.look(id).await;
    let expected = "token ***!\nVERSION=1.2.3-plain *** https://user:***@host/\n\
        -----BEGIN PRIVATE KEY-----\n***\n***\n-----END PRIVATE KEY-----\n***";
    assert_eq!(world.log(id, 1).await, (expected.to_owned(), true));
}

#[sqlx::test(migrations = false)]
async fn what_a_failure_quotes_is_masked_as_the_log_is(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::with(database, strict()).await;
    let id = running(&world).await;
    world.look(id).await;
    world
        .cluster
        .fails(id, Reason::BuildStepFailed, false, Advice::None);
    world.cluster.says(
        id,
        "RUN curl -u x:hunter2/s3cr3t failed",
        "s3cr3t\nAuthorization: Bearer abc\neverybody-knows\nexit 1",
    );
    world.look(id).await;
    let attempt = world
        .store
        .attempts(id)
        .await
        .expect("the database answers")
        .remove(0);
    for failure in [world.build(id).await.failure, attempt.failure] {
        let failure = failure.expect("it failed");
        assert_eq!(failure.message, "RUN curl -u x:*** failed");
        let snippet = failure.log_snippet.expect("there is one");
        assert_eq!(snippet, "***\nAuthorization: Bearer ***\n***\nexit 1");
    }
}

#[sqlx::test(migrations = false)]
async fn a_line_without_an_end_is_cut_with_a_marker(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::with(database, strict()).await;
    let id = running(&world).await;
    for _ in 0..3 {
        world.cluster.prints(id, &"x".repeat(3_000_000));
        world.look(id).await;
    }
    world.cluster.prints(id, "\nnext\n");
    world.cluster.succeeds(id);
    world.look(id).await;
    let expected = format!(
        "{} [slipway: the line is longer than 1000 bytes; the rest is not kept]\nnext\n",
        "x".repeat(1000)
    );
    assert_eq!(world.log(id, 1).await, (expected, true));
}

#[sqlx::test(migrations = false)]
async fn the_logs_of_a_cancelled_build_are_over_when_its_pod_is_gone(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::with(database, strict()).await;
    let id = running(&world).await;
    world.cluster.prints(id, "at work\nunfini");
    world.look(id).await;
    world.cancel(id).await;
    while world.state(id).await != State::Cancelled {
        world.see_cancels_through().await;
    }
    assert_eq!(world.log(id, 1).await, ("at work\n".to_owned(), true));
}

/// Pieces of logs in which much can go wrong.
fn piece(random: &mut StdRng) -> Vec<u8> {
    let pieces: [&[u8]; 10] = [
        SECRET.as_bytes(),
        SHARED.as_bytes(),
        b"aHVudGVyMi9zM2NyM3Q=",
        b"https://user:passw0rd@host ",
        b"INFO[0001] RUN make\n",
        b"-----BEGIN PRIVATE KEY-----\n",
        b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDK\n-----END PRIVATE KEY-----\n",
        b"\xff\0\x1b[31m\n",
        b"\r",
        b"\n",
    ];
    if random.random_bool(0.2) {
        return vec![b'x'; random.random_range(0..4000)];
    }
    pieces.choose(random).expect("there are some").to_vec()
}

#[sqlx::test(migrations = false)]
async fn killed_in_mid_log_nothing_is_missing_doubled_or_shown(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::with(database, strict()).await;
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        let id = running(&world).await;
        let mut whole = Vec::new();
        for _ in 0..12 {
            let printed: Vec<u8> = (0..random.random_range(1..30))
                .flat_map(|_| piece(&mut random))
                .collect();
            // Cut anywhere.
            let (now, later) = printed.split_at(random.random_range(0..=printed.len()));
            for part in [now, later] {
                whole.extend_from_slice(part);
                world.cluster.prints_bytes(id, part);
                let two_at_once = random.random_bool(0.3);
                let lives = [0, 1].map(|_| Duration::from_millis(random.random_range(0..120)));
                let first = lives_for(&world, id, lives[0]);
                if two_at_once {
                    tokio::join!(first, lives_for(&world, id, lives[1]));
                } else {
                    first.await;
                }
            }
        }
        world.cluster.succeeds(id);
        world.look(id).await;
        let mut expected = Vec::new();
        let masker = Masker::new(Arc::new(Known::new([SHARED])), Known::new([SECRET]));
        let mut filter = Filter::new(masker, 1000, SourceMark::default());
        filter.feed(&whole, &mut expected);
        filter.finish(&mut expected);
        let (stored, complete) = stored(&world, id).await;
        assert!(complete, "seed {seed}");
        assert!(
            stored == expected,
            "seed {seed}: {:?} is not {:?}",
            String::from_utf8_lossy(&stored),
            String::from_utf8_lossy(&expected)
        );
    }
}

/// Another process follows the log, and is killed after some time.
async fn lives_for(world: &World, id: BuildId, time: Duration) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let make = world.elsewhere(strict());
    let work = runtime.spawn(async move {
        let replica = make();
        drop(replica.observe_once(id).await);
        replica.settled().await;
    });
    // It may have done all there was to do before.
    let _ = tokio::time::timeout(time, work).await;
    runtime.shutdown_background();
}
