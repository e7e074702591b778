//! A database, a namespace, a node whose kubelet is a puppet, and the service's own dispatcher for each test. The
//! dispatcher runs by itself, as it does in the service; tests wait for what they expect of it.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::FutureExt;
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use slipway::{
    dispatcher::{Dispatcher, Options},
    domain::{Attempt, Build, BuildId, Failure, NewBuild, State},
    launcher::{
        kubernetes::Kubernetes,
        manifest::{KubernetesOptions, build_selector},
    },
    store::{Creator, Slots, Store, StoreOptions},
};
use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    chronicle::{Chronicle, PATIENCE},
    cluster::{Place, config, object},
    invariants,
    kubelet::Kubelet,
    node::PUPPET,
};

/// CPU that no node has.
pub const TOO_MUCH_CPU: &str = "1024";

/// What a test changes before its world begins.
pub struct Setup {
    pub dispatcher: Options,
    pub kubernetes: KubernetesOptions,
}

pub struct World {
    pub store: Store,
    pub sql: PgPool,
    pub place: Place,
    pub kubelet: Kubelet,
    pub chronicle: Chronicle,
    /// Tests wait for what they read by this, which takes no connection from the service.
    reader: Store,
    creator: Creator,
    launcher: Client,
    setup: Setup,
    dispatcher: Mutex<Option<Running>>,
}

struct Running {
    soft: CancellationToken,
    task: JoinHandle<()>,
}

/// Tells a story in a world of its own, checks what must be true after every story, and clears up whatever came of it.
pub async fn story(
    database: PgConnectOptions,
    change: impl FnOnce(&mut Setup),
    tell: impl AsyncFnOnce(&World),
) {
    let world = World::begin(database, change).await;
    let told = async {
        tell(&world).await;
        invariants::hold(&world).await;
        world.stop().await;
    };
    let told = AssertUnwindSafe(told).catch_unwind().await;
    world.kubelet.remove().await;
    world.place.close().await;
    if let Err(panic) = told {
        resume_unwind(panic);
    }
}

impl World {
    async fn begin(database: PgConnectOptions, change: impl FnOnce(&mut Setup)) -> Self {
        let place = Place::new().await;
        let store = connect(&database, 6);
        store.migrate().await.expect("the migrations apply");
        let (creator, batcher) = store.creator(1024);
        tokio::spawn(batcher);
        let kubelet = Kubelet::start(&place.client, &place.namespace).await;
        let mut setup = setup(&place.namespace, &kubelet.node.name);
        change(&mut setup);
        let world = Self {
            reader: connect(&database, 4),
            sql: PgPool::connect_lazy_with(database),
            chronicle: Chronicle::begin(&place.client, &place.namespace),
            launcher: dispatchers_client().await,
            store,
            place,
            kubelet,
            creator,
            setup,
            dispatcher: Mutex::default(),
        };
        world.start();
        world
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        self.place.api()
    }

    /// The service starts, as a process that knows nothing.
    pub fn start(&self) {
        let launcher = Kubernetes::new(self.launcher.clone(), self.setup.kubernetes.clone());
        let dispatcher = Dispatcher::new(
            self.store.clone(),
            Arc::new(launcher),
            self.setup.dispatcher.clone(),
        );
        let soft = CancellationToken::new();
        let task = tokio::spawn(dispatcher.run(soft.clone(), CancellationToken::new()));
        *self.running() = Some(Running { soft, task });
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.dispatcher.lock().expect("nobody panics while holding it")
    }

    /// The service ends in good order. A panic of its tasks is heard here, at the latest.
    pub async fn stop(&self) {
        let running = self.running().take();
        if let Some(Running { soft, task }) = running {
            soft.cancel();
            task.await.expect("the dispatcher does not panic");
        }
    }

