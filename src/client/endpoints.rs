//! Requests to `/api/v1/endpoints`.

use jiff::Timestamp;
use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Client, ClientError, Json};
use crate::domain::{BuildId, EndpointId, ProjectName};

/// A webhook endpoint.
#[derive(Debug, Clone, Deserialize)]
pub struct Endpoint {
    /// Identifier.
    pub id: EndpointId,
    /// Project whose builds it is notified of.
    pub project: String,
    /// Address to call.
    pub url: String,
    /// Types of the events to send.
    pub events: Vec<String>,
    /// Format of bodies.
    pub format: String,
    /// `true` if notifications are sent.
    pub enabled: bool,
    /// Reason why the service disabled it.
    pub disabled_reason: Option<String>,
    /// Time since which all delivery attempts have failed.
    pub failing_since: Option<Timestamp>,
    /// Secret, in the answer to its creation or rotation.
    pub secret: Option<SecretString>,
}

/// A page of webhook endpoints.
#[derive(Debug, Clone, Deserialize)]
pub struct Endpoints {
    /// Webhook endpoints, oldest first.
    pub endpoints: Vec<Endpoint>,
    /// Cursor of the next page.
    pub next_cursor: Option<String>,
}

/// One message to a webhook endpoint.
#[derive(Debug, Clone, Deserialize)]
pub struct Notification {
    /// Number.
    pub id: i64,
    /// Type of its event.
    #[serde(rename = "type")]
    pub kind: String,
    /// Build of the event; none for a test.
    pub build_id: Option<BuildId>,
    /// Time of the event.
    pub at: Timestamp,
    /// `waiting`, `delivered` or `failed`.
    pub state: String,
    /// Delivery attempts, oldest first.
    pub tries: Vec<Try>,
}

/// One delivery attempt of a notification.
#[derive(Debug, Clone, Deserialize)]
pub struct Try {
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Status of the answer, if there was one.
    pub status: Option<u16>,
    /// Reason of the failure.
    pub error: Option<String>,
}

/// A page of notifications.
#[derive(Debug, Clone, Deserialize)]
pub struct Notifications {
    /// Notifications, newest first.
    pub notifications: Vec<Notification>,
    /// Cursor of the next page.
    pub next_cursor: Option<i64>,
}

impl Client {
    /// Creates a webhook endpoint with these fields.
    pub async fn create_endpoint(&self, endpoint: &Value) -> Result<Json<Endpoint>, ClientError> {
        self.json(self.request(Method::POST, "endpoints", &[]).json(endpoint))
            .await
    }

    /// Returns the page of a project's webhook endpoints after `cursor`.
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

    /// Returns one webhook endpoint.
    pub async fn endpoint(&self, id: EndpointId) -> Result<Json<Endpoint>, ClientError> {
        self.json(self.request(Method::GET, &format!("endpoints/{id}"), &[]))
            .await
    }

    /// Changes the given fields of a webhook endpoint.
    pub async fn change_endpoint(
        &self,
        id: EndpointId,
        change: &Value,
    ) -> Result<Json<Endpoint>, ClientError> {
        let request = self.request(Method::PATCH, &format!("endpoints/{id}"), &[]);
        self.json(request.json(change)).await
    }

    /// Deletes a webhook endpoint.
    pub async fn remove_endpoint(&self, id: EndpointId) -> Result<(), ClientError> {
        self.done(self.request(Method::DELETE, &format!("endpoints/{id}"), &[]))
            .await
    }

    /// Replaces a webhook endpoint's secret.
    pub async fn rotate_endpoint_secret(
        &self,
        id: EndpointId,
        rotation: &Value,
    ) -> Result<Json<Endpoint>, ClientError> {
        let request = self.request(Method::POST, &format!("endpoints/{id}/rotate"), &[]);
        self.json(request.json(rotation)).await
    }

    /// Sends a test notification to a webhook endpoint.
    pub async fn test_endpoint(&self, id: EndpointId) -> Result<Json<Notification>, ClientError> {
        let request = self.request(Method::POST, &format!("endpoints/{id}/test"), &[]);
        self.json(request.json(&json!({}))).await
    }

    /// Returns a page of at most `limit` notifications before `cursor`.
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

    /// Returns one notification.
    pub async fn notification(&self, id: EndpointId, number: i64) -> Result<Json<Notification>, ClientError> {
        let path = format!("endpoints/{id}/notifications/{number}");
        self.json(self.request(Method::GET, &path, &[])).await
    }

    /// Sends a notification again.
    pub async fn redeliver(&self, id: EndpointId, number: i64) -> Result<Json<Notification>, ClientError> {
        let path = format!("endpoints/{id}/notifications/{number}/redeliver");
        self.json(self.request(Method::POST, &path, &[]).json(&json!({})))
            .await
    }
}
