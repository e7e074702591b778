//! `/api/v1/triggers` and `/api/v1/deliveries`.

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
    /// Its identifier.
    pub id: TriggerId,
    /// Who owns it.
    pub project: String,
    /// Who calls it.
    pub provider: String,
    /// The repository as the git host names it.
    pub repository: String,
    /// Its rules, whatever a newer service writes into them.
    pub rules: Vec<Value>,
    /// Whether deliveries lead to builds.
    pub enabled: bool,
    /// The path of the address that the git host calls.
    pub hook_path: String,
    /// The path with the secret in it, for callers that can do no better; where it was just made.
    pub trigger_path: Option<String>,
    /// Its secret, where it was just made.
    pub secret: Option<SecretString>,
}

/// A page of triggers.
#[derive(Debug, Clone, Deserialize)]
pub struct Triggers {
    /// Newest first.
    pub triggers: Vec<Trigger>,
    /// Where the page ended.
    pub next_cursor: Option<String>,
}

/// What one rule says of a ref.
#[derive(Debug, Clone, Deserialize)]
pub struct Ruling {
    /// The rule.
    pub rule: String,
    /// Whether it matches.
    pub matches: bool,
    /// Where the image would go.
    pub destinations: Vec<String>,
    /// Why nothing would be built.
    pub reason: Option<String>,
}

/// What all rules say of a ref.
#[derive(Debug, Clone, Deserialize)]
pub struct Rulings {
    /// In their order.
    pub rules: Vec<Ruling>,
}

/// What came of a ref and a rule.
#[derive(Debug, Clone, Deserialize)]
pub struct Consequence {
    /// The ref's short name.
    pub ref_name: Option<String>,
    /// The rule.
    pub rule: Option<String>,
    /// The build.
    pub build_id: Option<BuildId>,
    /// Why none was made.
    pub reason: Option<String>,
}

/// A delivery.
#[derive(Debug, Clone, Deserialize)]
pub struct Delivery {
    /// Its identifier.
    pub id: DeliveryId,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The event as the git host calls it.
    pub event: String,
    /// What came of it.
    pub verdict: String,
    /// Why.
    pub reason: Option<String>,
    /// Ref by ref, rule by rule.
    pub consequences: Vec<Consequence>,
}

/// A page of deliveries.
#[derive(Debug, Clone, Deserialize)]
pub struct Deliveries {
    /// Newest first.
    pub deliveries: Vec<Delivery>,
    /// Where the page ended.
    pub next_cursor: Option<String>,
}

impl Client {
    /// Makes a trigger of this description.
    pub async fn create_trigger(&self, trigger: &Value) -> Result<Json<Trigger>, ClientError> {
        self.json(self.request(Method::POST, "triggers", &[]).json(trigger))
            .await
    }

    /// A page of triggers, those after `cursor`.
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

    /// One trigger.
    pub async fn trigger(&self, id: TriggerId) -> Result<Json<Trigger>, ClientError> {
        self.json(self.request(Method::GET, &format!("triggers/{id}"), &[]))
            .await
    }

    /// Changes what this names of a trigger.
    pub async fn change_trigger(&self, id: TriggerId, change: &Value) -> Result<Json<Trigger>, ClientError> {
        let request = self.request(Method::PATCH, &format!("triggers/{id}"), &[]);
        self.json(request.json(change)).await
    }

    /// Removes a trigger.
    pub async fn remove_trigger(&self, id: TriggerId) -> Result<(), ClientError> {
        self.done(self.request(Method::DELETE, &format!("triggers/{id}"), &[]))
            .await
    }

    /// Gives a trigger a new secret.
    pub async fn rotate_trigger_secret(
        &self,
        id: TriggerId,
        rotation: &Value,
    ) -> Result<Json<Trigger>, ClientError> {
        let request = self.request(Method::POST, &format!("triggers/{id}/rotate-secret"), &[]);
        self.json(request.json(rotation)).await
    }

    /// What a trigger's rules make of a ref.
    pub async fn dry_run(&self, id: TriggerId, wanted: &Value) -> Result<Json<Rulings>, ClientError> {
        let request = self.request(Method::POST, &format!("triggers/{id}/dry-run"), &[]);
        self.json(request.json(wanted)).await
    }

    /// Builds a ref now.
    pub async fn build_ref(&self, id: TriggerId, wanted: &Value) -> Result<Json<Delivery>, ClientError> {
        let request = self.request(Method::POST, &format!("triggers/{id}/builds"), &[]);
        self.json(request.json(wanted)).await
    }

    /// A page of a trigger's deliveries, those after `cursor`.
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

    /// One delivery.
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
