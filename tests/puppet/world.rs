//! A database, a namespace, a node whose kubelet is a puppet, and the service's own dispatcher for each test. The
//! dispatcher runs by itself, as it does in the service; tests wait for what they expect of it.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{Arc, Mutex},
};

use futures::FutureExt;
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use slipway::{
    dispatcher::Dispatcher,
    domain::{Attempt, Build, BuildId, NewBuild, State},
    launcher::{kubernetes::Kubernetes, manifest::build_selector},
    store::{Creator, LogBytes, Store},
};
use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    puppet::chronicle::Chronicle,
    puppet::invariants,
    puppet::kubelet::Kubelet,
    puppet::setup::{self, Setup},
    support::cluster::{Place, object},
};

/// CPU that no node has.
pub const TOO_MUCH_CPU: &str = "1024";

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
        let store = setup::connect(&database, 6);
        store.migrate().await.expect("the migrations apply");
        let (creator, batcher) = store.creator(1024);
        tokio::spawn(batcher);
        let kubelet = Kubelet::start(&place.client, &place.namespace).await;
        let mut setup = setup::default(&place.namespace, &kubelet.node.name);
        change(&mut setup);
        let world = Self {
            reader: setup::connect(&database, 4),
            sql: PgPool::connect_lazy_with(database),
            chronicle: Chronicle::begin(&place.client, &place.namespace),
            launcher: setup::dispatchers_client().await,
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

    /// A dispatcher that ends by itself fails the test at once.
    pub fn works(&self) {
        let dead = self
            .running()
            .as_ref()
            .is_some_and(|running| running.task.is_finished());
        assert!(!dead, "the dispatcher ended by itself");
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
        let read = self
            .reader
            .log_from(id, attempt, 0, 1 << 20)
            .await
            .expect("the database answers");
        match read {
            Some((state, LogBytes::Here(bytes))) => {
                (String::from_utf8_lossy(&bytes).into_owned(), state.complete)
            }
            Some((_, elsewhere)) => panic!("nothing is archived here: {elsewhere:?}"),
            None => Default::default(),
        }
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
        failure.and_then(|failure| failure.exit_code),
    )
}