    /// A build is accepted; `rest` goes into its request.
    pub async fn submit(&self, rest: Value) -> BuildId {
        let mut spec = json!({
            "source": { "git": { "url": "https://git.example/repo.git" } },
            "destinations": ["registry.example/team/app:1"],
        });
        let fields = spec.as_object_mut().expect("an object");
        fields.extend(rest.as_object().expect("an object").clone());
        let build = NewBuild {
            id: BuildId::generate(),
            spec: object(spec),
            rebuild_of: None,
            idempotency: None,
        };
        let id = build.id;
        self.creator.create(build).await.expect("it is stored");
        id
    }

    /// A build whose first pod runs, and is known to.
    pub async fn running_build(&self, rest: Value) -> (BuildId, String) {
        let id = self.submit(rest).await;
        let pod = self.chronicle.pod(id, 1).await;
        self.kubelet.starts(&pod).await;
        self.until(id, "its container runs", |build| build.started_at.is_some())
            .await;
        (id, pod)
    }

    pub async fn cancel(&self, id: BuildId) {
        self.store
            .cancel(id)
            .await
            .expect("the database answers")
            .expect("the build exists");
    }

    pub async fn build(&self, id: BuildId) -> Build {
        self.reader
            .build(id)
            .await
            .expect("the database answers")
            .expect("the build exists")
    }

    pub async fn attempts(&self, id: BuildId) -> Vec<Attempt> {
        self.reader.attempts(id).await.expect("the database answers")
    }

    /// The log of an attempt, and whether it is whole.
    pub async fn log(&self, id: BuildId, attempt: u32) -> (String, bool) {
        let slice = self
            .reader
            .log(id, attempt, 0, 1 << 20)
            .await
            .expect("the database answers");
        slice.map_or_else(Default::default, |slice| {
            (String::from_utf8_lossy(&slice.bytes).into_owned(), slice.complete)
        })
    }

    /// Waits until a build's row is as expected.
    pub async fn until(&self, id: BuildId, what: &str, accept: impl Fn(&Build) -> bool) -> Build {
        let found = self.until_some(async || Some(self.build(id).await).filter(|build| accept(build)));
        match found.await {
            Some(build) => build,
            None => panic!(
                "waited in vain until {what}: {:?} {:?}",
                self.build(id).await,
                self.attempts(id).await
            ),
        }
    }

    pub async fn until_ended(&self, id: BuildId) -> Build {
        self.until(id, "it has ended", |build| build.state.is_terminal())
            .await
    }

    /// Waits until an attempt of a build is as expected.
    pub async fn until_attempt(&self, id: BuildId, what: &str, accept: impl Fn(&Attempt) -> bool) -> Attempt {
        let found = self.until_some(async || self.attempts(id).await.into_iter().find(&accept));
        match found.await {
            Some(attempt) => attempt,
            None => panic!("waited in vain until {what}: {:?}", self.attempts(id).await),
        }
    }

    /// Waits until the log of an attempt is as expected.
    pub async fn until_log(&self, id: BuildId, attempt: u32, accept: impl Fn(&str, bool) -> bool) -> String {
        let found = self.until_some(async || {
            let (text, whole) = self.log(id, attempt).await;
            accept(&text, whole).then_some(text)
        });
        match found.await {
            Some(text) => text,
            None => panic!(
                "waited in vain for the log; there is {:?}",
                self.log(id, attempt).await
            ),
        }
    }

    /// Waits until something else is true.
    pub async fn until_true(&self, what: &str, look: impl AsyncFn() -> bool) {
        let found = self.until_some(async || look().await.then_some(())).await;
        assert!(found.is_some(), "waited in vain until {what}");
    }

    /// How many builds are in a state.
    pub async fn count(&self, state: &str) -> usize {
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM builds WHERE state::text = $1")
            .bind(state)
            .fetch_one(&self.sql)
            .await
            .expect("the rows can be counted");
        usize::try_from(count).expect("a count")
    }

    async fn until_some<T>(&self, look: impl AsyncFn() -> Option<T>) -> Option<T> {
        let waiting = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                self.works();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.ok()
    }

    fn works(&self) {
        let dead = self
            .running()
            .as_ref()
            .is_some_and(|running| running.task.is_finished());
        assert!(!dead, "the dispatcher ended by itself");
    }

