//! Waiting for what the service records: as soon as it is there, and no longer than patience lasts.

use std::time::Duration;

use slipway::domain::{Attempt, Build, BuildId};

use crate::{puppet::chronicle::PATIENCE, puppet::world::World};

impl World {
    /// Waits until a build's row is as expected.
    pub async fn until(&self, id: BuildId, what: &str, accept: impl Fn(&Build) -> bool) -> Build {
        let found = self.until_some(async || Some(self.build(id).await).filter(|build| accept(build)));
        match found.await {
            Some(build) => build,
            None => panic!(
                "waited in vain until {what}: {:?} {:?}",
                self.build(id).await,
                self.attempts(id).await
            ),
        }
    }

    pub async fn until_ended(&self, id: BuildId) -> Build {
        self.until(id, "it has ended", |build| build.state.is_terminal())
            .await
    }

    /// Waits until an attempt of a build is as expected.
    pub async fn until_attempt(&self, id: BuildId, what: &str, accept: impl Fn(&Attempt) -> bool) -> Attempt {
        let found = self.until_some(async || self.attempts(id).await.into_iter().find(&accept));
        match found.await {
            Some(attempt) => attempt,
            None => panic!("waited in vain until {what}: {:?}", self.attempts(id).await),
        }
    }

    /// Waits until the log of an attempt is as expected.
    pub async fn until_log(&self, id: BuildId, attempt: u32, accept: impl Fn(&str, bool) -> bool) -> String {
        let found = self.until_some(async || {
            let (text, whole) = self.log(id, attempt).await;
            accept(&text, whole).then_some(text)
        });
        match found.await {
            Some(text) => text,
            None => panic!(
                "waited in vain for the log; there is {:?}",
                self.log(id, attempt).await
            ),
        }
    }

    /// Whether the log of an attempt becomes this one, byte for byte: it is stored beside the build's end, not before it.
    pub async fn keeps_log(&self, id: BuildId, attempt: u32, printed: &[u8]) -> bool {
        let kept = self.until_some(async || {
            let (text, _) = self.log(id, attempt).await;
            (text.as_bytes() == printed).then_some(())
        });
        kept.await.is_some()
    }

    /// Waits until something else is true.
    pub async fn until_true(&self, what: &str, look: impl AsyncFn() -> bool) {
        let found = self.until_some(async || look().await.then_some(())).await;
        assert!(found.is_some(), "waited in vain until {what}");
    }

    async fn until_some<T>(&self, look: impl AsyncFn() -> Option<T>) -> Option<T> {
        let waiting = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                self.works();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.ok()
    }

    /// Waits until a build is as expected for that long, without a moment in which it is not.
    pub async fn stays(&self, id: BuildId, span: Duration, accept: impl Fn(&Build) -> bool) {
        let end = tokio::time::Instant::now() + span;
        while tokio::time::Instant::now() < end {
            let build = self.build(id).await;
            assert!(accept(&build), "{build:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
