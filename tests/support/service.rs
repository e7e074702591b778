//! `slipway serve` as a process of its own, with its REST API: what can be killed, stopped and started again.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::port::Port;

/// How long a service may take until it is ready, on a machine that is busy.
const READY: Duration = Duration::from_secs(120);
/// How often something that must come by itself is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A service: its settings, and the process while there is one.
pub struct Service {
    name: String,
    settings: Vec<(String, String)>,
    address: SocketAddr,
    /// The address' own: while it is down, nobody answers there.
    _port: Port,
    http: reqwest::Client,
    home: TempDir,
    process: Option<Child>,
    token: OnceCell<String>,
}

impl Service {
    /// A service that is not started yet. `settings` are its environment: it inherits nothing else of ours that it
    /// would read. It answers on loopback.
    pub fn new(name: &str, settings: &[(&str, &str)]) -> Self {
        Self::on(Ipv4Addr::LOCALHOST.into(), name, settings)
    }

    /// The same, answering on this address of the machine.
    pub fn on(host: IpAddr, name: &str, settings: &[(&str, &str)]) -> Self {
        super::process::install_crypto_provider();
        let port = Port::reserve();
        let address = SocketAddr::new(host, port.number());
        let mut settings: Vec<(String, String)> = settings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        settings.push(("SLIPWAY_LISTEN".into(), address.to_string()));
        Self {
            name: name.to_owned(),
            settings,
            address,
            _port: port,
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(60))
                .build()
                .expect("an HTTP client"),
            home: tempfile::tempdir().expect("a temporary folder"),
            process: None,
            token: OnceCell::new(),
        }
    }

    /// The same on a settings' change: takes effect at the next start.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// Starts the process and does not wait for it. Its log goes on in the same file.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("the log can be written");
        let inherited =
            std::env::vars().filter(|(key, _)| key.starts_with("SLIPWAY_") || key == "KUBECONFIG");
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        for (key, _) in inherited {
            command.env_remove(key);
        }
        let process = command
            .arg("serve")
            .envs(self.settings.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log can be written"))
            .stderr(log)
            .spawn()
            .expect("slipway can be started");
        self.process = Some(process);
    }

    /// Starts the process and waits until it is ready.
    pub async fn up(&mut self) {
        self.start();
        self.ready().await;
    }

    /// Waits until `/readyz` says 200.
    pub async fn ready(&mut self) {
        let deadline = tokio::time::Instant::now() + READY;
        loop {
            if let Ok((200, _)) = self.try_get("readyz").await {
                // Made now: later the database may be away.
                self.token().await;
                return;
            }
            let ended = self.process.as_mut().map(|process| process.try_wait());
            assert!(
                !matches!(ended, None | Some(Ok(Some(_)))),
                "{} ended before it was ready:\n{}",
                self.name,
                self.log()
            );
            assert!(
                tokio::time::Instant::now() < deadline,
                "{} is not ready in time:\n{}",
                self.name,
                self.log()
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Where it answers.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// An administrator's token, made with the command line as an administrator makes the first one. None where
    /// `SLIPWAY_NO_AUTH` lets everybody in, and before the database is prepared.
    pub async fn token(&self) -> Option<&str> {
        let setting = |name: &str| self.settings.iter().find(|(key, _)| key == name);
        if setting("SLIPWAY_NO_AUTH").is_some_and(|(_, value)| value == "true") {
            return None;
        }
        let (_, database) = setting("SLIPWAY_DATABASE_URL")?;
        let make = || async {
            let made = tokio::process::Command::new(env!("CARGO_BIN_EXE_slipway"))
                .args(["token", "create", "--name=test", "--scope=admin"])
                .env("SLIPWAY_DATABASE_URL", database)
                .output()
                .await
                .expect("slipway can be started");
            let text = String::from_utf8(made.stdout).expect("a token is text");
            made.status.success().then(|| text.trim().to_owned()).ok_or(())
        };
        let token = self.token.get_or_try_init(make).await;
        token.ok().map(String::as_str)
    }

    /// A request, with the token if one is asked for there.
    async fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, self.url(path));
        let token = if path.starts_with("api/") {
            self.token().await
        } else {
            None
        };
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// The process' number, while there is one.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// `kill -9`, and its end.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it can be killed");
            process.wait().expect("it ends");
        }
    }

    /// `kill -STOP`: it is there and does nothing.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// `kill -CONT`.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// `kill -TERM`, and waits for its end: whether it ended well.
    pub async fn stop(&mut self) -> bool {
        self.signal("TERM");
        let mut process = self.process.take().expect("it runs");
        let ended = tokio::task::spawn_blocking(move || process.wait());
        let ended = tokio::time::timeout(READY, ended).await;
        let status = ended.expect("it ends in time").expect("it is waited for");
        status.expect("it is waited for").success()
    }

    fn signal(&self, signal: &str) {
        let pid = self.pid().expect("it runs").to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(status.expect("`kill` runs").success(), "SIG{signal} is not taken");
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// A folder that is gone when this is dropped.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    fn log_file(&self) -> PathBuf {
        self.home.path().join("log")
    }

    /// A request that must be answered: status and body.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.try_get(path).await;
        answer.unwrap_or_else(|error| panic!("{} does not answer: {error}\n{}", self.name, self.log()))
    }

    /// A request that may fail.
    pub async fn try_get(&self, path: &str) -> reqwest::Result<(u16, Value)> {
        let answer = self.request(reqwest::Method::GET, path).await.send().await?;
        read(answer).await
    }

    /// A POST of JSON that may fail.
    pub async fn try_post(&self, path: &str, body: &Value) -> reqwest::Result<(u16, Value)> {
        let request = self.request(reqwest::Method::POST, path).await;
        let answer = request
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await?;
        read(answer).await
    }

    /// A POST of JSON that must be answered.
    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.try_post(path, body).await;
        answer.unwrap_or_else(|error| panic!("{} does not answer: {error}\n{}", self.name, self.log()))
    }

    /// Asks for a build: its id.
    pub async fn create(&self, body: &Value) -> String {
        let (status, answer) = self.post("api/v1/builds", body).await;
        assert!(matches!(status, 200..=202), "{status} {answer}");
        answer["id"].as_str().expect("a build has an id").to_owned()
    }

    /// Uploads a context: its id.
    pub async fn upload(&self, project: &str, archive: Vec<u8>) -> String {
        let path = format!("api/v1/contexts?project={project}");
        let request = self.request(reqwest::Method::POST, &path).await;
        let answer = request
            .header("content-type", "application/gzip")
            .body(archive)
            .send()
            .await
            .expect("it answers");
        let (status, answer) = read(answer).await.expect("it answers");
        assert!(status < 300, "{status} {answer}");
        answer["id"].as_str().expect("a context has an id").to_owned()
    }

    /// A build as it is now.
    pub async fn build(&self, id: &str) -> Value {
        let (status, build) = self.get(&format!("api/v1/builds/{id}")).await;
        assert_eq!(status, 200, "{build}\n{}", self.log());
        build
    }

    /// Waits until a build is as `done` wants it; requests that fail meanwhile are made again.
    pub async fn until(&self, id: &str, limit: Duration, done: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + limit;
        let mut last = Value::Null;
        loop {
            if let Ok((200, build)) = self.try_get(&format!("api/v1/builds/{id}")).await {
                if done(&build) {
                    return build;
                }
                last = build;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "waited in vain; last seen: {last:#}\n{}",
                self.log()
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits for a build's end.
    pub async fn ended(&self, id: &str, limit: Duration) -> Value {
        self.until(id, limit, |build| !build["finished_at"].is_null())
            .await
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn read(answer: reqwest::Response) -> reqwest::Result<(u16, Value)> {
    let status = answer.status().as_u16();
    let body = answer.bytes().await?;
    let value = serde_json::from_slice(&body);
    Ok((
        status,
        value.unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())),
    ))
}
