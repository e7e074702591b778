//! Random histories, swept once, against a model of what is kept.

use std::time::Duration;

use serde_json::json;
use slipway::{blobs::BlobName, domain::ContextId, retention::Options};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use uuid::Uuid;

use crate::{
    api::harness::Harness,
    api::retention::{DAY, KEEP, sweep},
};

/// Numbers that look random, and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn limit(&mut self) -> Option<u32> {
        (self.below(4) > 0).then(|| u32::try_from(1 + self.below(40)).unwrap())
    }
}

/// All ages are in days; limits are whole days, and ages are not, so that no moment matters.
struct History {
    id: Uuid,
    created: f64,
    ended: Option<f64>,
    log: bool,
    key: bool,
    context: Option<usize>,
}

struct Context {
    id: ContextId,
    age: f64,
}

/// An id of so many days ago.
fn old_id(days: f64) -> Uuid {
    let now = Uuid::now_v7().get_timestamp().expect("it bears a time").to_unix();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "days since 1970 are small and positive"
    )]
    let seconds = now.0 - (days * 86_400.0) as u64;
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0))
}

fn contexts(dice: &mut Dice) -> Vec<Context> {
    let ages = (0..8).map(|_| dice.below(40) as f64 + 0.5);
    ages.map(|age| Context {
        id: ContextId(old_id(age)),
        age,
    })
    .collect()
}

fn histories(dice: &mut Dice, contexts: &[Context]) -> Vec<History> {
    let one = |_| {
        let days = dice.below(40);
        let created = days as f64 + 0.4;
        let ended = (dice.below(5) > 0).then(|| dice.below(days + 1) as f64 + 0.3);
        let usable: Vec<usize> = (0..contexts.len())
            .filter(|index| contexts[*index].age > created)
            .collect();
        let context = (dice.below(2) == 0 && !usable.is_empty())
            .then(|| usable[usize::try_from(dice.below(usable.len() as u64)).unwrap()]);
        History {
            id: old_id(created),
            created,
            ended,
            log: dice.below(3) > 0,
            key: dice.below(2) == 0,
            context,
        }
    };
    (0..120).map(one).collect()
}

async fn store_context(pool: &PgPool, service: &Harness, context: &Context) {
    sqlx::query(
        "WITH project AS (
            INSERT INTO projects (name) VALUES ('p') ON CONFLICT (name) DO UPDATE SET name = 'p' RETURNING id
        )
        INSERT INTO contexts (id, project_id, size, sha256, created_at)
        SELECT $1, id, 1, decode(repeat('00', 32), 'hex'), now() - make_interval(secs => $2 * 86400) FROM project",
    )
    .bind(context.id.0)
    .bind(context.age)
    .execute(pool)
    .await
    .unwrap();
    let path = service
        .folder
        .path()
        .join(BlobName::context(context.id).to_string());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "x").unwrap();
}

