//! A queue of builds, and what claims them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::future::join_all;
use slipway::{
    domain::Outcome,
    store::{Claim, Slots, Store, StoreOptions},
};

use crate::{
    postgres::Postgres,
    rows::{clear, fill},
    run::Run,
    service::Service,
};

/// Builds that one claim takes.
pub const BATCH: u32 = 50;
/// A dispatcher that has not done its part by then never will.
const PATIENCE: Duration = Duration::from_secs(120);
const SLOTS: Slots = Slots {
    total: 1000,
    per_project: 1000,
};

/// A queue on a server of its own.
pub struct Queue {
    /// The server.
    pub postgres: Postgres,
    store: Store,
    size: u32,
    queued: u32,
    projects: u32,
}

impl Queue {
    /// An empty one.
    pub async fn start() -> Result<Self> {
        let postgres = Postgres::start()?;
        // It makes the tables.
        drop(Service::start(&postgres.url(), &["--role=api"]).await?);
        clear(&postgres)?;
        let store = Store::connect(&StoreOptions {
            url: postgres.url().into(),
            direct_url: None,
            max_connections: 8,
            acquire_timeout: Duration::from_secs(30),
            notify: false,
        })?;
        Ok(Self {
            postgres,
            store,
            size: 0,
            queued: 0,
            projects: 1,
        })
    }

    /// Queues more, until there are so many.
    pub fn grow(&mut self, run: &Run, size: u32) -> Result<()> {
        run.says(&format!("queueing {} builds", size.saturating_sub(self.queued)));
        self.size = size;
        self.top_up()
    }

    /// Begins anew, with so many builds evenly in so many projects.
    pub fn refill(&mut self, run: &Run, size: u32, projects: u32) -> Result<()> {
        clear(&self.postgres)?;
        (self.queued, self.projects) = (0, projects);
        self.grow(run, size)
    }

    /// What was claimed is made up for, where it is more than a tenth: a queue is measured at its size.
    fn top_up(&mut self) -> Result<()> {
        let missing = self.size.saturating_sub(self.queued);
        if missing <= self.size / 10 {
            return Ok(());
        }
        fill(&self.postgres, missing, self.projects)?;
        self.queued = self.size;
        // Lists are planned by the statistics of what was asked for, which autovacuum has not seen to yet.
        self.postgres.sql("VACUUM ANALYZE builds; ANALYZE; CHECKPOINT")
    }

    /// Builds claimed a second, the lanes' upkeep included, from this queue and, in turns, from another, so many rounds;
    /// each is brought to its end outside of the measured time.
    pub async fn beside(
        &mut self,
        other: &mut Self,
        run: &Run,
        (what, rounds): (&str, usize),
    ) -> Result<(Vec<f64>, Vec<f64>)> {
        let batches = if run.quick { 20 } else { 60 };
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for queue in [&mut *self, &mut *other] {
            queue.claim_some(10).await?;
        }
        for round in 1..=rounds {
            run.says(&format!("round {round} of {rounds}, claims, {what}"));
            let mut sides = [(&mut *self, &mut own), (&mut *other, &mut others)];
            if round % 2 == 0 {
                sides.reverse();
            }
            for (queue, rates) in sides {
                queue.top_up()?;
                let (claimed, spent) = queue.claim_some(batches).await?;
                rates.push(f64::from(claimed) / spent.as_secs_f64());
            }
        }
        Ok((own, others))
    }

    /// Claims so many batches: how many builds they were, and how long the claims took.
    pub async fn claim_some(&mut self, batches: u32) -> Result<(u32, Duration)> {
        let (mut claimed, mut spent) = (0, Duration::ZERO);
        for _ in 0..batches {
            let began = Instant::now();
            let claims = self.store.claim(SLOTS, Duration::from_secs(60), BATCH).await?;
            self.store.keep_lanes().await;
            spent += began.elapsed();
            ensure!(!claims.is_empty(), "the queue ran dry");
            claimed += u32::try_from(claims.len())?;
            self.end(claims).await?;
        }
        self.queued = self.queued.saturating_sub(claimed);
        Ok((claimed, spent))
    }

    /// Builds a second that a dispatcher takes to their end with a launcher that does nothing, of the next so many.
    pub async fn drain(&mut self, builds: u32) -> Result<f64> {
        self.top_up()?;
        let postgres = &self.postgres;
        let ended = "SELECT count(*) FROM results";
        let (since, before) = (postgres.ask("SELECT clock_timestamp()")?, postgres.number(ended)?);
        let slots = ["--max-running=512", "--max-running-per-project=512"];
        let service = Service::dispatcher(&postgres.url(), &[&["--launcher=none"], &slots[..]].concat())?;
        wait(async || Ok(postgres.number(ended)? >= before + f64::from(builds))).await?;
        // Nothing is left half done: no more is claimed, and what was claimed ends.
        postgres.sql("UPDATE projects SET max_running = 0")?;
        let held = "SELECT count(*) FROM held_slots";
        wait(async || Ok(postgres.number(held)? < 0.5)).await?;
        drop(service);
        postgres.sql("UPDATE projects SET max_running = NULL")?;
        let rate = postgres.number(&format!(
            "SELECT count(*) FILTER (WHERE state = 'succeeded') / extract(epoch FROM
                max(at) FILTER (WHERE state = 'succeeded') - min(at) FILTER (WHERE state = 'launching'))
             FROM build_events WHERE at > '{since}'"
        ))?;
        let done = postgres.number(ended)? - before;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of rows"
        )]
        let done = done as u32;
        self.queued = self.queued.saturating_sub(done);
        Ok(rate)
    }

    /// What was queued has ended, all of it, and is kept as history.
    pub fn becomes_history(&mut self) -> Result<()> {
        self.postgres.sql(
            "UPDATE builds SET state = 'succeeded', finished_at = now() WHERE state = 'queued';
             INSERT INTO results (build_id, project_id, repository, held_seconds)
             SELECT id, project_id, 'registry.example.com/team/app', 60 FROM builds;
             TRUNCATE lane_counts; VACUUM ANALYZE builds",
        )?;
        self.queued = 0;
        Ok(())
    }

    async fn end(&self, claims: Vec<Claim>) -> Result<()> {
        let ends = join_all(claims.into_iter().map(async |claim| {
            self.store.launched(claim.id, claim.token, "none").await?;
            let succeeded = Outcome::Succeeded { digest: None };
            self.store.finish(claim.id, &succeeded, &[], 0).await
        }));
        for end in ends.await {
            ensure!(end?, "a build did not end");
        }
        Ok(())
    }
}

/// Waits until something holds that must hold soon.
async fn wait(mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !holds().await? {
        ensure!(
            began.elapsed() < PATIENCE,
            "the dispatcher has not come to an end after {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
