//! A registry on this machine, for one test.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// Docker's registry, on a free port of every address. Stopped when dropped.
pub struct Registry {
    port: u16,
    /// Its address as others reach it: `host:port`.
    pub host: String,
    process: Child,
    _data: TempDir,
}

impl Registry {
    /// Starts one that is reached at `address`.
    pub fn start(address: &str) -> Self {
        Self::with(address, "")
    }

    /// Starts one with further lines of configuration, such as `auth:`.
    pub fn with(address: &str, configuration: &str) -> Self {
        let port = TcpListener::bind("0.0.0.0:0")
            .and_then(|socket| socket.local_addr())
            .expect("a port")
            .port();
        let data = tempfile::tempdir().expect("a temporary folder");
        let config = data.path().join("config.yml");
        let storage = data.path().join("data");
        fs::write(
            &config,
            format!(
                "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 0.0.0.0:{port}\n{configuration}",
                storage.display()
            ),
        )
        .expect("the configuration can be written");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        Self {
            port,
            host: format!("{address}:{port}"),
            process,
            _data: data,
        }
    }

    /// The digest that the registry has under a tag.
    pub async fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}/v2/{repository}/manifests/{tag}", self.port);
        let accept = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";
        let request = reqwest::Client::new().head(url).header("accept", accept);
        let answer = request.send().await.ok()?;
        let digest = answer.headers().get("docker-content-digest")?;
        Some(digest.to_str().ok()?.to_owned())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
