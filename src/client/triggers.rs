//! Requests to `/api/v1/triggers` and `/api/v1/deliveries`.

use jiff::Timestamp;
use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use super::{Client, ClientError, Json};
use crate::domain::{BuildId, DeliveryId, ProjectName, TriggerId};

/// A trigger.
#[derive(Debug, Clone, Deserialize)]
pub struct Trigger {
    /// Identifier.
    pub id: TriggerId,
    /// Project that owns the trigger.
    pub project: String,
    /// Kind of the git host or other caller.
    pub provider: String,
    /// Repository, by the git host's name for it.
    pub repository: String,
    /// Rules, as the service wrote them; a newer service may add fields.
    pub rules: Vec<Value>,
    /// `true` if deliveries lead to builds.
    pub enabled: bool,
    /// Path of the address that the git host calls.
    pub hook_path: String,
    /// Path with the secret in it, for Docker Hub, which signs nothing; only after its creation or rotation.
    pub trigger_path: Option<String>,
    /// Secret, in the answer to its creation or rotation.
    pub secret: Option<SecretString>,
}

/// A page of triggers.
#[derive(Debug, Clone, Deserialize)]
pub struct Triggers {
    /// Triggers, newest first.
    pub triggers: Vec<Trigger>,
    /// Cursor of the next page.
    pub next_cursor: Option<String>,
}

/// Result of one rule for a ref.
#[derive(Debug, Clone, Deserialize)]
pub struct Ruling {
    /// Name of the rule.
    pub rule: String,
    /// `true` if the rule matches.
    pub matches: bool,
    /// Destinations of the image.
    pub destinations: Vec<String>,
    /// Reason why nothing would be built.
    pub reason: Option<String>,
}

/// Results of all rules for a ref.
#[derive(Debug, Clone, Deserialize)]
pub struct Rulings {
    /// Results, in the order of the rules.
    pub rules: Vec<Ruling>,
}

/// Result of a delivery for one ref and one rule.
#[derive(Debug, Clone, Deserialize)]
pub struct Consequence {
    /// Short name of the ref.
    pub ref_name: Option<String>,
    /// Name of the rule.
    pub rule: Option<String>,
    /// The new build.
    pub build_id: Option<BuildId>,
    /// Reason why no build was created.
    pub reason: Option<String>,
}

/// A delivery.
#[derive(Debug, Clone, Deserialize)]
pub struct Delivery {
    /// Identifier.
    pub id: DeliveryId,
    /// Time of arrival.
    pub received_at: Timestamp,
    /// Event, by the git host's name for it.
    pub event: String,
    /// Verdict, such as `built` or `skipped`.
    pub verdict: String,
    /// Reason of the verdict.
    pub reason: Option<String>,
    /// Results by ref and rule.
    pub consequences: Vec<Consequence>,
}

/// A page of deliveries.
#[derive(Debug, Clone, Deserialize)]
pub struct Deliveries {
    /// Deliveries, newest first.
    pub deliveries: Vec<Delivery>,
    /// Cursor of the next page.
    pub next_cursor: Option<String>,
}

impl Client {
    /// Creates a trigger with these fields.
    pub async fn create_trigger(&self, trigger: &Value) -> Result<Json<Trigger>, ClientError> {
        self.json(self.request(Method::POST, "triggers", &[]).json(trigger))
            .await
    }

    /// Returns the page of triggers after `cursor`.
    pub async fn triggers(
        &self,
        project: Option<&ProjectName>,
        cursor: Option<&str>,
    ) -> Result<Json<Triggers>, ClientError> {
        let mut query = vec![("limit", "100".to_owned())];
        query.extend(project.map(|project| ("project", project.to_string())));
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.json(self.request(Method::GET, "triggers", &query)).await
    }

    /// Returns one trigger.
    pub async fn trigger(&self, id: TriggerId) -> Result<Json<Trigger>, ClientError> {
        self.json(self.request(Method::GET, &format!("triggers/{id}"), &[]))
            .await
    }

    /// Changes the given fields of a trigger.
    pub async fn change_trigger(&self, id: TriggerId, change: &Value) -> Result<Json<Trigger>, ClientError> {
        let request = self.request(Method::PATCH, &format!("triggers/{id}"), &[]);
        self.json(request.json(change)).await
    }

    /// Deletes a trigger.
    pub async fn remove_trigger(&self, id: TriggerId) -> Result<(), ClientError> {
        self.done(self.request(Method::DELETE, &format!("triggers/{id}"), &[]))
            .await
    }

    /// Replaces a trigger's secret.
    pub async fn rotate_trigger_secret(
        &self,
        id: TriggerId,
        rotation: &Value,
    ) -> Result<Json<Trigger>, ClientError> {
        let request = self.request(Method::POST, &format!("triggers/{id}/rotate-secret"), &[]);
        self.json(request.json(rotation)).await
    }

    /// Evaluates a trigger's rules for a ref, without building it.
    pub async fn dry_run(&self, id: TriggerId, wanted: &Value) -> Result<Json<Rulings>, ClientError> {
        let request = self.request(Method::POST, &format!("triggers/{id}/dry-run"), &[]);
        self.json(request.json(wanted)).await
    }

    /// Builds a ref now.
    pub async fn build_ref(&self, id: TriggerId, wanted: &Value) -> Result<Json<Delivery>, ClientError> {
        let request = self.request(Method::POST, &format!("triggers/{id}/builds"), &[]);
        self.json(request.json(wanted)).await
    }

    /// Returns the page of a trigger's deliveries after `cursor`.
    pub async fn deliveries(
        &self,
        id: TriggerId,
        verdict: Option<&str>,
        cursor: Option<&str>,
    ) -> Result<Json<Deliveries>, ClientError> {
        let mut query = vec![("limit", "100".to_owned())];
        query.extend(verdict.map(|verdict| ("verdict", verdict.to_owned())));
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.json(self.request(Method::GET, &format!("triggers/{id}/deliveries"), &query))
            .await
    }

    /// Returns one delivery.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Json<Delivery>, ClientError> {
        self.json(self.request(Method::GET, &format!("deliveries/{id}"), &[]))
            .await
    }

    /// Replays a delivery.
    pub async fn replay(&self, id: DeliveryId, replay: &Value) -> Result<Json<Delivery>, ClientError> {
        let request = self.request(Method::POST, &format!("deliveries/{id}/replay"), &[]);
        self.json(request.json(replay)).await
    }
}
