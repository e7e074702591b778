//! What must be true after every story, whatever was done: read from the events, the rows and the cluster.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{ResourceExt, api::ListParams};
use slipway::domain::{BuildId, State};

use crate::{
    faults::ledger::{Entry, finished_at, runs},
    faults::world::{MARKS, World},
};

/// How long the last things may take: logs, and Jobs that nobody needs.
const LATE: Duration = Duration::from_secs(400);

impl World {
    /// Waits until every accepted build has ended, and looks whether all is as it must be.
    pub async fn hold(&self) {
        self.all_ended(Duration::from_secs(600)).await;
        self.nothing_is_left_over().await;
        let mut wrongs = self.ledger.wrongs();
        for id in &self.accepted {
            wrongs.extend(
                self.wrongs_of(*id)
                    .await
                    .into_iter()
                    .map(|wrong| format!("{id}: {wrong}")),
            );
        }
        wrongs.extend(self.wrongs_of_all().await);
        assert!(
            wrongs.is_empty(),
            "{}\n{}",
            wrongs.join("\n"),
            self.account().await
        );
    }

    pub async fn all_ended(&self, limit: Duration) {
        let ended = async || {
            let open: i64 = sqlx::query_scalar("SELECT count(*) FROM builds WHERE finished_at IS NULL")
                .fetch_one(&self.sql)
                .await
                .ok()?;
            (open == 0).then_some(())
        };
        self.until("every build's end", limit, ended).await;
    }

    /// Of cancelled builds, neither Job nor pod; of no other than those that ended, a Job.
    async fn nothing_is_left_over(&self) {
        let clear = async || {
            let ended = self.with_state(&[State::Succeeded, State::Failed]).await?;
            let jobs = self.place.api::<Job>().list(&ListParams::default()).await.ok()?;
            let pods = self.place.api::<Pod>().list(&ListParams::default()).await.ok()?;
            let names = jobs.iter().map(ResourceExt::name_any);
            let pods = pods.iter().filter(|pod| runs(pod)).map(|pod| pod.name_any());
            let known = |name: &String| {
                BuildId::from_job_name(name.get(..42).unwrap_or_default())
                    .is_none_or(|id| ended.contains(&id))
            };
            names.chain(pods).all(|name| known(&name)).then_some(())
        };
        self.until("Jobs without a build to be cleared away", LATE, clear)
            .await;
    }

    async fn with_state(&self, states: &[State]) -> Option<BTreeSet<BuildId>> {
        let names: Vec<String> = states.iter().map(ToString::to_string).collect();
        let ids: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT id FROM builds WHERE state::text = ANY($1)")
            .bind(&names)
            .fetch_all(&self.sql)
            .await
            .ok()?;
        Some(ids.into_iter().map(BuildId).collect())
    }

    async fn wrongs_of(&self, id: BuildId) -> Vec<String> {
        let Some(state) = self.state(id).await else {
            return vec!["it was accepted, and is not there".to_owned()];
        };
        let history = self.history(id).await;
        let mut wrongs = Vec::new();
        let legal = history.windows(2).all(|pair| pair[0].may_become(pair[1]));
        let ends = history.iter().filter(|state| state.is_terminal()).count();
        if history.first() != Some(&State::Queued) || history.last() != Some(&state) || !legal || ends != 1 {
            wrongs.push(format!("it is {state}, by way of {history:?}"));
        }
        let (jobs, called_for) = (
            self.ledger.jobs(id),
            1 + self.deleted.get(&id).copied().unwrap_or(0),
        );
        if jobs.len() > called_for {
            wrongs.push(format!(
                "{} Jobs were made, {called_for} were called for",
                jobs.len()
            ));
        }
        wrongs.extend(self.wrong_attempts(id).await);
        match state {
            State::Succeeded if !self.bereft.contains(&id) => wrongs.extend(self.wrong_log(id).await),
            State::Cancelled => wrongs.extend(self.wrong_cancel(id).await),
            _ => {}
        }
        if jobs.len() == 1 && !self.deleted.contains_key(&id) {
            wrongs.extend(self.wrong_retries(id, state, &jobs[0]).await);
        }
        wrongs
    }

