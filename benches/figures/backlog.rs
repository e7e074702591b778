//! What claims cost against what is queued, what was claimed before, and what is kept.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::future::join_all;
use slipway::{
    domain::Outcome,
    store::{Claim, Slots, Store, StoreOptions},
};

use super::{
    memory,
    postgres::Postgres,
    reading,
    report::{Curve, Figure, Goal},
    rows::{clear, fill},
    run::Run,
    service::Service,
    stats::median,
};

/// Builds that one claim takes.
const BATCH: u32 = 50;
const SLOTS: Slots = Slots {
    total: 1000,
    per_project: 1000,
};

/// A queue, and what claims it.
struct Queue {
    postgres: Postgres,
    store: Store,
    queued: u32,
}

/// Measures.
pub async fn measure(run: &mut Run) -> Result<()> {
    let sizes: &[(u32, &str, f64)] = if run.quick {
        run.not_run("claims from 1 M and 10 M builds, 10,000 projects, old snapshots, histories (QUICK)");
        &[(10_000, "10 k", 1.0), (200_000, "200 k", 0.9)]
    } else {
        &[
            (10_000, "10 k", 1.0),
            (1_000_000, "1 M", 0.9),
            (10_000_000, "10 M", 0.85),
        ]
    };
    let mut queue = Queue::start().await?;
    let (mut least, mut points) = (Vec::new(), Vec::new());
    for (size, name, goal) in sizes {
        queue.grow(run, *size)?;
        let rates = queue.rates(run, &format!("claims from {name}")).await?;
        points.push((f64::from(*size), median(&rates)));
        let mut figure = Figure::new(format!("claims, {name} queued"), "a second", rates.clone());
        if least.is_empty() {
            least = rates;
        } else {
            figure = figure
                .beside("10 k queued", least.clone())
                .goal(Goal::Ratio(*goal));
        }
        run.figure(figure);
        if *size == 10_000 || (*size, *name, *goal) == *sizes.last().expect("there are sizes") {
            reading::measure(run, &queue.postgres, name).await?;
        }
    }
    run.curve(Curve {
        name: "backlog".to_owned(),
        title: "Claims a second, by what is queued".to_owned(),
        axes: ["queued".to_owned(), "a second".to_owned()],
        by_factors: true,
        lines: vec![("batches of 50".to_owned(), points)],
    });
    if !run.quick {
        memory::at_rest(run, &queue.postgres, "10 M queued").await?;
        queue.after_many(run, least.clone()).await?;
        queue.under_a_snapshot(run).await?;
        drop(queue);
        history_and_projects(run).await?;
    }
    Ok(())
}

/// A million builds that have ended; then a million queued in ten thousand projects.
async fn history_and_projects(run: &mut Run) -> Result<()> {
    let mut queue = Queue::start().await?;
    queue.grow(run, 40_000)?;
    let before = queue.rates(run, "claims, no history").await?;
    run.says("a history of 1 M");
    fill(&queue.postgres, 1_000_000, 1)?;
    queue.postgres.sql(
        "UPDATE builds SET state = 'succeeded', finished_at = now() WHERE state = 'queued';
         INSERT INTO results (build_id, project_id, repository, held_seconds)
         SELECT id, project_id, 'registry.example.com/team/app', 60 FROM builds b
         WHERE NOT EXISTS (SELECT FROM results r WHERE r.build_id = b.id);
         TRUNCATE lane_counts",
    )?;
    queue.postgres.sql("VACUUM ANALYZE builds")?;
    queue.queued = 0;
    queue.grow(run, 40_000)?;
    let after = queue.rates(run, "claims, a history of 1 M").await?;
    run.figure(Figure::new("claims, a history of 1 M", "a second", after).beside("none", before.clone()));
    clear(&queue.postgres)?;
    run.says("1 M in 10,000 projects");
    fill(&queue.postgres, 1_000_000, 10_000)?;
    queue.postgres.sql("VACUUM ANALYZE builds")?;
    let many = queue.rates(run, "claims from 10,000 projects").await?;
    run.figure(
        Figure::new("claims, 1 M queued in 10,000 projects", "a second", many).beside("40 k in one", before),
    );
    Ok(())
}

impl Queue {
    async fn start() -> Result<Self> {
        let postgres = Postgres::start()?;
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
            queued: 0,
        })
    }

    /// Queues more, until there are so many.
    fn grow(&mut self, run: &Run, size: u32) -> Result<()> {
        run.says(&format!("queueing {} builds", size - self.queued));
        fill(&self.postgres, size - self.queued, 1)?;
        self.queued = size;
        self.postgres.sql("VACUUM ANALYZE builds; CHECKPOINT")
    }

    /// Builds claimed a second, the lanes' upkeep included; each is brought to its end outside of the measured time.
    async fn rates(&self, run: &Run, what: &str) -> Result<Vec<f64>> {
        let batches = if run.quick { 20 } else { 60 };
        let mut rates = Vec::new();
        self.claim_some(10).await?;
        for round in 1..=run.rounds {
            run.says(&format!("round {round} of {}, {what}", run.rounds));
            let (claimed, spent) = self.claim_some(batches).await?;
            rates.push(f64::from(claimed) / spent.as_secs_f64());
        }
        Ok(rates)
    }

    async fn claim_some(&self, batches: u32) -> Result<(u32, Duration)> {
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
        Ok((claimed, spent))
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

    /// After 200,000 claims, whose dead index entries lie at the head of the queue.
    async fn after_many(&self, run: &mut Run, least: Vec<f64>) -> Result<()> {
        run.says("200,000 claims");
        self.claim_some(200_000 / BATCH).await?;
        let rates = self.rates(run, "claims after 200 k of them").await?;
        run.figure(
            Figure::new("claims, 10 M queued, after 200 k claims", "a second", rates)
                .beside("10 k queued", least)
                .goal(Goal::Ratio(0.8)),
        );
        Ok(())
    }

    /// While a transaction sees the database as it was a minute ago, so that nothing that died since can be removed.
    async fn under_a_snapshot(&self, run: &mut Run) -> Result<()> {
        let held = self.postgres.snapshot(70)?;
        let began = Instant::now();
        let mut points = Vec::new();
        while began.elapsed() < Duration::from_secs(60) {
            let (claimed, spent) = self.claim_some(40).await?;
            points.push((
                began.elapsed().as_secs_f64(),
                f64::from(claimed) / spent.as_secs_f64(),
            ));
            run.says(&format!(
                "under a snapshot, {:.0} s",
                began.elapsed().as_secs_f64()
            ));
        }
        drop(held);
        let rates = |points: &[(f64, f64)]| points.iter().map(|point| point.1).collect::<Vec<_>>();
        let few = points.len().div_ceil(6);
        let (first, last) = (rates(&points[..few]), rates(&points[points.len() - few..]));
        run.figure(
            Figure::new("claims, 10 M queued, under a snapshot of 60 s", "a second", last)
                .beside("its beginning", first)
                .goal(Goal::Ratio(0.5)),
        );
        run.curve(Curve {
            name: "snapshot".to_owned(),
            title: "Claims a second while a transaction is held open".to_owned(),
            axes: ["seconds".to_owned(), "a second".to_owned()],
            by_factors: false,
            lines: vec![("10 M queued, batches of 50".to_owned(), points)],
        });
        Ok(())
    }
}
