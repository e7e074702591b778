//! Claims as many queued builds as there are free slots, and creates their Jobs (queued to running).

use std::time::{Duration, Instant};

use futures::future::join_all;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{Dispatcher, backoff, failures, masked::mask};
use crate::{
    domain::{
        BuildId, BuildSpec, ContextId, Failure, ProjectSettings, State,
        log::{CONTEXT_TOKEN, Masker},
    },
    launcher::{ContextGrant, LaunchError, Launched, Order},
    store::{Claim, StoreError, Topic},
};

/// Upper bound of builds in one claim. Claims of 64 reduce the throughput of a long queue by a seventh.
const BATCH: u32 = 128;
/// Number of tries of a launch that the backend refuses: an admission webhook, for example, may admit the
/// next one.
const REFUSALS: u32 = 3;
/// Deadline of the check that the launcher's backend answers.
const READY: Duration = Duration::from_secs(10);
/// Interval between two searches for expired leases. A wait for queued builds ends at least this often.
const LEASES: Duration = Duration::from_secs(1);
/// Longest time that a claim waits for half of the launches to end.
const HALF: Duration = Duration::from_millis(50);
/// Divisor of the lease: a launch is given up when this part of the lease (a quarter) is left.
const LEASE_MARGIN: u32 = 4;

impl Dispatcher {
    /// Claims and launches until `soft`.
    pub(super) async fn run_claims(&self, soft: &CancellationToken) {
        let mut turn = Turn::default();
        let mut wakeup = self.store().wakeup(Topic::Queue);
        while !soft.is_cancelled() {
            let next = self.claim_and_spawn(&mut turn).await;
            let pause = async {
                match next {
                    Next::Again => {}
                    Next::WhenWoken => wakeup.wait().await,
                    Next::After(delay) => tokio::time::sleep(delay).await,
                }
            };
            tokio::select! {
                () = pause => {}
                () = soft.cancelled() => {}
            }
        }
    }