    /// No row of the queue that should not be there, and no result without an end.
    async fn wrongs_of_all(&self) -> Vec<String> {
        let mut wrongs = Vec::new();
        for (what, query) in [
            (
                "a build that ended holds a claim",
                "SELECT count(*) FROM builds WHERE claim_token IS NOT NULL OR lease_until IS NOT NULL",
            ),
            (
                "succeeded or failed, and without a result",
                "SELECT count(*) FROM builds b WHERE state IN ('succeeded', 'failed')
                AND NOT EXISTS (SELECT FROM results r WHERE r.build_id = b.id)",
            ),
        ] {
            let count: i64 = sqlx::query_scalar(query)
                .fetch_one(&self.sql)
                .await
                .expect("it answers");
            if count > 0 {
                wrongs.push(format!("{what}: {count}"));
            }
        }
        wrongs
    }

    async fn wrong_attempts(&self, id: BuildId) -> Option<String> {
        let open: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM attempts WHERE build_id = $1 AND state IN ('pending', 'running')",
        )
        .bind(id.0)
        .fetch_one(&self.sql)
        .await
        .expect("the attempts can be read");
        (open > 0).then(|| format!("{open} of its attempts never ended"))
    }

    /// The retries are the Job's own count, once it has made up its mind. A Job that is being deleted counts on until it
    /// is gone, so that a cancelled build may have fewer.
    async fn wrong_retries(&self, id: BuildId, state: State, job: &Entry<Job>) -> Option<String> {
        let status = job.last.status.as_ref()?;
        let conditions = status.conditions.as_deref().unwrap_or_default();
        let ended = |name: &str| {
            conditions
                .iter()
                .any(|one| one.type_ == name && one.status == "True")
        };
        if !ended("Complete") && !ended("Failed") {
            return None;
        }
        let retries: i32 = sqlx::query_scalar("SELECT retries FROM builds WHERE id = $1")
            .bind(id.0)
            .fetch_one(&self.sql)
            .await
            .expect("the row can be read");
        let failed = status.failed.unwrap_or(0);
        let right = retries == failed || (state == State::Cancelled && retries < failed);
        (!right).then(|| format!("{retries} retries, and the Job counts {failed}"))
    }

    /// The log of the attempt that succeeded is whole: each mark once, in order.
    async fn wrong_log(&self, id: BuildId) -> Option<String> {
        let log = async || {
            let address = format!("api/v1/builds/{id}/logs");
            let service = self
                .replicas
                .iter()
                .find(|replica| replica.service.pid().is_some())?;
            let (status, text) = service.service.try_get(&address).await.ok()?;
            let complete: bool = sqlx::query_scalar(
                "SELECT complete FROM logs WHERE build_id = $1 AND attempt = (
                    SELECT name FROM attempts WHERE build_id = $1 ORDER BY number DESC LIMIT 1)",
            )
            .bind(id.0)
            .fetch_optional(&self.sql)
            .await
            .ok()??;
            (complete && status == 200).then(|| text.as_str().unwrap_or_default().to_owned())
        };
        let log = self.until(&format!("the whole log of {id}"), LATE, log).await;
        let marks: Vec<&str> = log.lines().filter(|line| line.starts_with("mark ")).collect();
        let wanted: Vec<String> = (0..MARKS).map(|number| format!("mark {number}")).collect();
        (marks != wanted).then(|| format!("its log has the marks {marks:?}"))
    }

    /// It is cancelled only once its pod is gone.
    async fn wrong_cancel(&self, id: BuildId) -> Option<String> {
        let at: jiff_sqlx::Timestamp =
            sqlx::query_scalar("SELECT at FROM build_events WHERE build_id = $1 AND state = 'cancelled'")
                .bind(id.0)
                .fetch_one(&self.sql)
                .await
                .expect("the event can be read");
        let at: Timestamp = at.to_jiff();
        let late = |pod: &Entry<Pod>| finished_at(&pod.last).is_some_and(|end| end > at) || !pod.gone;
        let pods: Vec<String> = self
            .ledger
            .pods(id)
            .iter()
            .filter(|pod| late(pod))
            .map(|pod| pod.last.name_any())
            .collect();
        (!pods.is_empty()).then(|| format!("cancelled at {at}, and still there: {}", pods.join(", ")))
    }
}
