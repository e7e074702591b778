//! A private Postgres with durable settings, for as long as a measurement lasts.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::machine::said;

/// What servers are started with: commits reach the disk.
const SETTINGS: &str = "-c max_connections=400 -c shared_buffers=512MB -c max_wal_size=4GB \
    -c fsync=on -c synchronous_commit=on";

/// The server's version and settings, in words.
pub fn described() -> String {
    let version = binaries().map(|bin| said(&bin.join("postgres").display().to_string(), &["--version"]));
    format!(
        "{} with {}",
        version.unwrap_or_default(),
        SETTINGS.replace("-c ", "")
    )
}

/// A running server; dropping it stops it and removes its data.
pub struct Postgres {
    dir: TempDir,
    port: u16,
    bin: PathBuf,
}

impl Postgres {
    /// Makes and starts a server whose commits reach the disk (`fsync` and `synchronous_commit` on).
    pub fn start() -> Result<Self> {
        let bin = binaries()?;
        let dir = tempfile::Builder::new().prefix("slipway-bench-").tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = Self { dir, port, bin };
        if is_root() {
            let owned = Command::new("chown")
                .arg("postgres")
                .arg(server.dir.path())
                .status()?;
            ensure!(owned.success(), "the user postgres does not exist");
        }
        server.run(
            "initdb",
            &["--auth=trust", "--username=postgres", "-D", &server.data()],
        )?;
        let options = format!(
            "-p {port} -k {} -c listen_addresses=127.0.0.1 {SETTINGS}",
            server.dir.path().display()
        );
        let log = server.dir.path().join("log").display().to_string();
        server.run(
            "pg_ctl",
            &["-D", &server.data(), "-w", "-l", &log, "-o", &options, "start"],
        )?;
        server.run(
            "createdb",
            &[
                "-h",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-U",
                "postgres",
                "bench",
            ],
        )?;
        Ok(server)
    }

    /// The address of its database.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/bench", self.port)
    }

    /// A database of its own.
    pub fn another(&self, name: &str) -> Result<Database<'_>> {
        self.sql(&format!("CREATE DATABASE {name}"))?;
        Ok(Database {
            url: format!("postgres://postgres@127.0.0.1:{}/{name}", self.port),
            name: name.to_owned(),
            postgres: self,
        })
    }

    /// Transactions a second of a pgbench script with so many clients.
    pub fn pgbench(&self, script: &str, clients: u32, seconds: u32) -> Result<f64> {
        let file = self.dir.path().join("script.sql");
        std::fs::write(&file, script)?;
        let (clients, seconds, port) = (clients.to_string(), seconds.to_string(), self.port.to_string());
        let out = Command::new(self.bin.join("pgbench"))
            .args(["-n", "-M", "prepared", "-j", "2", "-c", &clients, "-T", &seconds])
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-f"])
            .arg(&file)
            .arg("bench")
            .output()?;
        let text = String::from_utf8_lossy(&out.stdout);
        ensure!(
            out.status.success(),
            "pgbench: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        let line = text
            .lines()
            .find(|line| line.starts_with("tps = "))
            .context("pgbench named no rate")?;
        let rate = line
            .trim_start_matches("tps = ")
            .split(' ')
            .next()
            .unwrap_or_default();
        Ok(rate.parse()?)
    }

    /// Runs statements.
    pub fn sql(&self, statements: &str) -> Result<()> {
        self.psql(statements).map(|_| ())
    }

    /// Holds a transaction open, for so long at the most or until it is dropped, that sees the database as it is
    /// now.
    pub fn snapshot(&self, time: Duration) -> Result<Snapshot> {
        let seconds = time.as_secs();
        let hold = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM lanes; SELECT pg_sleep({seconds})"
        );
        let child = self.client().args(["-c", &hold]).stdout(Stdio::null()).spawn()?;
        Ok(Snapshot(child))
    }

    /// The number that a query answers.
    pub fn number(&self, query: &str) -> Result<f64> {
        Ok(self.ask(query)?.parse()?)
    }

    /// The text that a query answers.
    pub fn ask(&self, query: &str) -> Result<String> {
        Ok(self.psql(query)?.trim().to_owned())
    }

    fn psql(&self, statements: &str) -> Result<String> {
        let mut client = self.client();
        // Each by itself: some refuse to be part of a transaction.
        for statement in statements.split(";\n").flat_map(|some| some.split("; ")) {
            client.args(["-c", statement]);
        }
        let out = client.output()?;
        ensure!(
            out.status.success(),
            "psql: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        Ok(String::from_utf8(out.stdout)?)
    }

    fn client(&self) -> Command {
        let mut client = Command::new(self.bin.join("psql"));
        client.args([
            "-qAtX",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
        ]);
        client.args(["-U", "postgres", "-d", "bench"]);
        client
    }

    fn data(&self) -> String {
        self.dir.path().join("data").display().to_string()
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<()> {
        let path = self.bin.join(program);
        let mut command = if is_root() && matches!(program, "initdb" | "pg_ctl") {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                .arg(path);
            command
        } else {
            Command::new(path)
        };
        let out = command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()?;
        ensure!(
            out.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        Ok(())
    }
}

/// One more database of a server; dropping it removes it.
pub struct Database<'a> {
    /// Its address.
    pub url: String,
    name: String,
    postgres: &'a Postgres,
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        let removed = self
            .postgres
            .sql(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        if let Err(error) = removed {
            eprintln!("the database {} could not be removed: {error}", self.name);
        }
    }
}

/// A transaction that is held open.
pub struct Snapshot(Child);

impl Drop for Snapshot {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Err(error) = self.run("pg_ctl", &["-D", &self.data(), "-w", "-m", "immediate", "stop"]) {
            eprintln!("the private Postgres could not be stopped: {error}");
        }
    }
}

/// Whether this process may not run Postgres under its own user.
fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|out| out.stdout.starts_with(b"0"))
}

/// The folder with the newest installed server's programs.
fn binaries() -> Result<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .context("PostgreSQL's server is not installed under /usr/lib/postgresql")?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("pgbench").exists())
        .collect();
    versions.sort();
    versions.pop().context("no pgbench under /usr/lib/postgresql")
}
