//! Watches a build for changes.

use std::time::Duration;

use reqwest::{StatusCode, header};

use super::POLL;
use crate::{
    client::{
        Build, Client, ClientError, Json,
        patience::{self, Patience},
    },
    domain::BuildId,
};

/// Time for which the service is asked to hold a request until the build changes.
const WAIT: Duration = Duration::from_secs(25);
/// Time limit for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Watch of a build. A state that ends before the next request can be missed.
pub struct BuildWatch {
    client: Client,
    id: BuildId,
    tag: Option<String>,
    patience: Patience,
}

impl BuildWatch {
    /// Creates a watch. Sends nothing yet.
    pub fn new(client: Client, id: BuildId) -> Self {
        Self {
            client,
            id,
            tag: None,
            patience: Patience::new(patience::LIMIT),
        }
    }

    /// Returns the build: at once the first time, and then whenever it has changed.
    pub async fn next(&mut self) -> Result<Json<Build>, ClientError> {
        loop {
            match self.ask().await {
                Ok(Some(build)) => {
                    self.patience.progressed();
                    return Ok(build);
                }
                Ok(None) => self.patience.progressed(),
                Err(error) => tokio::time::sleep(self.patience.failed(error)?).await,
            }
        }
    }

    /// Requests the build; `None` if it has not changed.
    async fn ask(&mut self) -> Result<Option<Json<Build>>, ClientError> {
        let request = self.client.build_unless(self.id, self.tag.as_deref(), WAIT);
        let response = request
            .timeout(ANSWER_TIMEOUT)
            .send()
            .await
            .map_err(|error| ClientError::unreachable(self.client.server(), &error))?;
        if response.status() == StatusCode::NOT_MODIFIED {
            // An older service answers at once, without holding the request.
            if !response.headers().contains_key("preference-applied") {
                tokio::time::sleep(POLL).await;
            }
            return Ok(None);
        }
        if !response.status().is_success() {
            return Err(ClientError::of_answer(response).await);
        }
        let tag = response.headers().get(header::ETAG);
        let tag = tag.and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let build = self.client.read_json(response).await?;
        if tag.is_none() {
            tokio::time::sleep(POLL).await;
        }
        self.tag = tag;
        Ok(Some(build))
    }
}