    /// Waits until a build is as expected for that long, without a moment in which it is not.
    pub async fn stays(&self, id: BuildId, span: Duration, accept: impl Fn(&Build) -> bool) {
        let end = tokio::time::Instant::now() + span;
        while tokio::time::Instant::now() < end {
            let build = self.build(id).await;
            assert!(accept(&build), "{build:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A quota that is in force.
    pub async fn quota(&self, what: &str, amount: &str) {
        use k8s_openapi::api::core::v1::ResourceQuota;
        let body = json!({ "metadata": { "name": "quota" }, "spec": { "hard": { what: amount } } });
        self.place.create::<ResourceQuota>(body).await;
        let in_force = |quota: Option<&ResourceQuota>| {
            quota
                .and_then(|quota| quota.status.as_ref())
                .is_some_and(|status| status.hard.is_some())
        };
        let waited =
            kube::runtime::wait::await_condition(self.api::<ResourceQuota>(), "quota", in_force).await;
        waited.expect("the quota comes into force");
    }

    /// A build's pods, by the cluster's own word.
    pub async fn pods(&self, id: BuildId) -> Vec<String> {
        let ours = ListParams::default().labels(&build_selector(id));
        let pods = self.api::<k8s_openapi::api::core::v1::Pod>().list(&ours).await;
        pods.expect("the cluster answers")
            .iter()
            .map(ResourceExt::name_any)
            .collect()
    }

    /// The names of all builds that have a Job, by the cluster's own word.
    pub async fn jobs(&self) -> Vec<String> {
        let jobs = self
            .api::<k8s_openapi::api::batch::v1::Job>()
            .list(&ListParams::default())
            .await;
        jobs.expect("the cluster answers")
            .iter()
            .map(ResourceExt::name_any)
            .collect()
    }
}

/// How a build ended: its state, and where it failed the reason and the exit code.
pub fn end(build: &Build) -> (State, Option<&str>, Option<i32>) {
    let failure = build.failure.as_ref();
    (
        build.state,
        failure.map(|failure| failure.reason.as_str()),
        failure.and_then(exit_code),
    )
}

fn exit_code(failure: &Failure) -> Option<i32> {
    failure.exit_code
}

fn setup(namespace: &str, node: &str) -> Setup {
    let mut kubernetes = KubernetesOptions {
        namespace: namespace.to_owned(),
        ..KubernetesOptions::default()
    };
    kubernetes
        .node_selector
        .insert(PUPPET.to_owned(), node.to_owned());
    kubernetes
        .tolerations
        .push(object(json!({ "key": PUPPET, "operator": "Exists" })));
    let dispatcher = Options {
        slots: Slots {
            total: 1000,
            per_project: 1000,
        },
        lease: Duration::from_secs(60),
        launches: 16,
        pending_deadline: Duration::from_secs(600),
        waiting_recheck: Duration::from_secs(5),
        job_grace: Duration::from_secs(600),
        // Longer than anything is waited for: what is seen at once must not be left to this.
        reconcile_interval: Duration::from_secs(300),
        max_relaunches: 3,
        max_log_bytes: 1 << 20,
        internal_url: "http://slipway.internal:8080/".parse().expect("a URL"),
    };
    Setup {
        dispatcher,
        kubernetes,
    }
}

/// With the rights that the deployment grants the service, and no others.
async fn dispatchers_client() -> Client {
    let mut config = config().await;
    config.auth_info.impersonate = Some("system:serviceaccount:slipway:slipway".into());
    Client::try_from(config).expect("a usable configuration")
}

fn connect(database: &PgConnectOptions, max_connections: u32) -> Store {
    let name = database.get_database().expect("a test has a database");
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names the server");
    let mut url: url::Url = url.parse().expect("DATABASE_URL is a URL");
    url.set_path(name);
    Store::connect(&StoreOptions {
        url: String::from(url).into(),
        direct_url: None,
        max_connections,
        acquire_timeout: PATIENCE,
        notify: false,
    })
    .expect("the address is valid")
}
