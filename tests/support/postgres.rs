//! A Postgres of a test's own, which it may stop and start again.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::port::Port;

/// A server in a temporary folder, on a port of its own of loopback. Stopped when dropped.
pub struct PrivatePostgres {
    dir: TempDir,
    programs: PathBuf,
    port: Port,
}

impl PrivatePostgres {
    /// Makes and starts one.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("slipway-pg")
            .tempdir()
            .expect("a temporary folder");
        let postgres = Self {
            dir,
            programs: programs(),
            port: Port::reserve(),
        };
        if is_root() {
            let id = |flag: &str| {
                let output = Command::new("id")
                    .args([flag, "postgres"])
                    .output()
                    .expect("`id` runs");
                String::from_utf8_lossy(&output.stdout).trim().parse().ok()
            };
            chown(postgres.dir.path(), id("-u"), id("-g")).expect("the folder changes its owner");
        }
        postgres.run(
            "initdb",
            &["-A", "trust", "-U", "postgres", "-D", &postgres.data()],
        );
        postgres.resume();
        postgres
    }

    /// Where it is to be reached.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Stops it as a crash would: connections break, nothing is written any more.
    pub fn crash(&self) {
        self.run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"]);
    }

    /// Starts it again.
    pub fn resume(&self) {
        let options = format!(
            "-p {} -h 127.0.0.1 -k {} -c fsync=off",
            self.port,
            self.dir.path().display()
        );
        let log = self.dir.path().join("log").display().to_string();
        self.run(
            "pg_ctl",
            &["-D", &self.data(), "-l", &log, "-o", &options, "-w", "start"],
        );
    }

    fn data(&self) -> String {
        self.dir.path().join("data").display().to_string()
    }

    /// Postgres refuses to run as root.
    fn run(&self, program: &str, args: &[&str]) {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                .arg(&program);
            command
        } else {
            Command::new(&program)
        };
        let status = command
            .args(args)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .expect("Postgres' programs can be started");
        assert!(status.success(), "{} failed", program.display());
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if Path::new(&self.data()).join("postmaster.pid").exists() {
            self.crash();
        }
    }
}

/// The folder of the newest server that is installed, else whatever `pg_config` names.
fn programs() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = installed
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")));
    newest.unwrap_or_else(|| {
        let output = Command::new("pg_config")
            .arg("--bindir")
            .output()
            .expect("PostgreSQL is installed");
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    })
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("`id` runs");
    output.stdout.starts_with(b"0\n")
}
