//! What the stories need: the binary, a service that builds nothing, and one whose builds a test plays.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use slipway::{
    api::{self, ApiOptions, ApiState, HealthState, ListenerOptions, Readiness},
    blobs::Blobs,
    domain::{AttemptSeen, BuildId, Failure, Outcome, Phase, Reason},
    store::{BuildFilter, Slots, Store, StoreOptions},
};
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{support::port::Port, support::service::Service};

/// Long enough for a busy machine; what takes longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The test's database as the service's setting has it.
pub fn address(database: &PgConnectOptions) -> String {
    let server = std::env::var("DATABASE_URL").expect("DATABASE_URL names a server for the tests");
    let mut url: url::Url = server.parse().expect("DATABASE_URL is an address");
    url.set_path(database.get_database().expect("every test has a database"));
    url.into()
}

/// `slipway serve --launcher none`: every build succeeds at once, without an attempt.
pub struct Idle {
    pub service: Service,
    pub contexts: TempDir,
}

impl Idle {
    pub async fn up(database: &PgConnectOptions) -> Self {
        Self::up_with(database, &[]).await
    }

    /// The same, with settings of a test's own.
    pub async fn up_with(database: &PgConnectOptions, settings: &[(&str, &str)]) -> Self {
        let contexts = tempfile::tempdir().expect("a folder can be made");
        let folder = contexts.path().to_str().expect("the path is text").to_owned();
        let (database, key) = (address(database), "01".repeat(32));
        let mut all = vec![
            ("SLIPWAY_DATABASE_URL", database.as_str()),
            ("SLIPWAY_LAUNCHER", "none"),
            ("SLIPWAY_CONTEXT_STORE", &folder),
            ("SLIPWAY_NO_AUTH", "true"),
            ("SLIPWAY_SECRET_KEY", &key),
        ];
        all.extend(settings);
        let mut service = Service::new("slipway", &all);
        service.up().await;
        Self { service, contexts }
    }

    /// Runs a command to its end.
    pub async fn run(&self, args: &[&str]) -> Ran {
        cli(&self.service.url(""), args).run().await
    }
}

/// The REST API alone: the test is the dispatcher.
pub struct Stage {
    pub store: Store,
    pub address: SocketAddr,
    _port: Port,
    folder: TempDir,
    serving: Option<(JoinHandle<()>, CancellationToken)>,
}

impl Stage {
    pub async fn set(database: &PgConnectOptions) -> Self {
        let store = Store::connect(&StoreOptions {
            url: address(database).into(),
            direct_url: None,
            max_connections: 6,
            acquire_timeout: Duration::from_secs(10),
            notify: false,
        })
        .expect("the address is valid");
        store.migrate().await.expect("the migrations apply");
        let port = Port::reserve();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let listener = TcpListener::bind(address).await.expect("the port is ours");
        let mut stage = Self {
            store,
            address,
            _port: port,
            folder: tempfile::tempdir().expect("a folder can be made"),
            serving: None,
        };
        stage.serve(listener);
        stage
    }

    fn serve(&mut self, listener: TcpListener) {
        let (creator, batcher) = self.store.creator(64);
        tokio::spawn(batcher);
        let blobs =
            Blobs::from_url(self.folder.path().to_str().expect("the path is text")).expect("it can be used");
        let metrics = metrics_exporter_prometheus::PrometheusBuilder::new()
            .build_recorder()
            .handle();
        let health = HealthState::new(self.store.clone(), Readiness::default(), metrics);
        let state = ApiState::new(health, creator, blobs, ApiOptions::default());
        let app = api::router(state.without_authentication());
        let stop = CancellationToken::new();
        let options = ListenerOptions::default();
        let serving = tokio::spawn(api::serve(listener, app, options, stop.clone(), stop.clone()));
        self.serving = Some((serving, stop));
    }

    /// Ends the API in the middle of whatever it does.
    pub async fn stop(&mut self) {
        let (serving, stop) = self.serving.take().expect("it serves");
        stop.cancel();
        serving.await.expect("it ends");
    }

