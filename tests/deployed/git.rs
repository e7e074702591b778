//! A git host on this machine, and what is in its repositories.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// Whom the repositories below `private/` let in.
pub const USER: &str = "reader";
/// And with which password.
pub const PASSWORD: &str = "open-sesame";

/// Repositories over HTTP, by `scripts/git-http.py`. Stopped when dropped.
pub struct GitHost {
    /// Its address: `host:port`.
    pub host: String,
    folder: TempDir,
    process: Child,
}

impl GitHost {
    /// Starts one that is reached at `address`.
    pub fn start(address: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut process = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/git-http.py"))
            .arg(folder.path())
            .args(["0.0.0.0", "0"])
            .env("GIT_HTTP_LOGIN", format!("{USER}:{PASSWORD}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 is installed");
        let output = process.stdout.take().expect("it is piped");
        let mut port = String::new();
        BufReader::new(output)
            .read_line(&mut port)
            .expect("it says its port");
        Self {
            host: format!("{address}:{}", port.trim()),
            folder,
            process,
        }
    }

    /// Makes `<name>.git` with a commit for each of the Dockerfiles: the first with the tag `v1`, the last on `main`.
    /// The context is in the folder `image`. Returns the commits.
    pub fn repository(&self, name: &str, dockerfiles: &[String]) -> Vec<String> {
        let work = tempfile::tempdir().expect("a temporary folder");
        git(work.path(), &["init", "--quiet", "--initial-branch=main"]);
        std::fs::create_dir(work.path().join("image")).expect("the folder can be made");
        let mut commits = Vec::new();
        for dockerfile in dockerfiles {
            std::fs::write(work.path().join("image/Dockerfile"), dockerfile)
                .expect("the file can be written");
            git(work.path(), &["add", "."]);
            git(
                work.path(),
                &["commit", "--quiet", "--message", "Change the image"],
            );
            if commits.is_empty() {
                git(work.path(), &["tag", "v1"]);
            }
            commits.push(git(work.path(), &["rev-parse", "HEAD"]));
        }
        let bare = self.folder.path().join(format!("{name}.git"));
        let bare = bare.to_str().expect("a path is text");
        git(work.path(), &["clone", "--quiet", "--bare", ".", bare]);
        commits
    }

    /// The address of a repository.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}.git", self.host)
    }
}

impl Drop for GitHost {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs git, untouched by whoever's settings: what it printed.
fn git(folder: &Path, args: &[&str]) -> String {
    let identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
    let output = Command::new("git")
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .args(identity)
        .args(args)
        .output()
        .expect("git is installed");
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
