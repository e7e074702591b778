//! Creates the configured launcher, and probes it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    api::Condition,
    config::{LauncherKind, ServeArgs},
    domain::SystemClock,
    launcher::{Launcher, engine::Engine, kubernetes::Kubernetes, noop::Noop},
};

/// Interval of the probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// Time limit of a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Creates the launcher. The cluster or engine need not answer yet.
pub(super) async fn make(args: &ServeArgs) -> Result<Arc<dyn Launcher>> {
    Ok(match args.launcher {
        LauncherKind::Kubernetes => {
            let options = args.kubernetes.options(&args.kaniko, &args.dispatch);
            let kubernetes = Kubernetes::connect(options).await;
            Arc::new(
                kubernetes
                    .context("--launcher=kubernetes (for containers on this machine: --launcher=engine)")?,
            )
        }
        LauncherKind::Engine => {
            let http = reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(Duration::from_secs(10))
                .read_timeout(Duration::from_secs(60))
                .build()
                .context("the HTTP client cannot be made")?;
            let options = args.engine.options(&args.kaniko);
            Arc::new(Engine::new(options, http, Arc::new(SystemClock)).context("--engine-host")?)
        }
        LauncherKind::None => {
            tracing::warn!("--launcher=none: nothing is built; every build is recorded as succeeded");
            Arc::new(Noop::default())
        }
    })
}

/// Probes the launcher until `stop`, and reports its condition to `/readyz`.
pub(super) async fn probe(
    launcher: Arc<dyn Launcher>,
    condition: watch::Sender<Condition>,
    stop: CancellationToken,
) {
    loop {
        let now = match tokio::time::timeout(PROBE_TIMEOUT, launcher.ready()).await {
            Ok(Ok(())) => Condition::Ready,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the launcher does not answer");
                Condition::Degraded("the launcher does not answer; builds wait".to_owned())
            }
            Err(_) => Condition::Degraded("the launcher does not answer in time; builds wait".to_owned()),
        };
        condition.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                tracing::info!(condition = ?now, "the launcher's readiness");
                *before = now;
            }
            changed
        });
        tokio::select! {
            () = tokio::time::sleep(PROBE_INTERVAL) => {}
            () = stop.cancelled() => return,
        }
    }
}
