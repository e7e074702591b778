//! Follows the events of a build.

use std::collections::VecDeque;

use reqwest::Method;

use super::POLL;
use crate::{
    client::{
        Client, ClientError, Event,
        patience::{self, Patience},
        sse::{Signal, Subscription},
    },
    domain::BuildId,
};

/// Item of a build's stream of events.
#[derive(Debug)]
pub enum EventItem {
    /// An event, parsed and as the service wrote it.
    Event(Event, String),
    /// The service cannot be reached; the follower tries again.
    Lost(String),
    /// The service can be reached again.
    Resumed,
}

/// Follows the events of a build, from the first to the last.
pub struct EventFollower {
    client: Client,
    id: BuildId,
    seen: i64,
    ended: bool,
    subscription: Option<Subscription>,
    /// Backoff of the requests that replace a subscription.
    patience: Patience,
    waiting: VecDeque<(Event, String)>,
}

impl EventFollower {
    /// Creates a follower. Sends nothing yet.
    pub fn new(client: Client, id: BuildId) -> Self {
        Self {
            subscription: Some(Subscription::new(client.clone(), patience::LIMIT)),
            client,
            id,
            seen: 0,
            ended: false,
            patience: Patience::new(patience::LIMIT),
            waiting: VecDeque::new(),
        }
    }

    /// Returns the next item; `None` after the event that ends the build.
    pub async fn next(&mut self) -> Result<Option<EventItem>, ClientError> {
        loop {
            if let Some((event, text)) = self.waiting.pop_front() {
                if event.id <= self.seen {
                    continue;
                }
                self.seen = event.id;
                self.ended |= event.state.is_terminal();
                return Ok(Some(EventItem::Event(event, text)));
            }
            if self.ended {
                return Ok(None);
            }
            if let Some(item) = self.wait().await? {
                return Ok(Some(item));
            }
        }
    }

    async fn wait(&mut self) -> Result<Option<EventItem>, ClientError> {
        let Some(subscription) = &mut self.subscription else {
            return self.poll().await.map(|()| None);
        };
        let (id, seen) = (self.id, self.seen);
        let signal = subscription
            .next(|client| {
                let request = client.request(Method::GET, &format!("builds/{id}/events"), &[]);
                if seen == 0 {
                    return request;
                }
                request.header("Last-Event-ID", seen)
            })
            .await?;
        match signal {
            Signal::Event(event) if event.event == "state" => self.take(event.data)?,
            Signal::Event(event) if event.event == "end" => self.ended = true,
            Signal::Event(_) => {}
            Signal::Lost(why) => return Ok(Some(EventItem::Lost(why))),
            Signal::Resumed => return Ok(Some(EventItem::Resumed)),
            Signal::Unsupported => self.subscription = None,
        }
        Ok(None)
    }

    fn take(&mut self, text: String) -> Result<(), ClientError> {
        self.waiting.push_back((Event::read(&text)?, text));
        Ok(())
    }

    async fn poll(&mut self) -> Result<(), ClientError> {
        match self.client.events(self.id).await {
            Ok(answer) => {
                self.patience.progressed();
                for event in answer.value.events {
                    self.take(event.get().to_owned())?;
                }
                if self.waiting.iter().all(|(event, _)| event.id <= self.seen) {
                    tokio::time::sleep(POLL).await;
                }
            }
            Err(error) => tokio::time::sleep(self.patience.failed(error)?).await,
        }
        Ok(())
    }
}
