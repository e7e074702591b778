//! What a delivery costs: verified, recorded, and one build made of it, against a plain creation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    load::{Answer, Client},
    postgres::Postgres,
    report::Figure,
    run::Run,
    service::Service,
};

/// What the service seals secrets with, and what deliveries are signed with.
pub const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101";
const SECRET: &str = "It's-a-Secret-to-Everybody";

/// Delivers pushes to a trigger, each of another commit, as GitHub does. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    path: String,
    sent: Arc<AtomicU64>,
}

impl Sender {
    /// Over a new trigger of the service behind `client`.
    pub async fn new(client: &mut Client) -> Result<Self> {
        let trigger = json!({
            "provider": "github", "repository": "team/app", "secret": SECRET,
            "clone_url": "https://git.example.com/team/app.git",
            "rules": [{"name": "main", "source_type": "branch", "source": "main", "tags": ["latest"],
                "repositories": ["registry.example.com/team/app"]}],
        });
        let made = client.post("/api/v1/triggers", &trigger.to_string()).await?;
        ensure!(made.status == 201, "{}", String::from_utf8_lossy(&made.body));
        let made: Value = serde_json::from_slice(&made.body)?;
        Ok(Self {
            path: made["hook_path"].as_str().context("it has a path")?.to_owned(),
            sent: Arc::default(),
        })
    }

    /// Delivers the next push; it makes a build.
    pub async fn deliver(&self, client: &mut Client) -> Result<Answer> {
        let nth = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        let commit = format!("{nth:040x}");
        let body = json!({
            "ref": "refs/heads/main", "before": "0".repeat(40), "after": commit, "deleted": false,
            "head_commit": {"id": commit, "message": "Mend what was broken, and say how"},
            "repository": {"full_name": "team/app", "clone_url": "https://git.example.com/team/app.git",
                "default_branch": "main"},
            "pusher": {"name": "somebody", "email": "somebody@example.com"},
        })
        .to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).context("any key will do")?;
        mac.update(body.as_bytes());
        let headers = format!(
            "x-github-event: push\r\nx-github-delivery: {nth}\r\nx-hub-signature-256: sha256={}\r\n",
            hex::encode(mac.finalize().into_bytes())
        );
        let answer = client.post_with(&self.path, &headers, &body).await?;
        ensure!(
            answer.status == 200 && answer.body.windows(7).any(|word| word == b"\"built\""),
            "{} {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        Ok(answer)
    }

    /// Deliveries a second that `clients` connections get answered within `time`.
    async fn rate(&self, address: &str, clients: u32, time: Duration) -> Result<f64> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..clients {
            let (sender, stop) = (self.clone(), stop.clone());
            let mut client = Client::connect(address).await?;
            running.spawn(async move {
                let mut done = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    sender.deliver(&mut client).await?;
                    done += 1;
                }
                anyhow::Ok(done)
            });
        }
        let began = Instant::now();
        tokio::time::sleep(time).await;
        stop.store(true, Ordering::Relaxed);
        let mut total = 0.0;
        while let Some(ended) = running.join_next().await {
            total += f64::from(ended??);
        }
        Ok(total / began.elapsed().as_secs_f64())
    }
}

/// Measures; the limit is the rate of plain creations in the same run.
pub async fn measure(run: &mut Run, postgres: &Postgres) -> Result<()> {
    let key = format!("--secret-key={KEY}");
    let service = Service::start(
        &postgres.url(),
        &["--role=api", "--deliveries-per-minute=0", &key],
    )
    .await?;
    let mut client = Client::connect(&service.address()).await?;
    let sender = Sender::new(&mut client).await?;
    for clients in [1, 8, 32] {
        let (mut ours, mut limits) = (Vec::new(), Vec::new());
        for round in 1..=run.rounds {
            run.says(&format!("round {round} of {}, {clients} clients", run.rounds));
            let time = Duration::from_secs(u64::from(run.seconds));
            ours.push(sender.rate(&service.address(), clients, time).await?);
            limits.push(service.rate(clients, run.seconds).await?);
        }
        let title = format!("deliveries, each verified, recorded and a build, {clients} clients");
        run.figure(Figure::new(title, "a second", ours).beside("plain creations", limits));
    }
    Ok(())
}
