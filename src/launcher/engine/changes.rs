//! Stream of builds to observe, from the engine's events and from the agenda.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bollard::{Docker, errors::Error, models::EventMessage, query_parameters::EventsOptionsBuilder};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use jiff::{SignedDuration, Timestamp};
use tokio::time::MissedTickBehavior;
use tracing::{debug, warn};

use super::{Engine, agenda::Agenda, connect, engine_error, labels};
use crate::{domain::Clock, launcher::Change};

/// Interval at which the agenda is read.
const TICK: Duration = Duration::from_millis(500);

/// First pause after the event stream broke off; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Time before a subscription from which events are repeated, so that none is lost between the subscription
/// and the first observation.
const OVERLAP: SignedDuration = SignedDuration::from_secs(30);

/// Merges the engine's events with the observations that are due.
pub fn changes(engine: &Engine) -> BoxStream<'static, Change> {
    let watch = Watch {
        host: engine.options.host.clone(),
        instance: engine.options.instance.clone(),
        clock: Arc::clone(&engine.clock),
        events: None,
        pause: FIRST_PAUSE,
    };
    let events = stream::unfold(
        watch,
        |mut watch| async move { Some((watch.next().await, watch)) },
    );
    stream::select(events, due(Arc::clone(&engine.agenda), Arc::clone(&engine.clock))).boxed()
}

fn due(agenda: Arc<Agenda>, clock: Arc<dyn Clock>) -> BoxStream<'static, Change> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold((ticks, agenda, clock), |(mut ticks, agenda, clock)| async move {
        ticks.tick().await;
        let due: Vec<Change> = agenda.due(clock.now()).into_iter().map(Change::Build).collect();
        Some((stream::iter(due), (ticks, agenda, clock)))
    })
    .flatten()
    .boxed()
}

/// Subscription to the engine's events, which is renewed whenever it breaks off.
struct Watch {
    host: Option<String>,
    instance: String,
    clock: Arc<dyn Clock>,
    events: Option<BoxStream<'static, Result<EventMessage, Error>>>,
    pause: Duration,
}

impl Watch {
    async fn next(&mut self) -> Change {
        loop {
            let Some(events) = &mut self.events else {
                // A separate connection: the engine may have another version after its restart.
                match connect(self.host.as_deref()).await {
                    Ok(docker) => {
                        self.events = Some(subscribe(&docker, &self.instance, self.clock.now()));
                        return Change::Everything;
                    }
                    Err(error) => self.rest(&engine_error::words(&error)).await,
                }
                continue;
            };
            match events.next().await {
                Some(Ok(event)) => {
                    self.pause = FIRST_PAUSE;
                    let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
                    if let Some(build) = labels::build_of(&attributes) {
                        debug!(build.id = %build, action = event.action, "the engine announces a change");
                        return Change::Build(build);
                    }
                }
                Some(Err(error)) => self.rest(&engine_error::words(&error)).await,
                None => self.rest("the stream has ended").await,
            }
        }
    }

    async fn rest(&mut self, reason: &str) {
        self.events = None;
        warn!(reason, "no events from the container engine");
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

fn subscribe(
    docker: &Docker,
    instance: &str,
    now: Timestamp,
) -> BoxStream<'static, Result<EventMessage, Error>> {
    let mut filters: HashMap<String, Vec<String>> = labels::ours(instance);
    filters.insert("type".to_owned(), vec!["container".to_owned()]);
    let actions = ["create", "start", "die", "destroy"].map(str::to_owned);
    filters.insert("event".to_owned(), actions.into());
    let since = now.checked_sub(OVERLAP).unwrap_or(now).as_second().to_string();
    docker
        .events(Some(
            EventsOptionsBuilder::new()
                .since(&since)
                .filters(&filters)
                .build(),
        ))
        .boxed()
}
