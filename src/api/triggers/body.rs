//! How triggers look in JSON.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::status::StatusBody;
use crate::domain::{
    ProjectName, Trigger, TriggerId,
    git::GitUrl,
    provider::Provider,
    trigger::{HostedName, Rules},
};

/// The link between a git repository and the images that are built of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Trigger)]
pub(super) struct TriggerBody {
    /// Its identifier.
    id: TriggerId,
    /// Who owns it, and its builds.
    project: ProjectName,
    /// Who calls it: decides how deliveries are verified and read.
    provider: Provider,
    /// The repository as the git host names it.
    repository: HostedName,
    /// Where builds clone it from.
    clone_url: GitUrl,
    /// Which refs are built.
    rules: Rules,
    /// Whether deliveries lead to builds.
    enabled: bool,
    /// Whether commits bear their builds' status.
    commit_status: StatusBody,
    /// The path of the address that the git host calls.
    hook_path: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Trigger> for TriggerBody {
    fn from(trigger: Trigger) -> Self {
        Self {
            hook_path: format!("/hooks/{}", trigger.id),
            id: trigger.id,
            project: trigger.project,
            provider: trigger.provider,
            repository: trigger.settings.repository,
            clone_url: trigger.settings.clone_url,
            rules: trigger.settings.rules,
            enabled: trigger.settings.enabled,
            commit_status: trigger.settings.commit_status.into(),
            created_at: trigger.created_at,
            updated_at: trigger.updated_at,
        }
    }
}

/// A trigger with its new secret, which no other answer shows.
#[derive(Serialize, ToSchema)]
#[schema(as = TriggerWithSecret)]
pub(super) struct WithSecret {
    /// The trigger.
    #[serde(flatten)]
    pub trigger: TriggerBody,
    /// What the git host signs its deliveries with, or sends along. Shown this once.
    pub secret: String,
    /// The path of the address for callers that can only call one, as Docker Hub's build trigger has it: the secret is
    /// in it. Null of other providers.
    #[schema(required = true)]
    pub trigger_path: Option<String>,
}

impl WithSecret {
    pub(super) fn new(trigger: Trigger, secret: String) -> Self {
        let trigger_path = (trigger.provider == Provider::Dockerhub)
            .then(|| format!("/hooks/{}/trigger/{secret}/call/", trigger.id));
        Self {
            trigger: trigger.into(),
            secret,
            trigger_path,
        }
    }
}

/// A page of triggers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Triggers {
    /// Newest first.
    pub triggers: Vec<TriggerBody>,
    /// Give it as `cursor` to see older triggers; null on the last page.
    #[schema(required = true)]
    pub next_cursor: Option<TriggerId>,
}
