//! A registry of the test's own, with a base image that has a shell.

use std::{
    io::Write,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use reqwest::StatusCode;
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Who may push to a registry that asks for credentials: `builder`, with this password.
pub const PASSWORD: &str = "correct-horse";
const HTPASSWD: &str = "builder:$2b$05$abcdefghijklmnopqrstuuZ0Fx87Pb/Aqb0E90lfvCwzXnaFKUHpS\n";

/// Where Debian's busybox-static puts its program.
const BUSYBOX: &str = "/bin/busybox";

/// `docker-registry` on a free loopback port; ends with the value.
pub struct Registry {
    process: Child,
    pub host: String,
    http: reqwest::Client,
    password: Option<&'static str>,
    _folder: TempDir,
}

impl Registry {
    /// A registry that everybody may use.
    pub async fn open(http: &reqwest::Client) -> Self {
        Self::start(http, None).await
    }

    /// A registry that asks for credentials.
    pub async fn locked(http: &reqwest::Client) -> Self {
        Self::start(http, Some(PASSWORD)).await
    }

    async fn start(http: &reqwest::Client, password: Option<&'static str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let host = format!("127.0.0.1:{port}");
        let mut config = json!({
            "version": "0.1",
            "log": { "level": "error", "accesslog": { "disabled": true } },
            "storage": { "filesystem": { "rootdirectory": folder.path().join("data") } },
            "http": { "addr": host },
        });
        if password.is_some() {
            let path = folder.path().join("htpasswd");
            std::fs::write(&path, HTPASSWD).expect("writable");
            config["auth"] = json!({ "htpasswd": { "realm": "test", "path": path } });
        }
        let path = folder.path().join("config.yml");
        std::fs::write(&path, config.to_string()).expect("JSON is YAML, and the folder is writable");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        let registry = Self {
            process,
            host,
            http: http.clone(),
            password,
            _folder: folder,
        };
        registry.answers().await;
        registry.push_base().await;
        registry
    }

    async fn answers(&self) {
        for _ in 0..200 {
            if self
                .request(reqwest::Method::GET, "")
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the registry does not answer");
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self
            .http
            .request(method, format!("http://{}/v2/{path}", self.host));
        match self.password {
            Some(password) => request.basic_auth("builder", Some(password)),
            None => request,
        }
    }

    /// The base image's name.
    pub fn base(&self) -> String {
        format!("{}/library/busybox:latest", self.host)
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
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
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
            .request(reqwest::Method::PUT, "library/busybox/manifests/latest")
            .header(
                "content-type",
                "application/vnd.docker.distribution.manifest.v2+json",
            )
            .body(manifest.to_string())
            .send()
            .await
            .expect("the registry answers");
        assert_eq!(pushed.status(), StatusCode::CREATED);
    }

    async fn push_blob(&self, blob: Vec<u8>) {
        let begun = self
            .request(reqwest::Method::POST, "library/busybox/blobs/uploads/")
            .send()
            .await;
        let begun = begun.expect("the registry answers");
        let location = begun.headers()["location"].to_str().expect("a URL").to_owned();
        let path = location
            .split_once("/v2/")
            .expect("an address of the API")
            .1
            .to_owned();
        let request = self.request(reqwest::Method::PUT, &format!("{path}&digest={}", digest(&blob)));
        let pushed = request.body(blob).send().await.expect("the registry answers");
        assert_eq!(pushed.status(), StatusCode::CREATED);
    }

    /// The digest under which the registry has `repository:tag`.
    pub async fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        let accept = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";
        let path = format!("{repository}/manifests/{tag}");
        let request = self
            .request(reqwest::Method::HEAD, &path)
            .header("accept", accept);
        let answer = request.send().await.expect("the registry answers");
        Some(
            answer
                .headers()
                .get("docker-content-digest")?
                .to_str()
                .expect("plain text")
                .to_owned(),
        )
    }

    /// The configuration of the image `repository:tag`.
    pub async fn config(&self, repository: &str, tag: &str) -> serde_json::Value {
        let accept = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";
        let path = format!("{repository}/manifests/{tag}");
        let answer = self
            .request(reqwest::Method::GET, &path)
            .header("accept", accept)
            .send()
            .await;
        let manifest: serde_json::Value = answer
            .expect("the registry answers")
            .json()
            .await
            .expect("a manifest");
        let digest = manifest["config"]["digest"].as_str().expect("a digest");
        let answer = self
            .request(reqwest::Method::GET, &format!("{repository}/blobs/{digest}"))
            .send()
            .await;
        answer
            .expect("the registry answers")
            .json()
            .await
            .expect("a configuration")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("bound").port()
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
    let busybox = std::fs::read(Path::new(BUSYBOX)).expect("busybox-static is installed");
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(busybox.len() as u64);
    tar.append_data(&mut header, "bin/busybox", &busybox[..])
        .expect("in memory");
    for applet in [
        "sh", "echo", "cat", "sleep", "ls", "id", "test", "mkdir", "true", "env", "head",
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox")
            .expect("in memory");
    }
    tar.into_inner().expect("in memory")
}