/// Stores a build with all that may belong to one.
async fn store_build(pool: &PgPool, history: &History, contexts: &[Context]) {
    let source = match history.context {
        Some(index) => json!({"upload": {"context_id": contexts[index].id}}),
        None => json!({"git": {"url": "https://git.example/a.git"}}),
    };
    let spec = json!({"project": "p", "source": source, "destinations": ["registry.example/a:1"]});
    let mut statements = vec![
        "INSERT INTO builds (id, project_id, priority, state, finished_at)
        VALUES ($1, 1, 0, (CASE WHEN $3 IS NULL THEN 'running' ELSE 'succeeded' END)::build_state,
            now() - make_interval(secs => $3 * 86400) + make_interval(secs => 0 * $2))",
        "INSERT INTO commit_statuses (build_id, provider, api_url, repository, commit_id, context, trigger_id)
        SELECT $1, 'github', 'https://api.github.com', 'team/app', 'abc', 'x', $1 WHERE $2 + coalesce($3, 0) >= 0",
        // Which makes a notification, too.
        "INSERT INTO build_events (build_id, state, project_id)
        SELECT $1, 'queued', 1 FROM generate_series(1, 3) WHERE $2 + coalesce($3, 0) >= 0",
        "INSERT INTO results (build_id) SELECT $1 WHERE $2 > 0 AND $3 IS NOT NULL",
        "INSERT INTO attempts (build_id, number, name, state)
        SELECT $1, 1, 'pod', 'running' WHERE $2 + coalesce($3, 0) >= 0",
        "INSERT INTO steps (build_id, attempt, number, instruction, timed)
        SELECT $1, 'pod', 1, 'RUN x', true WHERE $2 + coalesce($3, 0) >= 0",
        "INSERT INTO triggered_builds (build_id, trigger_id, rule, git_ref)
        SELECT $1, $1, 'r', 'refs/heads/main' WHERE $2 + coalesce($3, 0) >= 0",
    ];
    if history.log {
        statements.extend([
            "INSERT INTO logs (build_id, attempt, bytes) SELECT $1, 'pod', 5 WHERE $2 + coalesce($3, 0) >= 0",
            "INSERT INTO log_chunks (build_id, attempt, byte_offset, length, body)
            SELECT $1, 'pod', n, 1, '\\x78'::bytea FROM generate_series(0, 4) n WHERE $2 + coalesce($3, 0) >= 0",
        ]);
    }
    if history.key {
        statements.push(
            "INSERT INTO idempotency_keys (project_id, key, build_id, request_sha256, created_at)
            SELECT 1, $1::text, $1, decode(repeat('00', 32), 'hex'), now() - make_interval(secs => $2 * 86400)
            WHERE coalesce($3, 0) >= 0",
        );
    }
    for statement in statements {
        let stored = sqlx::query(statement)
            .bind(history.id)
            .bind(history.created)
            .bind(history.ended);
        stored
            .execute(pool)
            .await
            .unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
    sqlx::query("INSERT INTO specs (build_id, project_id, repository, spec) VALUES ($1, 1, 'r', $2)")
        .bind(history.id)
        .bind(spec)
        .execute(pool)
        .await
        .unwrap();
    if let Some(index) = history.context {
        sqlx::query(
            "INSERT INTO context_grants (context_id, token_sha256, build_id)
            VALUES ($1, decode(lpad(to_hex($3), 64, '0'), 'hex'), $2)",
        )
        .bind(contexts[index].id.0)
        .bind(history.id)
        .bind(i32::try_from(history.id.as_u128() & 0x7fff_ffff).unwrap())
        .execute(pool)
        .await
        .unwrap();
    }
}

/// Builds that have rows in this table.
async fn builds_in(pool: &PgPool, table: &str) -> Vec<Uuid> {
    let column = if table == "builds" { "id" } else { "build_id" };
    let sql = format!("SELECT DISTINCT {column} FROM {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_all(pool)
        .await
        .unwrap()
}

/// Every table that has rows of builds.
async fn tables(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.columns
        WHERE table_schema = 'public' AND column_name = 'build_id' AND table_name <> 'context_grants'",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

fn older(age: Option<f64>, limit: Option<u32>) -> bool {
    age.zip(limit).is_some_and(|(age, limit)| age > f64::from(limit))
}

struct Limits {
    builds: Option<u32>,
    logs: Option<u32>,
    events: Option<u32>,
    contexts: Option<u32>,
    keys: Option<u32>,
}

impl Limits {
    fn draw(dice: &mut Dice) -> Self {
        Self {
            builds: dice.limit(),
            logs: dice.limit(),
            events: dice.limit(),
            contexts: dice.limit(),
            keys: dice.limit(),
        }
    }

    fn options(&self) -> Options {
        let days = |limit: Option<u32>| limit.map(|days| Duration::from_secs(86_400) * days);
        Options {
            builds: days(self.builds),
            logs: days(self.logs),
            events: days(self.events),
            contexts: days(self.contexts),
            idempotency_keys: days(self.keys),
            archive_after: DAY * 100,
            ..KEEP
        }
    }

    /// Whether rows of the build are to be found in the table.
    fn keep(&self, history: &History, table: &str) -> bool {
        let there = match table {
            "results" => history.ended.is_some(),
            "logs" | "log_chunks" => history.log && !older(history.ended, self.logs),
            "build_events" => !older(history.ended, self.events),
            "idempotency_keys" => history.key && !older(Some(history.created), self.keys),
            _ => true,
        };
        there && !older(history.ended, self.builds)
    }
}

#[sqlx::test(migrations = false)]
async fn what_is_older_than_its_limit_goes_and_everything_else_stays(
    pool: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let pool = pool.connect_with(database).await.unwrap();
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let contexts = contexts(&mut dice);
        for context in &contexts {
            store_context(&pool, &service, context).await;
        }
        let histories = histories(&mut dice, &contexts);
        for history in &histories {
            store_build(&pool, history, &contexts).await;
        }
        let limits = Limits::draw(&mut dice);
        let swept = sweep(&service, limits.options()).await;
        assert_eq!(swept.failed, 0, "seed {seed}: {swept:?}");
        for table in tables(&pool).await.into_iter().chain(["builds".to_owned()]) {
            let found = builds_in(&pool, &table).await;
            for history in &histories {
                assert_eq!(
                    found.contains(&history.id),
                    limits.keep(history, &table),
                    "seed {seed}: {table} of a build {} days old that ended {:?} days ago",
                    history.created,
                    history.ended
                );
            }
        }
        for (index, context) in contexts.iter().enumerate() {
            let needed = histories
                .iter()
                .any(|history| history.context == Some(index) && !older(history.ended, limits.contexts));
            let kept = needed || !older(Some(context.age), limits.contexts);
            let there = service.store.context(context.id).await.unwrap().is_some();
            assert_eq!(there, kept, "seed {seed}: a context {} days old", context.age);
            let path = service
                .folder
                .path()
                .join(BlobName::context(context.id).to_string());
            assert_eq!(path.exists(), kept, "seed {seed}: its bytes");
        }
        sqlx::query(
            "TRUNCATE projects, builds, specs, results, attempts, steps, logs, log_chunks, build_events, contexts,
                context_grants, idempotency_keys, loose_objects, commit_statuses, notifications, triggered_builds RESTART IDENTITY CASCADE",
        )
        .execute(&pool)
        .await
        .unwrap();
    }
}