    async fn claim_and_spawn(&self, turn: &mut Turn) -> Next {
        let limit = self.room(turn.more).await;
        // Read after the wait, during which launches may have failed.
        let refusals = self.0.gate.failures();
        if refusals > 0 && !self.answers().await {
            self.0.gate.trip();
            return Next::After(backoff::delay(refusals));
        }
        match self.claim_in_turn(turn, limit).await {
            Ok(()) => {
                turn.failed = 0;
                self.store().keep_lanes().await;
                if turn.more { Next::Again } else { Next::WhenWoken }
            }
            Err(error) => {
                if turn.failed == 0 {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "no builds can be claimed; trying again"
                    );
                }
                turn.failed += 1;
                Next::After(backoff::delay(turn.failed))
            }
        }
    }

    /// Claims up to `limit` queued builds and, if the search is due, launching builds whose lease has
    /// expired; spawns their launches.
    async fn claim_in_turn(&self, turn: &mut Turn, limit: u32) -> Result<(), StoreError> {
        let now = Instant::now();
        let due = turn
            .leases
            .is_none_or(|looked| now.duration_since(looked) >= LEASES);
        // In a long queue, expired leases are claimed together with queued builds, or they would never be
        // claimed. If the last claim emptied the queue, new builds are claimed first and do not wait for the
        // search.
        let first = due && turn.more;
        let claims = self.claim(limit, first).await?;
        let left = limit.saturating_sub(u32::try_from(claims.len()).unwrap_or(u32::MAX));
        turn.more = left == 0;
        self.spawn_launches(claims).await;
        if due && !first && left > 0 {
            let claims = self.store().claim_expired(self.options().lease, left).await?;
            self.spawn_launches(counted(claims)).await;
        } else if !first {
            return Ok(());
        }
        turn.leases = Some(now);
        Ok(())
    }

    /// Waits until a launch may begin. Returns how many builds may be claimed.
    ///
    /// If more builds are queued than the last claim took, it first waits for half of all launches to end.
    /// Otherwise builds would be claimed and recorded a few at a time, and one statement costs as much as
    /// about ten builds in it.
    async fn room(&self, more: bool) -> u32 {
        let launches = &self.0.launches;
        if more {
            let half = u32::try_from(underway(self.options().launches) / 2).unwrap_or(BATCH);
            // The timeout keeps slow launches from delaying the others.
            drop(tokio::time::timeout(HALF, launches.acquire_many(half)).await);
        }
        drop(launches.acquire().await);
        // Launches are recorded in group commits: after this yield, the other launches of the same commit
        // have ended, too.
        tokio::task::yield_now().await;
        let free = launches.available_permits().max(1);
        u32::try_from(free).unwrap_or(BATCH).min(BATCH)
    }

    async fn answers(&self) -> bool {
        matches!(
            tokio::time::timeout(READY, self.launcher().ready()).await,
            Ok(Ok(()))
        )
    }

    /// Claims and launches once, and waits until the launches have ended. Returns the number of launches.
    ///
    /// # Errors
    /// When a store call fails.
    pub async fn claim_once(&self) -> Result<usize, StoreError> {
        let claims = self.claim(BATCH, true).await?;
        let count = claims.len();
        join_all(claims.into_iter().map(|claim| self.launch(claim))).await;
        self.store().keep_lanes().await;
        Ok(count)
    }

    /// Claims queued builds and, if `leases` is true, also launching builds whose lease has expired.
    async fn claim(&self, limit: u32, leases: bool) -> Result<Vec<Claim>, StoreError> {
        let (store, slots, lease) = (self.store(), self.options().slots, self.options().lease);
        let claims = match leases {
            true => store.claim(slots, lease, limit).await?,
            false => store.claim_queued(slots, lease, limit).await?,
        };
        Ok(counted(claims))
    }

    async fn spawn_launches(&self, claims: Vec<Claim>) {
        for claim in claims {
            let permit = self.0.launches.clone().acquire_owned().await;
            let this = self.clone();
            self.0.tasks.spawn(async move {
                this.launch(claim).await;
                drop(permit);
            });
        }
    }

    /// Creates a claimed build's Job and records the result.
    pub(super) async fn launch(&self, claim: Claim) {
        let (began, underway) = (Instant::now(), self.0.underway.begin(claim.id));
        let ended = self.try_launch(&claim).await;
        let seconds = began.elapsed().as_secs_f64();
        let result = match &ended {
            Ok(Launched { adopted: true, .. }) => "adopted",
            Ok(_) => "created",
            Err(LaunchError::Unavailable(_)) => "unavailable",
            Err(LaunchError::NameConflict(_)) => "name_conflict",
            Err(LaunchError::Refused(_)) => "refused",
        };
        metrics::counter!("slipway_launches_total", "result" => result).increment(1);
        metrics::histogram!("slipway_launch_seconds").record(seconds);
        let recorded = match ended {
            Ok(launched) => self.record_launch(&claim, &launched, seconds).await,
            Err(error) => self.record_no_launch(&claim, error).await,
        };
        if let Err(error) = recorded {
            // The lease expires, and the next claim of the build finds its Job.
            tracing::warn!(build.id = %claim.id, error = &error as &dyn std::error::Error, "a launch could not be recorded");
        }
        // The observer ignores changes of the Job during the launch, so an observation is requested now.
        drop(underway);
        self.nudge(claim.id);
    }

    async fn try_launch(&self, claim: &Claim) -> Result<Launched, LaunchError> {
        let patience = self.options().lease - self.options().lease / LEASE_MARGIN;
        let attempt = async {
            let order = self.order(claim.id, claim.spec.clone()).await?;
            let _call = self.0.calls.acquire().await;
            self.launcher().launch(&order).await
        };
        match tokio::time::timeout(patience, attempt).await {
            Ok(ended) => ended,
            Err(_) => Err(LaunchError::Unavailable("no answer within the lease".to_owned())),
        }
    }

    async fn record_launch(
        &self,
        claim: &Claim,
        launched: &Launched,
        seconds: f64,
    ) -> Result<(), StoreError> {
        self.0.gate.open();
        if self
            .store()
            .launched(claim.id, claim.token, &launched.external_id)
            .await?
        {
            tracing::info!(
                build.id = %claim.id, job.name = claim.id.job_name(), adopted = launched.adopted,
                duration_ms = seconds * 1000.0, "launched"
            );
            return Ok(());
        }
        // Either another replica holds the claim now and has adopted the Job, or the build was cancelled
        // meanwhile, or this process stood still for so long that another one has recorded the build's end.
        let build = self.store().build(claim.id).await?;
        let unwanted = build.is_some_and(|build| match build.state {
            State::Cancelling | State::Cancelled | State::Superseded => true,
            state => state.is_terminal() && !launched.adopted,
        });
        if unwanted {
            tracing::info!(build.id = %claim.id, "cancelled, or ended, while it was being launched");
            self.remove(claim.id).await;
            self.store().wake(Topic::Cancel);
        }
        Ok(())
    }

    async fn record_no_launch(&self, claim: &Claim, error: LaunchError) -> Result<(), StoreError> {
        let mut failure = match error {
            LaunchError::Unavailable(why) => {
                self.0.gate.trip();
                tracing::warn!(build.id = %claim.id, launches = claim.launches, why, "a launch did not come about; it is tried again");
                return self.try_later(claim).await;
            }
            LaunchError::Refused(why) if claim.launches + 1 < REFUSALS => {
                tracing::warn!(build.id = %claim.id, launches = claim.launches, why, "a launch was refused; it is tried again");
                return self.try_later(claim).await;
            }
            LaunchError::NameConflict(name) => failures::name_conflict(&name),
            LaunchError::Refused(why) => failures::launch_refused(&why),
        };
        mask(
            &Masker::of_build(self.options().secrets.clone(), &claim.spec),
            &mut failure,
        );
        if self
            .store()
            .launch_failed(claim.id, claim.token, &failure)
            .await?
        {
            log_failure(claim.id, &failure);
        }
        Ok(())
    }

    async fn try_later(&self, claim: &Claim) -> Result<(), StoreError> {
        let delay = backoff::delay(claim.launches);
        self.store().release(claim.id, claim.token, delay).await?;
        Ok(())
    }

    /// Collects everything that a launcher needs for a build. For an uploaded context it creates a new token
    /// to read it.
    pub(super) async fn order(&self, id: BuildId, spec: BuildSpec) -> Result<Order, LaunchError> {
        let context = match spec.source.context_id() {
            Some(context) => Some(self.grant(id, context).await?),
            None => None,
        };
        let settled = self.store().project_settings(&spec.project).await;
        let settled = settled.map_err(|error| LaunchError::Unavailable(error.to_string()))?;
        Ok(Order {
            id,
            spec,
            project: ProjectSettings::clone(&settled.settings),
            context,
        })
    }

    async fn grant(&self, build: BuildId, context: ContextId) -> Result<ContextGrant, LaunchError> {
        let unavailable = |error: StoreError| LaunchError::Unavailable(error.to_string());
        let stored = self.store().context(context).await.map_err(unavailable)?;
        let stored = stored.ok_or_else(|| LaunchError::Refused(format!("the context {context} is gone")))?;
        let token = format!("{CONTEXT_TOKEN}{}", hex::encode(rand::random::<[u8; 32]>()));
        let sha256 = Sha256::digest(&token).into();
        self.store()
            .grant_context(context, build, sha256)
            .await
            .map_err(unavailable)?;
        let path = format!("api/v1/contexts/{context}/content");
        let url = self
            .options()
            .internal_url
            .join(&path)
            .expect("an id makes a valid path");
        Ok(ContextGrant {
            url,
            token: SecretString::from(token),
            sha256: stored.sha256,
            size: stored.size,
        })
    }
}

