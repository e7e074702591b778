//! A registry on this machine, for one test, and what it is filled with.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    fs,
    io::Write,
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::port::Port;

/// Who may use a registry that asks for credentials: `builder`, with this password.
pub const PASSWORD: &str = "correct-horse";
const HTPASSWD: &str = "builder:$2b$05$abcdefghijklmnopqrstuuZ0Fx87Pb/Aqb0E90lfvCwzXnaFKUHpS\n";

/// Where Debian's busybox-static puts its program.
const BUSYBOX: &str = "/bin/busybox";
/// The names by which the base image has it.
const APPLETS: [&str; 12] = [
    "sh", "echo", "cat", "sleep", "ls", "id", "test", "mkdir", "true", "env", "head", "grep",
];

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const MANIFESTS: &str =
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";

/// How long a registry may take to answer, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(100);

/// Docker's registry, on a port of its own of every address. Stopped when dropped.
pub struct Registry {
    port: Port,
    /// Its address as others reach it: `host:port`.
    pub host: String,
    http: reqwest::Client,
    password: Option<&'static str>,
    process: Child,
    _data: TempDir,
}

impl Registry {
    /// An empty one that everybody may use, reached at `address`.
    pub fn start(address: &str) -> Self {
        Self::with(address, "")
    }

    /// An empty one with further lines of configuration.
    pub fn with(address: &str, configuration: &str) -> Self {
        Self::on(
            tempfile::tempdir().expect("a temporary folder"),
            address,
            configuration,
        )
    }

    fn on(data: TempDir, address: &str, configuration: &str) -> Self {
        super::process::install_crypto_provider();
        let port = Port::reserve();
        let process = serve(&data, &port, configuration);
        Self {
            host: format!("{address}:{port}"),
            port,
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("an HTTP client"),
            password: None,
            process,
            _data: data,
        }
    }

    /// One that everybody may use, with a base image in it.
    pub async fn open(address: &str) -> Self {
        let registry = Self::start(address);
        registry.push_base().await;
        registry
    }

    /// One that asks for credentials, with a base image in it.
    pub async fn locked(address: &str) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let users = data.path().join("htpasswd");
        fs::write(&users, HTPASSWD).expect("the file can be written");
        let auth = format!(
            "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
            users.display()
        );
        let mut registry = Self::on(data, address, &auth);
        registry.password = Some(PASSWORD);
        registry.push_base().await;
        registry
    }

    /// The port that it has on all addresses of this machine.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The base image's name: a shell and a few commands.
    pub fn base(&self) -> String {
        format!("{}/library/busybox:latest", self.host)
    }

    /// The digest that the registry has under a tag.
    pub async fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        let answer = self
            .request(Method::HEAD, &format!("{repository}/manifests/{tag}"))
            .header("accept", MANIFESTS)
            .send()
            .await
            .ok()?;
        let digest = answer.headers().get("docker-content-digest")?;
        Some(digest.to_str().ok()?.to_owned())
    }

    /// The configuration of the image `repository:tag`.
    pub async fn config(&self, repository: &str, tag: &str) -> Value {
        let manifest = self.json(&format!("{repository}/manifests/{tag}")).await;
        let digest = manifest["config"]["digest"].as_str().expect("a digest");
        self.json(&format!("{repository}/blobs/{digest}")).await
    }

    /// All that the image `repository:tag` has: its configuration, and its unpacked layers one after the other.
    pub async fn content(&self, repository: &str, tag: &str) -> Vec<u8> {
        let manifest = self.json(&format!("{repository}/manifests/{tag}")).await;
        let mut content = self.config(repository, tag).await.to_string().into_bytes();
        for layer in manifest["layers"].as_array().expect("layers") {
            let digest = layer["digest"].as_str().expect("a digest");
            let request = self.request(Method::GET, &format!("{repository}/blobs/{digest}"));
            let answer = request.send().await.expect("the registry answers");
            let bytes = answer.bytes().await.expect("a layer");
            let mut layer = flate2::read::GzDecoder::new(&bytes[..]);
            std::io::Read::read_to_end(&mut layer, &mut content).expect("a layer is packed");
        }
        content
    }

    async fn json(&self, path: &str) -> Value {
        let request = self.request(Method::GET, path).header("accept", MANIFESTS);
        let answer = request.send().await.expect("the registry answers");
        answer.json().await.expect("JSON")
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://127.0.0.1:{}/v2/{path}", self.port);
        let request = self.http.request(method, url);
        match self.password {
            Some(password) => request.basic_auth("builder", Some(password)),
            None => request,
        }
    }

    async fn push_base(&self) {
        let tar = base_layer();
        let diff_id = digest(&tar);
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(&tar).expect("in memory");
        let layer = gz.finish().expect("in memory");
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "config": { "Env": ["PATH=/bin", "BASE=yes"], "Cmd": ["sh"] },
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": config.len(), "digest": digest(&config),
            },
            "layers": [{
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "size": layer.len(), "digest": digest(&layer),
            }],
        });
        self.push_blob(layer).await;
        self.push_blob(config).await;
        let pushed = self
            .request(Method::PUT, "library/busybox/manifests/latest")
            .header("content-type", DOCKER_MANIFEST)
            .body(manifest.to_string())
            .send()
            .await
            .expect("the registry answers");
        assert_eq!(pushed.status(), StatusCode::CREATED);
    }

    async fn push_blob(&self, blob: Vec<u8>) {
        let begun = self
            .request(Method::POST, "library/busybox/blobs/uploads/")
            .send()
            .await
            .expect("the registry answers");
        let location = begun.headers()["location"].to_str().expect("a URL").to_owned();
        let (_, path) = location.split_once("/v2/").expect("an address of the API");
        let request = self.request(Method::PUT, &format!("{path}&digest={}", digest(&blob)));
        let pushed = request.body(blob).send().await.expect("the registry answers");
        assert_eq!(pushed.status(), StatusCode::CREATED);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A registry's process that answers on a port.
fn serve(data: &TempDir, port: &Port, configuration: &str) -> Child {
    let config = data.path().join("config.yml");
    let storage = data.path().join("data");
    let text = format!(
        "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
         rootdirectory: {}\nhttp:\n  addr: 0.0.0.0:{port}\n{configuration}",
        storage.display()
    );
    fs::write(&config, text).expect("the configuration can be written");
    let mut process = Command::new("docker-registry")
        .arg("serve")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("docker-registry is installed");
    if !answers(&mut process, port.number()) {
        let _ = process.kill();
        let _ = process.wait();
        panic!("the registry does not answer");
    }
    process
}

fn answers(process: &mut Child, port: u16) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && matches!(process.try_wait(), Ok(None)) {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn base_layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for folder in ["bin", "tmp", "etc", "dev"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        tar.append_data(&mut header, folder, &[][..]).expect("in memory");
    }
    let busybox = fs::read(BUSYBOX).expect("busybox-static is installed");
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(busybox.len() as u64);
    tar.append_data(&mut header, "bin/busybox", &busybox[..])
        .expect("in memory");
    for applet in APPLETS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox")
            .expect("in memory");
    }
    tar.into_inner().expect("in memory")
}
