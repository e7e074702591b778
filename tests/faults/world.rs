//! One story's world: replicas of the service, each with a proxy of its own to the cluster, a Postgres that may crash, a
//! namespace, a registry, and a ledger of what was seen in the cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::{Duration, Instant},
};

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{ResourceExt, api::DeleteParams};
use serde_json::{Value, json};
use slipway::domain::{BuildId, State};
use sqlx::PgPool;
use tempfile::TempDir;

use crate::{
    faults::ledger::Ledger, faults::proxy::Proxy, support::cluster, support::cluster::Place,
    support::postgres::PrivatePostgres, support::registry::Registry, support::service::Service,
};

/// How long a build may take that nothing is done to, on a node that has far too much to do.
pub const SOON: Duration = Duration::from_secs(400);

/// Lines that a build writes, one by one.
pub const MARKS: usize = 20;

/// Writes marks with pauses of `$1` seconds, and ends with `$2`.
const SCRIPT: &str = "i=0
while [ $i -lt 20 ]; do
  echo \"mark $i\"
  i=$((i+1))
  [ \"$1\" = 0 ] || /bin/busybox sleep \"$1\"
done
exit $2
";

/// What can be built: a name, and the step.
const KINDS: [(&str, &str); 6] = [
    ("quick", r#""sh", "/script", "0", "0""#),
    ("slow", r#""sh", "/script", "0.5", "0""#),
    ("patient", r#""sh", "/script", "3", "0""#),
    ("fails", r#""sh", "/script", "0", "42""#),
    ("long", r#""sh", "/script", "30", "0""#),
    // In the stand-in's steps there are no devices to read from.
    (
        "hungry",
        r#""sh", "-c", "x=0123456789abcdef; while true; do x=$x$x; done""#,
    ),
];

/// A replica, and its way to the cluster.
pub struct Replica {
    pub service: Service,
    pub proxy: Proxy,
}

pub struct World {
    pub place: Place,
    pub postgres: PrivatePostgres,
    pub registry: Registry,
    pub replicas: Vec<Replica>,
    pub ledger: Ledger,
    pub sql: PgPool,
    /// Builds that were accepted.
    pub accepted: Vec<BuildId>,
    /// Jobs that somebody deleted by hand.
    pub deleted: BTreeMap<BuildId, usize>,
    /// Builds whose pods somebody deleted, by hand or by a cancel: their logs may have gone with them.
    pub bereft: BTreeSet<BuildId>,
    home: TempDir,
}

impl World {
    /// With so many replicas, none of them started.
    pub async fn new(replicas: usize) -> Self {
        Self::with(replicas, &[]).await
    }

    /// With these settings in all replicas.
    pub async fn with(replicas: usize, settings: &[(&str, &str)]) -> Self {
        Self::make(replicas, settings, Place::new().await).await
    }

    /// Whether things may be done to the cluster itself.
    pub fn owns_the_cluster() -> bool {
        let home = std::env::var_os("SLIPWAY_TEST_CLUSTER_HOME");
        let owns = home.is_some_and(|home| !home.is_empty());
        if !owns {
            println!("NOT RUN: the cluster is not ours to stop (SLIPWAY_TEST_CLUSTER_HOME)");
        }
        owns
    }

    /// While no other test uses the cluster.
    pub async fn alone(replicas: usize, settings: &[(&str, &str)]) -> Self {
        Self::make(replicas, settings, Place::alone().await).await
    }

    async fn make(count: usize, settings: &[(&str, &str)], mut place: Place) -> Self {
        let ledger = Ledger::open(place.api::<Job>(), place.api::<Pod>());
        let home = tempfile::tempdir().expect("a temporary folder");
        let folder = home.path().join("volume");
        write_context(&folder.join("app"));
        place.claim("contexts", &folder).await;
        let postgres = PrivatePostgres::start();
        let registry = Registry::start(&cluster::host());
        let sql = PgPool::connect_lazy(&postgres.url()).expect("the URL is one");
        let mut replicas = Vec::new();
        for number in 0..count {
            let proxy = Proxy::of_cluster().await;
            let kubeconfig = home.path().join(format!("kubeconfig-{number}"));
            place.service_kubeconfig(&kubeconfig, Some(proxy.url())).await;
            let mut service = Service::new(
                &format!("replica {number}"),
                &[("SLIPWAY_DATABASE_URL", &postgres.url())],
            );
            for (key, value) in defaults(&place, &registry, home.path(), &kubeconfig) {
                service.set(key, &value);
            }
            settings.iter().for_each(|(key, value)| service.set(key, value));
            replicas.push(Replica { service, proxy });
        }
        Self {
            place,
            postgres,
            registry,
            replicas,
            ledger,
            sql,
            accepted: Vec::new(),
            deleted: BTreeMap::new(),
            bereft: BTreeSet::new(),
            home,
        }
    }

    /// Starts all replicas and waits until they are ready.
    pub async fn up(&mut self) {
        self.replicas
            .iter_mut()
            .for_each(|replica| replica.service.start());
        for replica in &mut self.replicas {
            replica.service.ready().await;
        }
    }

    /// Starts one replica, likewise.
    pub async fn start(&mut self, replica: usize) {
        self.replicas[replica].service.up().await;
    }

    pub fn service(&self, replica: usize) -> &Service {
        &self.replicas[replica].service
    }

    pub fn proxy(&self, replica: usize) -> &Proxy {
        &self.replicas[replica].proxy
    }

    pub fn kill(&mut self, replica: usize) {
        self.replicas[replica].service.kill();
    }

    /// A request for one of the [`KINDS`], or for one without a Dockerfile (`absent`).
    pub fn request(&self, kind: &str) -> Value {
        json!({
            "project": "test", "source": { "volume": { "claim": "contexts", "path": "app" } },
            "dockerfile": format!("{kind}.Dockerfile"),
            "destinations": [format!("{}/team/app:{kind}", self.registry.host)],
        })
    }

    /// A build is asked for and accepted.
    pub async fn create(&mut self, replica: usize, kind: &str) -> BuildId {
        let body = self.request(kind);
        self.submit(replica, &body).await
    }

    pub async fn submit(&mut self, replica: usize, body: &Value) -> BuildId {
        let id = self.service(replica).create(body).await;
        let id = id.parse().expect("a build's id");
        self.accepted.push(id);
        id
    }

    /// From now on, builds of this kind are as short as `quick` ones. Those that have begun go on as they are.
    pub fn shorten(&self, kind: &str) {
        let folder = self.home.path().join("volume/app");
        fs::copy(
            folder.join("quick.Dockerfile"),
            folder.join(format!("{kind}.Dockerfile")),
        )
        .expect("the file can be written");
    }

    /// Asks a replica for a cancel: the answer's status.
    pub async fn cancel(&self, replica: usize, id: BuildId) -> reqwest::Result<u16> {
        let path = format!("api/v1/builds/{id}/cancel");
        let answer = self.service(replica).try_post(&path, &Value::Null);
        answer.await.map(|(status, _)| status)
    }

    /// What the database has of a build's state.
    pub async fn state(&self, id: BuildId) -> Option<State> {
        let text: String = sqlx::query_scalar("SELECT state::text FROM builds WHERE id = $1")
            .bind(id.0)
            .fetch_optional(&self.sql)
            .await
            .ok()??;
        text.parse().ok()
    }

    pub async fn phase(&self, id: BuildId) -> Option<String> {
        let phase = sqlx::query_scalar("SELECT phase::text FROM builds WHERE id = $1");
        let row: Option<Option<String>> = phase.bind(id.0).fetch_optional(&self.sql).await.ok()?;
        row.flatten()
    }

    /// The states that a build was in, in order.
    pub async fn history(&self, id: BuildId) -> Vec<State> {
        let states: Vec<String> =
            sqlx::query_scalar("SELECT state::text FROM build_events WHERE build_id = $1 ORDER BY id")
                .bind(id.0)
                .fetch_all(&self.sql)
                .await
                .expect("the events can be read");
        states
            .iter()
            .map(|state| state.parse().expect("a state"))
            .collect()
    }

    /// Waits until `probe` finds what it looks for.
    pub async fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        mut probe: impl AsyncFnMut() -> Option<T>,
    ) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            if begun.elapsed() > limit {
                panic!("waited in vain for {what}\n{}", self.account().await);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn until_state(&self, id: BuildId, state: State) {
        let what = format!("{id} to be {state}");
        self.until(&what, SOON, async || {
            (self.state(id).await == Some(state)).then_some(())
        })
        .await;
    }

    /// Waits until the build's step is at work. One that ended by then was too short for what is asked of it.
    pub async fn until_building(&self, id: BuildId) {
        let building = async || {
            let state = self.state(id).await;
            let building = self.phase(id).await.as_deref() == Some("building");
            (building || state.is_some_and(State::is_terminal)).then_some(building)
        };
        let building = self.until("a step that runs", SOON, building).await;
        assert!(building, "{id} is not seen at work\n{}", self.account().await);
    }

    /// A build is asked for, accepted, and at work. Of several, those that are to be at work together are the longer
    /// the earlier they are asked for.
    pub async fn at_work(&mut self, replica: usize, kind: &str) -> BuildId {
        let id = self.create(replica, kind).await;
        self.until_building(id).await;
        id
    }

    /// Waits for a build's end: the build as it is answered.
    pub async fn ended(&self, replica: usize, id: BuildId) -> Value {
        let ended = async || self.state(id).await.filter(|state| state.is_terminal());
        self.until(&format!("the end of {id}"), SOON, ended).await;
        self.service(replica).build(&id.to_string()).await
    }

    /// Somebody deletes the build's Job by hand.
    pub async fn delete_job(&mut self, id: BuildId) {
        let jobs = self.place.api::<Job>();
        if jobs
            .delete(&id.job_name(), &DeleteParams::background())
            .await
            .is_ok()
        {
            *self.deleted.entry(id).or_default() += 1;
            self.bereft.insert(id);
        }
    }

    /// Somebody deletes the build's pods by hand: whether there were any.
    pub async fn delete_pods(&mut self, id: BuildId) -> bool {
        let pods = self.place.api::<Pod>();
        let mut deleted = false;
        for pod in self.ledger.pods(id).iter().filter(|pod| !pod.gone) {
            deleted |= pods
                .delete(&pod.last.name_any(), &DeleteParams::default())
                .await
                .is_ok();
        }
        if deleted {
            self.bereft.insert(id);
        }
        deleted
    }

    /// What helps to understand a failure.
    pub async fn account(&self) -> String {
        let mut text = String::new();
        for id in &self.accepted {
            let jobs = self.ledger.jobs(*id).len();
            let state = self.state(*id).await;
            text += &format!("{id}: {state:?}, {jobs} Jobs\n");
        }
        for (number, replica) in self.replicas.iter().enumerate() {
            let log = replica.service.log();
            let lines: Vec<&str> = log
                .lines()
                .filter(|line| !line.contains("http.route") || !line.contains("DEBUG"))
                .collect();
            let lines: Vec<&str> = lines
                .into_iter()
                .filter(|line| !line.contains("kube_client::client"))
                .collect();
            let tail = lines[lines.len().saturating_sub(60)..].join("\n");
            text += &format!("--- replica {number} ---\n{tail}\n");
        }
        text
    }

    /// Removes everything of the story's.
    pub async fn close(mut self) {
        self.replicas
            .iter_mut()
            .for_each(|replica| replica.service.kill());
        self.sql.close().await;
        self.place.close().await;
        drop(self.home);
    }
}

fn defaults(
    place: &Place,
    registry: &Registry,
    home: &Path,
    kubeconfig: &Path,
) -> Vec<(&'static str, String)> {
    let path = |path: &Path| path.to_str().expect("a path is text").to_owned();
    let fixed = |text: &str| text.to_owned();
    let mut settings = vec![
        ("SLIPWAY_NAMESPACE", place.namespace.clone()),
        ("SLIPWAY_EXECUTOR_IMAGE", cluster::executor_image()),
        ("SLIPWAY_FETCHER_IMAGE", cluster::fetcher_image()),
        ("SLIPWAY_IMAGE_PULL_POLICY", fixed("IfNotPresent")),
        ("SLIPWAY_SERVICE_ACCOUNT", fixed("slipway-build")),
        ("SLIPWAY_INSECURE_REGISTRIES", registry.host.clone()),
        ("SLIPWAY_CONTEXT_STORE", path(&home.join("contexts"))),
        ("KUBECONFIG", path(kubeconfig)),
        ("SLIPWAY_LAUNCH_LEASE", fixed("6s")),
        ("SLIPWAY_RECONCILE_INTERVAL", fixed("2s")),
        ("SLIPWAY_MAX_RUNNING", fixed("8")),
        ("SLIPWAY_CPU", fixed("10m:2")),
        ("SLIPWAY_MEMORY", fixed("32Mi:512Mi")),
        ("SLIPWAY_DISK", fixed("16Mi:2Gi")),
        ("SLIPWAY_LOG", fixed("info,slipway=debug")),
    ];
    if cluster::is_standin() {
        // It unpacks into a folder and runs there; kaniko needs no such right.
        settings.push(("SLIPWAY_CAPABILITIES", fixed("SYS_CHROOT")));
    }
    settings
}

fn write_context(folder: &Path) {
    fs::create_dir_all(folder).expect("the folder can be made");
    let put = |name: &str, text: &str| fs::write(folder.join(name), text).expect("the file can be written");
    put("script", SCRIPT);
    fs::copy("/bin/busybox", folder.join("busybox")).expect("busybox is installed");
    for (kind, step) in KINDS {
        let text = format!(
            "FROM scratch\nCOPY busybox /bin/busybox\nCOPY script /script\nRUN [\"/bin/busybox\", {step}]\n"
        );
        put(&format!("{kind}.Dockerfile"), &text);
    }
}