/// Returns the upper bound of builds between their claim and the record of their launch, for `launches`
/// concurrent launcher calls: meanwhile the next builds are claimed and the last ones are recorded.
pub(super) const fn underway(launches: usize) -> usize {
    4 * launches
}

fn counted(claims: Vec<Claim>) -> Vec<Claim> {
    metrics::counter!("slipway_claims_total").increment(claims.len() as u64);
    claims
}

/// State of the claim loop after its last claim.
#[derive(Default)]
struct Turn {
    /// Number of claims that failed in a row.
    failed: u32,
    /// `true` if the last claim reached its limit: more builds are probably queued.
    more: bool,
    /// Time of the last search for expired leases.
    leases: Option<Instant>,
}

/// Next action of the claim loop.
enum Next {
    Again,
    WhenWoken,
    After(Duration),
}

/// Logs and counts a failed build. No other place logs it.
pub(super) fn log_failure(id: BuildId, failure: &Failure) {
    let class = failure.reason.class().as_str();
    metrics::counter!("slipway_builds_finished_total", "state" => "failed", "reason" => failure.reason.as_str(), "class" => class)
        .increment(1);
    tracing::info!(
        build.id = %id, reason = failure.reason.as_str(), class, exit_code = failure.exit_code,
        message = failure.message, "failed"
    );
}
