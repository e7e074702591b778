//! A database, a cluster and a dispatcher for each test. Tests step the dispatcher; nothing runs by itself.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use slipway::{
    dispatcher::{Dispatcher, Options},
    domain::{Build, BuildId, NewBuild, State},
    store::{Creator, LogBytes, Slots, Store, StoreOptions},
};
use sqlx::{PgPool, postgres::PgConnectOptions};

use crate::dispatcher::cluster::Cluster;

pub struct World {
    pub store: Store,
    pub cluster: Arc<Cluster>,
    pub dispatcher: Dispatcher,
    /// For what only a test does: set the clocks of rows back.
    pub sql: PgPool,
    creator: Creator,
    database: PgConnectOptions,
}

impl World {
    pub async fn new(database: PgConnectOptions) -> Self {
        Self::with(database, options()).await
    }

    pub async fn with(database: PgConnectOptions, options: Options) -> Self {
        let store = connect(&database);
        store.migrate().await.expect("the migrations apply");
        let (creator, batcher) = store.creator(64);
        tokio::spawn(batcher);
        let cluster = Cluster::new();
        let dispatcher = Dispatcher::new(store.clone(), cluster.clone(), options);
        let sql = PgPool::connect_lazy_with(database.clone());
        Self {
            store,
            cluster,
            dispatcher,
            sql,
            creator,
            database,
        }
    }

    /// Another replica: a store and a dispatcher of its own, on the same database and cluster.
    pub fn replica(&self, options: Options) -> Dispatcher {
        Dispatcher::new(connect(&self.database), self.cluster.clone(), options)
    }

    /// Makes another replica, in whatever runtime it is called.
    pub fn elsewhere(&self, options: Options) -> impl FnOnce() -> Dispatcher + Send + use<> {
        let (database, cluster) = (self.database.clone(), self.cluster.clone());
        move || Dispatcher::new(connect(&database), cluster, options)
    }

    /// A build is accepted.
    pub async fn submit(&self) -> BuildId {
        self.submit_from(json!({"git": {"url": "https://git.example/repo.git"}}))
            .await
    }

    pub async fn submit_from(&self, source: serde_json::Value) -> BuildId {
        self.submit_spec(json!({ "source": source, "destinations": ["registry.example/team/app:1"] }))
            .await
    }

    pub async fn submit_spec(&self, spec: serde_json::Value) -> BuildId {
        let build = NewBuild {
            id: BuildId::generate(),
            spec: serde_json::from_value(spec).expect("the request is valid"),
            rebuild_of: None,
            idempotency: None,
        };
        let id = build.id;
        self.creator.create(build).await.expect("it is stored");
        id
    }

    /// A build whose Job was created.
    pub async fn launched(&self) -> BuildId {
        let id = self.submit().await;
        self.claim().await;
        self.is(id, State::Running).await;
        id
    }

    /// A build whose first pod runs.
    pub async fn running(&self) -> BuildId {
        let id = self.launched().await;
        self.cluster.starts(id);
        self.look(id).await;
        id
    }

    pub async fn claim(&self) -> usize {
        self.dispatcher.claim_once().await.expect("the database answers")
    }

    pub async fn look(&self, id: BuildId) {
        self.dispatcher
            .observe_once(id)
            .await
            .expect("the database answers");
        self.dispatcher.settled().await;
    }

    pub async fn reconcile(&self) {
        self.dispatcher
            .reconcile_once()
            .await
            .expect("the database answers");
        self.dispatcher.settled().await;
    }

    pub async fn see_cancels_through(&self) -> usize {
        self.dispatcher.cancel_once().await.expect("the database answers")
    }

    pub async fn cancel(&self, id: BuildId) {
        self.store
            .cancel(id)
            .await
            .expect("the database answers")
            .expect("the build exists");
    }

    pub async fn build(&self, id: BuildId) -> Build {
        self.store
            .build(id)
            .await
            .expect("the database answers")
            .expect("the build exists")
    }

    pub async fn state(&self, id: BuildId) -> State {
        self.build(id).await.state
    }

    pub async fn is(&self, id: BuildId, state: State) {
        assert_eq!(self.state(id).await, state);
    }

    pub async fn log(&self, id: BuildId, attempt: u32) -> (String, bool) {
        let slice = self
            .store
            .log_from(id, attempt, 0, 1 << 20)
            .await
            .expect("the database answers");
        let Some((log, LogBytes::Here(bytes))) = slice else {
            panic!("the log is in the database")
        };
        (String::from_utf8(bytes).expect("the log is text"), log.complete)
    }

    /// How often the build ended: once, or never.
    pub async fn ends(&self, id: BuildId) -> i64 {
        sqlx::query_scalar(
            "SELECT count(*) FROM build_events WHERE build_id = $1
            AND state IN ('succeeded', 'failed', 'cancelled', 'superseded', 'expired')",
        )
        .bind(id.0)
        .fetch_one(&self.sql)
        .await
        .expect("the events can be read")
    }

    /// Leases run out and put-off launches are due: what time would do.
    pub async fn time_passes(&self) {
        for statement in [
            "UPDATE builds SET lease_until = now() - interval '1 s' WHERE lease_until IS NOT NULL",
            "UPDATE builds SET run_at = now() - interval '1 s' WHERE state = 'queued' AND run_at > now()",
        ] {
            sqlx::query(statement)
                .execute(&self.sql)
                .await
                .expect("the rows can be changed");
        }
    }

    /// A running build has waited for its container since then.
    pub async fn has_waited(&self, id: BuildId, seconds: f64) {
        sqlx::query("UPDATE builds SET waiting_since = now() - make_interval(secs => $2) WHERE id = $1")
            .bind(id.0)
            .bind(seconds)
            .execute(&self.sql)
            .await
            .expect("the row can be changed");
    }

    /// The build ended that long ago.
    pub async fn ended_before(&self, id: BuildId, seconds: f64) {
        sqlx::query("UPDATE builds SET finished_at = now() - make_interval(secs => $2) WHERE id = $1")
            .bind(id.0)
            .bind(seconds)
            .execute(&self.sql)
            .await
            .expect("the row can be changed");
    }
}

pub fn options() -> Options {
    Options {
        slots: Slots {
            total: 20,
            per_project: 10,
        },
        lease: Duration::from_secs(60),
        launches: 16,
        pending_deadline: Duration::from_secs(600),
        waiting_recheck: Duration::from_secs(5),
        job_grace: Duration::from_secs(600),
        reconcile_interval: Duration::from_secs(60),
        max_relaunches: 3,
        max_log_bytes: 10_000,
        max_log_line: 65_536,
        secrets: Arc::default(),
        internal_url: "http://slipway.internal:8080/".parse().expect("a URL"),
    }
}

fn connect(database: &PgConnectOptions) -> Store {
    let name = database.get_database().expect("a test has a database");
    let mut url: url::Url = std::env::var("DATABASE_URL")
        .expect("DATABASE_URL names the server")
        .parse()
        .expect("DATABASE_URL is a URL");
    url.set_path(name);
    Store::connect(&StoreOptions {
        url: String::from(url).into(),
        direct_url: None,
        max_connections: 4,
        acquire_timeout: Duration::from_secs(10),
        notify: false,
    })
    .expect("the address is valid")
}
