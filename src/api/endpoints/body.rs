//! How endpoints look in JSON.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    api::problem::Problem,
    domain::{
        EndpointId, ProjectName,
        endpoint::{CallbackUrl, EventType, Format, SigningSecret},
        inside::Reachable,
    },
    store::{Endpoint, EndpointSettings},
};

/// The longest description.
const DESCRIPTION: usize = 500;

/// A new endpoint.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEndpoint {
    /// Whose builds it is told of; `default` when absent.
    #[serde(default)]
    pub(super) project: ProjectName,
    /// What is called, with POST.
    pub(super) url: CallbackUrl,
    /// What it is told of; everything that its format can tell when absent.
    pub(super) events: Option<Vec<EventType>>,
    /// How bodies are written.
    #[serde(default)]
    pub(super) format: Format,
    /// What notifications are signed with: `whsec_` and 24 to 64 bytes in base64. Made by the service when absent.
    #[schema(value_type = Option<String>)]
    pub(super) secret: Option<SecretString>,
    /// For people.
    #[schema(max_length = 500)]
    pub(super) description: Option<String>,
    /// Whether it is told of anything.
    #[serde(default = "yes")]
    pub(super) enabled: bool,
}

fn yes() -> bool {
    true
}

/// What is to be changed of an endpoint; what is absent stays.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointChange {
    /// What is called.
    url: Option<CallbackUrl>,
    /// What it is told of.
    events: Option<Vec<EventType>>,
    /// How bodies are written.
    format: Option<Format>,
    /// For people; empty for none.
    #[schema(max_length = 500)]
    description: Option<String>,
    /// Whether it is told of anything. One that is enabled again gets what waited for it.
    enabled: Option<bool>,
}

impl EndpointChange {
    /// What was settled, with this change.
    pub(super) fn of(self, before: EndpointSettings) -> EndpointSettings {
        EndpointSettings {
            url: self.url.unwrap_or(before.url),
            description: self.description.or(before.description),
            events: self.events.unwrap_or(before.events),
            format: self.format.unwrap_or(before.format),
            enabled: self.enabled.unwrap_or(before.enabled),
        }
    }
}

/// A new secret.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretRotation {
    /// The new one; made by the service when absent.
    #[schema(value_type = Option<String>)]
    pub(super) secret: Option<SecretString>,
    /// For how long notifications are signed with the present one, too: a day when absent.
    #[schema(maximum = 2_592_000)]
    pub(super) overlap_seconds: Option<u32>,
}

/// An address that is told of builds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Endpoint)]
pub struct EndpointBody {
    /// Its identifier.
    id: EndpointId,
    /// Whose builds it is told of.
    project: ProjectName,
    /// What is called.
    url: CallbackUrl,
    /// What it is told of.
    events: Vec<EventType>,
    /// How bodies are written.
    format: Format,
    /// For people.
    #[schema(required = true)]
    description: Option<String>,
    /// Whether it is told of anything.
    enabled: bool,
    /// Why the service disabled it; null where somebody did, or it is enabled.
    #[schema(required = true)]
    disabled_reason: Option<String>,
    /// Since when it took no notification; null after it took one.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// Until when notifications are signed with the secret before the present one, too.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    old_secret_until: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// What notifications are signed with: only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    secret: Option<String>,
}

/// A page of endpoints.
#[derive(Debug, Serialize, ToSchema)]
pub struct Endpoints {
    /// Oldest first.
    pub(super) endpoints: Vec<EndpointBody>,
    /// Leads to the next page, where there is one.
    #[schema(required = true)]
    pub(super) next_cursor: Option<EndpointId>,
}

impl From<Endpoint> for EndpointBody {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            id: endpoint.id,
            project: endpoint.project,
            url: endpoint.url,
            events: endpoint.events,
            format: endpoint.format,
            description: endpoint.description,
            enabled: endpoint.enabled,
            disabled_reason: endpoint.disabled_reason,
            failing_since: endpoint.failing_since,
            old_secret_until: endpoint.old_secret_until,
            created_at: endpoint.created_at,
            secret: None,
        }
    }
}

impl EndpointBody {
    /// The same, with the secret, this once.
    pub(super) fn showing(self, secret: &SigningSecret) -> Self {
        Self {
            secret: Some(secret.text().expose_secret().to_owned()),
            ..self
        }
    }
}

/// The given secret, or a new one.
pub(super) fn secret(given: Option<SecretString>) -> Result<SigningSecret, Problem> {
    match given {
        None => Ok(SigningSecret::generate()),
        Some(text) => SigningSecret::try_from(text).map_err(|error| Problem::field("secret", error)),
    }
}

/// What is settled, once it fits together. A host that is an address inside is refused here already; a name is when it
/// is resolved.
pub(super) fn checked(
    mut settings: EndpointSettings,
    reachable: &Reachable,
) -> Result<EndpointSettings, Problem> {
    if reachable.literal(&settings.url.parsed()) == Some(false) {
        return Err(Problem::field(
            "url",
            "is an address that may not be called from here",
        ));
    }
    settings.events.sort_unstable();
    settings.events.dedup();
    let types = settings.format.types();
    if settings.events.is_empty() {
        return Err(Problem::field("events", "must name at least one type"));
    }
    if let Some(other) = settings.events.iter().find(|event| !types.contains(event)) {
        let format = settings.format.as_str();
        return Err(Problem::field(
            "events",
            format_args!(
                "holds {}, which the format {format} does not tell of",
                other.as_str()
            ),
        ));
    }
    settings.description = settings.description.filter(|text| !text.is_empty());
    let words = settings.description.as_deref().unwrap_or_default();
    if words.chars().count() > DESCRIPTION || words.contains('\0') {
        return Err(Problem::field(
            "description",
            format_args!("must be at most {DESCRIPTION} characters, without NUL"),
        ));
    }
    Ok(settings)
}
