//! Steps and phases, read from logs as they grow, and what dispatchers say of themselves.

use slipway::domain::{BuildId, Phase, Reason, outcome::Advice, queue::WaitingFor};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::dispatcher::world::{World, options};

/// The number, the instruction and whether its end was seen, for each step of an attempt.
async fn steps(world: &World, id: BuildId, attempt: usize) -> Vec<(u32, String, bool)> {
    let attempts = world.store.attempts(id).await.expect("the database answers");
    let steps = world
        .store
        .steps(id, &attempts[attempt - 1].name)
        .await
        .expect("the database answers");
    steps
        .into_iter()
        .map(|step| (step.number, step.instruction, step.finished_at.is_some()))
        .collect()
}

fn step(number: u32, instruction: &str, ended: bool) -> (u32, String, bool) {
    (number, instruction.to_owned(), ended)
}

#[sqlx::test(migrations = false)]
async fn steps_and_phases_follow_the_log(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cluster.prints(
        id,
        "INFO[0000] Unpacking rootfs as cmd RUN a requires it.\nINFO[0000] RUN a\n",
    );
    world.look(id).await;
    assert_eq!(world.build(id).await.phase, Some(Phase::Building));
    assert_eq!(steps(&world, id, 1).await, [step(1, "RUN a", false)]);
    world
        .cluster
        .prints(id, "INFO[0001] COPY b c\nINFO[0002] Pushing image to r/x:1\n");
    world.look(id).await;
    assert_eq!(world.build(id).await.phase, Some(Phase::Pushing));
    assert_eq!(
        steps(&world, id, 1).await,
        [step(1, "RUN a", true), step(2, "COPY b c", true)]
    );
}

#[sqlx::test(migrations = false)]
async fn a_follower_that_takes_over_in_mid_log_neither_repeats_nor_renumbers(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let id = world.running().await;
    // It stops in the middle of a line.
    world
        .cluster
        .prints(id, "INFO[0000] RUN a\nINFO[0001] RUN b\nINFO[0002] RU");
    world.look(id).await;
    let before = world
        .store
        .steps(id, &world.store.attempts(id).await.unwrap()[0].name)
        .await
        .unwrap();
    world.cluster.prints(id, "N c\nINFO[0003] RUN d\n");
    let other = world.replica(options());
    other.observe_once(id).await.expect("it answers");
    other.settled().await;
    let expected = [
        step(1, "RUN a", true),
        step(2, "RUN b", true),
        step(3, "RUN c", true),
        step(4, "RUN d", false),
    ];
    assert_eq!(steps(&world, id, 1).await, expected);
    let after = world
        .store
        .steps(id, &world.store.attempts(id).await.unwrap()[0].name)
        .await
        .unwrap();
    assert_eq!(before[0], after[0], "what was known stays as it was");

    world
        .cluster
        .fails(id, Reason::BuildStepFailed, false, Advice::None);
    world.look(id).await;
    assert_eq!(steps(&world, id, 1).await[3], step(4, "RUN d", true));
}

#[sqlx::test(migrations = false)]
async fn steps_that_were_stored_and_not_recorded_are_made_up_for(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cluster.prints(id, "INFO[0000] RUN a\nINFO[0001] RUN b\n");
    world.look(id).await;
    sqlx::query("DELETE FROM steps WHERE number = 2")
        .execute(&world.sql)
        .await
        .unwrap();
    world.look(id).await;
    assert_eq!(
        steps(&world, id, 1).await,
        [step(1, "RUN a", true), step(2, "RUN b", false)]
    );
}

#[sqlx::test(migrations = false)]
async fn each_attempt_has_steps_of_its_own(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cluster.prints(id, "INFO[0000] RUN a\n");
    world.look(id).await;
    world.cluster.fails(id, Reason::PushFailed, true, Advice::None);
    world.look(id).await;
    world.cluster.starts(id);
    world.cluster.prints(id, "INFO[0000] RUN a again\n");
    world.look(id).await;
    assert_eq!(steps(&world, id, 1).await, [step(1, "RUN a", true)]);
    assert_eq!(steps(&world, id, 2).await, [step(1, "RUN a again", false)]);
}

#[sqlx::test(migrations = false)]
async fn nobody_knows_how_long_steps_took_that_were_over_before_anybody_looked(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let id = world.launched().await;
    world.cluster.starts(id);
    world.cluster.prints(id, "INFO[0000] RUN a\nINFO[0001] RUN b\n");
    world.cluster.succeeds(id);
    world.look(id).await;
    assert_eq!(
        steps(&world, id, 1).await,
        [step(1, "RUN a", false), step(2, "RUN b", false)]
    );
}

#[sqlx::test(migrations = false)]
async fn what_a_log_may_hold_never_stops_it(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    let nul = r#"{"level":"info","msg":"RUN a\u0000b\u001b[31m <script>","time":"x"}"#;
    world.cluster.prints(id, &format!("{nul}\n"));
    world.look(id).await;
    assert_eq!(
        steps(&world, id, 1).await,
        [step(1, "RUN a b [31m <script>", false)]
    );
    let many: String = (0..600).map(|n| format!("INFO[0000] RUN {n}\n")).collect();
    world.cluster.prints(id, &many[..9_000]);
    world.look(id).await;
    assert!(steps(&world, id, 1).await.len() <= 500);
}

#[sqlx::test(migrations = false)]
async fn a_cluster_that_does_not_answer_is_what_builds_wait_for(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let own = uuid::Uuid::now_v7();
    let waits = async |id| {
        world
            .store
            .place(id)
            .await
            .unwrap()
            .expect("it is queued")
            .waiting_for
    };
    let id = world.submit().await;
    assert_eq!(waits(id).await, WaitingFor::Cluster { dispatcher: false });
    world.dispatcher.announce(own).await.unwrap();
    assert_eq!(
        waits(id).await,
        WaitingFor::Slot {
            slots: 20,
            free: true
        }
    );

    world.cluster.set(|faults| faults.down = true);
    world.claim().await;
    world.dispatcher.announce(own).await.unwrap();
    // Once it may be tried again, it waits for the cluster as all others do.
    let next = waits(id).await;
    let next_try = matches!(
        next,
        WaitingFor::Retry { .. } | WaitingFor::Cluster { dispatcher: true }
    );
    assert!(next_try, "{next:?}");
    let other = world.submit().await;
    assert_eq!(waits(other).await, WaitingFor::Cluster { dispatcher: true });

    world.cluster.set(|faults| faults.down = false);
    world.claim().await;
    world.dispatcher.announce(own).await.unwrap();
    let last = world.submit().await;
    assert_eq!(
        waits(last).await,
        WaitingFor::Slot {
            slots: 20,
            free: true
        }
    );
}