    /// Serves again, at the same address.
    pub async fn resume(&mut self) {
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                // Connections of before may still be on their way out.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        self.serve(listener);
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn cli(&self, args: &[&str]) -> Cli {
        cli(&self.url(), args)
    }

    /// Waits for the one build that a command creates.
    pub async fn created(&self) -> BuildId {
        let filter = BuildFilter::default();
        loop {
            let builds = self.store.builds(&filter, None, 1).await.expect("it can be read");
            if let Some(build) = builds.first() {
                return build.id;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A build whose first attempt runs.
    pub async fn running(&self) -> BuildId {
        let server = slipway::client::base_url(&self.url()).expect("an address");
        let client = slipway::client::Client::new(server, None).expect("a client");
        let spec = serde_json::from_value(serde_json::json!({
            "source": {"git": {"url": "https://git.example.com/app.git"}},
            "destinations": ["registry.example.com/team/app:1"],
        }));
        let created = client.create_build(&spec.expect("the spec is valid")).await;
        let id = created.expect("it is created").value.id;
        self.launch(id).await;
        self.attempts(id, &["pod-a"]).await;
        id
    }

    /// Lets a build's Job be made.
    pub async fn launch(&self, id: BuildId) {
        let slots = Slots {
            total: 100,
            per_project: 100,
        };
        let claims = self.store.claim(slots, PATIENCE, 100).await.expect("claims work");
        let claim = claims
            .into_iter()
            .find(|claim| claim.id == id)
            .expect("it is claimed");
        let launched = self.store.launched(id, claim.token, "uid-1").await;
        assert!(launched.expect("it can be recorded"));
    }

    /// The build has these attempts.
    pub async fn attempts(&self, id: BuildId, names: &[&str]) {
        let running = Outcome::Running {
            phase: Phase::Building,
        };
        let seen: Vec<_> = names.iter().map(|name| attempt(name)).collect();
        self.store
            .observe(id, &running, &seen, 0)
            .await
            .expect("it is recorded");
    }

    /// Writes on an attempt's log.
    pub async fn write(&self, id: BuildId, name: &str, bytes: &[u8]) {
        let at = self.store.log_length(id, name).await.expect("it can be read");
        let written = self.store.append_log(id, name, at, bytes).await;
        assert!(written.expect("it can be written"));
    }

    pub async fn whole(&self, id: BuildId, name: &str) {
        self.store
            .complete_log(id, name)
            .await
            .expect("it can be written");
    }

    pub async fn succeed(&self, id: BuildId) {
        let outcome = Outcome::Succeeded { digest: None };
        assert!(
            self.store
                .finish(id, &outcome, &[], 0)
                .await
                .expect("it is recorded")
        );
    }

    pub async fn fail(&self, id: BuildId) {
        let failure = Failure::new(Reason::BuildStepFailed, "`RUN make` failed with exit status 2");
        let outcome = Outcome::Failed(failure);
        assert!(
            self.store
                .finish(id, &outcome, &[], 0)
                .await
                .expect("it is recorded")
        );
    }
}

fn attempt(name: &str) -> AttemptSeen {
    AttemptSeen {
        name: name.into(),
        node: None,
        started_at: None,
        finished_at: None,
        exit_code: None,
        failure: None,
        running: true,
        succeeded: false,
    }
}

/// A command that is not run yet. It sees no settings but those of the test.
pub struct Cli(Command);

pub fn cli(server: &str, args: &[&str]) -> Cli {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SLIPWAY_")) {
        command.env_remove(name);
    }
    command
        .args(args)
        .env("SLIPWAY_SERVER", server)
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Cli(command)
}

impl Cli {
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    pub fn within(mut self, folder: &Path) -> Self {
        self.0.current_dir(folder);
        self
    }

    /// Begins, and does not wait.
    pub fn start(mut self) -> Child {
        self.0.spawn().expect("slipway can be started")
    }

    /// Runs to its end, with this on standard input.
    pub async fn run_with(mut self, input: &[u8]) -> Ran {
        use std::io::Write;
        self.0.stdin(Stdio::piped());
        let mut child = self.start();
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input).expect("it reads");
        drop(stdin);
        ended(child).await
    }

    pub async fn run(self) -> Ran {
        ended(self.start()).await
    }
}

/// Waits for the end of a command.
pub async fn ended(child: Child) -> Ran {
    let output = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = tokio::time::timeout(PATIENCE, output).await;
    let output = output.expect("it ends in time").expect("it is waited for");
    Ran(output.expect("it is waited for"))
}

/// What a command did.
#[derive(Debug)]
pub struct Ran(Output);

impl Ran {
    pub fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0.stdout
    }

    pub fn out(&self) -> &str {
        std::str::from_utf8(&self.0.stdout)
            .expect("it is text")
            .trim_end()
    }

    pub fn err(&self) -> &str {
        std::str::from_utf8(&self.0.stderr).expect("it is text")
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(self.out()).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// It went well: its output.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert_eq!(self.code(), Some(0), "{self:?}");
        self.out()
    }

    /// It ended with this code, and said this.
    #[track_caller]
    pub fn failed(&self, code: i32, said: &str) -> &str {
        assert_eq!(self.code(), Some(code), "{self:?}");
        assert!(self.err().contains(said), "{}", self.err());
        self.err()
    }
}

/// Presses Ctrl-C.
pub fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    let status = Command::new("kill").args(["-s", "INT", &pid]).status();
    assert!(status.expect("`kill` runs").success());
}
