//! Computes the delays before requests to a service that does not answer.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use super::ClientError;

/// Time after which a follower gives up on a service that does not answer.
pub(super) const LIMIT: Duration = Duration::from_secs(300);

/// Delays between tries; they grow until there is progress, and end after a limit.
pub(super) struct Patience {
    limit: Duration,
    lost_since: Option<Instant>,
    waits: ExponentialBackoff,
}

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            lost_since: None,
            waits: waits(),
        }
    }

    /// Records a failed try, and returns the delay before the next one, or the error if none should follow.
    pub(super) fn failed(&mut self, error: ClientError) -> Result<Duration, ClientError> {
        let since = *self.lost_since.get_or_insert_with(Instant::now);
        if !error.is_transient() || since.elapsed() >= self.limit {
            return Err(error);
        }
        let wait = self.pause();
        Ok(error.retry_after().map_or(wait, |asked| wait.max(asked)))
    }

    /// Returns the next delay, for cases in which nothing is known to have failed.
    pub(super) fn pause(&mut self) -> Duration {
        self.waits
            .next()
            .expect("the waits go on until they are begun anew")
    }

    /// Records that the service answers.
    pub(super) fn answered(&mut self) {
        self.lost_since = None;
    }

    /// Records progress, and begins with short delays again.
    pub(super) fn progressed(&mut self) {
        self.lost_since = None;
        self.waits = waits();
    }

    /// Returns true if a try has failed since the service last answered.
    pub(super) fn is_lost(&self) -> bool {
        self.lost_since.is_some()
    }
}

fn waits() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .without_max_times()
        .with_jitter()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::base_url;

    fn gone() -> ClientError {
        ClientError::Unreachable {
            server: base_url("http://127.0.0.1:1").expect("an address"),
            cause: "connection refused".to_owned(),
            connecting: true,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_service_is_waited_for_up_to_the_limit() {
        let mut patience = Patience::new(Duration::from_secs(60));
        let begun = Instant::now();
        while let Ok(wait) = patience.failed(gone()) {
            assert!(wait <= Duration::from_secs(10), "{wait:?}");
            tokio::time::advance(wait).await;
        }
        assert!(
            (60..71).contains(&begun.elapsed().as_secs()),
            "{:?}",
            begun.elapsed()
        );
        patience.answered();
        assert!(patience.failed(gone()).is_ok(), "an answer begins it anew");
    }

    #[test]
    fn what_no_waiting_mends_is_said_at_once() {
        let foreign = ClientError::Foreign {
            status: 404,
            detail: "Not Found".to_owned(),
        };
        assert!(Patience::new(Duration::from_secs(60)).failed(foreign).is_err());
    }
}
