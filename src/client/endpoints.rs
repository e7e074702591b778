//! `/api/v1/endpoints`.

use jiff::Timestamp;
use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Client, ClientError, Json};
use crate::domain::{BuildId, EndpointId, ProjectName};

/// An endpoint.
#[derive(Debug, Clone, Deserialize)]
pub struct Endpoint {
    /// Its identifier.
    pub id: EndpointId,
    /// Whose builds it is told of.
    pub project: String,
    /// What is called.
    pub url: String,
    /// What it is told of.
    pub events: Vec<String>,
    /// How bodies are written.
    pub format: String,
    /// Whether it is told of anything.
    pub enabled: bool,
    /// Why the service disabled it.
    pub disabled_reason: Option<String>,
    /// Since when it took nothing.
    pub failing_since: Option<Timestamp>,
    /// Its secret, where it was just made.
    pub secret: Option<SecretString>,
}

/// A page of endpoints.
#[derive(Debug, Clone, Deserialize)]
pub struct Endpoints {
    /// Oldest first.
    pub endpoints: Vec<Endpoint>,
    /// Where the page ended.
    pub next_cursor: Option<String>,
}

/// One message to an endpoint.
#[derive(Debug, Clone, Deserialize)]
pub struct Notification {
    /// Its number.
    pub id: i64,
    /// What it tells of.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which build; none for a test.
    pub build_id: Option<BuildId>,
    /// When what it tells of happened.
    pub at: Timestamp,
    /// `waiting`, `delivered` or `failed`.
    pub state: String,
    /// Every try, oldest first.
    pub tries: Vec<Try>,
}

/// One try to deliver a notification.
#[derive(Debug, Clone, Deserialize)]
pub struct Try {
    /// How long it took.
    pub duration_ms: u64,
    /// The answer's status, where there was one.
    pub status: Option<u16>,
    /// Why it does not count as taken.
    pub error: Option<String>,
}

/// A page of notifications.
#[derive(Debug, Clone, Deserialize)]
pub struct Notifications {
    /// Newest first.
    pub notifications: Vec<Notification>,
    /// Where the page ended.
    pub next_cursor: Option<i64>,
}

impl Client {
    /// Makes an endpoint of this description.
    pub async fn create_endpoint(&self, endpoint: &Value) -> Result<Json<Endpoint>, ClientError> {
        self.json(self.request(Method::POST, "endpoints", &[]).json(endpoint))
            .await
    }

    /// A page of a project's endpoints, those after `cursor`.
    pub async fn endpoints(
        &self,
        project: Option<&ProjectName>,
        cursor: Option<&str>,
    ) -> Result<Json<Endpoints>, ClientError> {
        let mut query = vec![("limit", "100".to_owned())];
        query.extend(project.map(|project| ("project", project.to_string())));
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.json(self.request(Method::GET, "endpoints", &query)).await
    }

    /// One endpoint.
    pub async fn endpoint(&self, id: EndpointId) -> Result<Json<Endpoint>, ClientError> {
        self.json(self.request(Method::GET, &format!("endpoints/{id}"), &[]))
            .await
    }

    /// Changes what this names of an endpoint.
    pub async fn change_endpoint(
        &self,
        id: EndpointId,
        change: &Value,
    ) -> Result<Json<Endpoint>, ClientError> {
        let request = self.request(Method::PATCH, &format!("endpoints/{id}"), &[]);
        self.json(request.json(change)).await
    }

    /// Removes an endpoint.
    pub async fn remove_endpoint(&self, id: EndpointId) -> Result<(), ClientError> {
        self.done(self.request(Method::DELETE, &format!("endpoints/{id}"), &[]))
            .await
    }

    /// Gives an endpoint a new secret.
    pub async fn rotate_endpoint_secret(
        &self,
        id: EndpointId,
        rotation: &Value,
    ) -> Result<Json<Endpoint>, ClientError> {
        let request = self.request(Method::POST, &format!("endpoints/{id}/rotate"), &[]);
        self.json(request.json(rotation)).await
    }

    /// Tells an endpoint of nothing, to try it.
    pub async fn test_endpoint(&self, id: EndpointId) -> Result<Json<Notification>, ClientError> {
        let request = self.request(Method::POST, &format!("endpoints/{id}/test"), &[]);
        self.json(request.json(&json!({}))).await
    }

    /// A page of what an endpoint was told, at most `limit`, before `cursor`.
    pub async fn notifications(
        &self,
        id: EndpointId,
        limit: u8,
        cursor: Option<i64>,
    ) -> Result<Json<Notifications>, ClientError> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_string())));
        self.json(self.request(Method::GET, &format!("endpoints/{id}/notifications"), &query))
            .await
    }

    /// One of them.
    pub async fn notification(&self, id: EndpointId, number: i64) -> Result<Json<Notification>, ClientError> {
        let path = format!("endpoints/{id}/notifications/{number}");
        self.json(self.request(Method::GET, &path, &[])).await
    }

    /// Sends one of them once more.
    pub async fn redeliver(&self, id: EndpointId, number: i64) -> Result<Json<Notification>, ClientError> {
        let path = format!("endpoints/{id}/notifications/{number}/redeliver");
        self.json(self.request(Method::POST, &path, &[]).json(&json!({})))
            .await
    }
}
