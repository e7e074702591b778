//! Reads everything that is needed to send a notification.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::{
    domain::{
        BuildId, BuildSpec, Digest, EndpointId, Failure, Reason, TriggerId,
        commit_status::StatusTarget,
        endpoint::{CallbackUrl, EventType, Format},
        provider::Provider,
    },
    store::{
        StoreError,
        rows::{Named, count},
    },
};

/// Claimed notification.
#[derive(Debug, Clone)]
pub struct Due {
    /// Its number.
    pub id: i64,
    /// Fencing token of the claim.
    pub claim: Uuid,
    /// Number of this delivery attempt, counted from 1.
    pub number: u32,
    /// Number of this delivery attempt since the last request to redeliver, counted from 1.
    pub round: u32,
    /// Event that it reports.
    pub kind: EventType,
    /// Time of the event.
    pub at: Timestamp,
    /// Recipient; `None` if it does not exist any more.
    pub to: Option<Recipient>,
    /// The build; `None` for a test, and for a build that has been removed.
    pub build: Option<DueBuild>,
}

/// Recipient of a notification.
#[derive(Debug, Clone)]
pub enum Recipient {
    /// Webhook endpoint of a project.
    Endpoint(ToEndpoint),
    /// Git host, which receives a commit status.
    Status(StatusTarget),
}

/// Webhook endpoint, as far as it is needed to send to it.
#[derive(Clone)]
pub struct ToEndpoint {
    /// Its identifier.
    pub id: EndpointId,
    /// Address that is called.
    pub url: CallbackUrl,
    /// Format of the bodies.
    pub format: Format,
    /// Sealed secrets: the current one, and the previous one while it is valid.
    pub secrets: Vec<Vec<u8>>,
}

impl std::fmt::Debug for ToEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ToEndpoint({})", self.id)
    }
}

/// Build, as far as notifications report it. None of these values changes after the event.
#[derive(Debug, Clone)]
pub struct DueBuild {
    /// The build's identifier.
    pub id: BuildId,
    /// Build request.
    pub spec: BuildSpec,
    /// Time at which the build was accepted.
    pub created_at: Timestamp,
    /// Digest of the image, if the build succeeded.
    pub digest: Option<Digest>,
    /// Cause of the failure, if the build failed.
    pub failure: Option<Failure>,
}

struct Row {
    id: i64,
    tries: i32,
    round: i32,
    kind: Named<EventType>,
    at: jiff_sqlx::Timestamp,
    build_id: Option<Uuid>,
    endpoint_id: Option<Uuid>,
    url: Option<String>,
    format: Option<Named<Format>>,
    secret: Option<Vec<u8>>,
    old_secret: Option<Vec<u8>>,
    provider: Option<Named<Provider>>,
    api_url: Option<String>,
    repository: Option<String>,
    commit_id: Option<String>,
    context: Option<String>,
    trigger_id: Option<Uuid>,
    token: Option<Vec<u8>>,
    spec: Option<Json<BuildSpec>>,
    created_at: Option<jiff_sqlx::Timestamp>,
    digest: Option<Named<Digest>>,
    reason: Option<Named<Reason>>,
    message: Option<String>,
    exit_code: Option<i32>,
}

/// Reads what is needed to send the notifications with these numbers and claims.
pub(super) async fn load_due(
    db: &mut PgConnection,
    ids: &[i64],
    claims: HashMap<i64, Uuid>,
) -> Result<Vec<Due>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT n.id, n.tries, n.round, n.type AS "kind: Named<EventType>",
            n.at AS "at: jiff_sqlx::Timestamp", n.build_id, n.endpoint_id,
            e.url AS "url?", e.format AS "format?: Named<Format>", e.secret AS "secret?",
            CASE WHEN e.old_secret_until > now() THEN e.old_secret END AS old_secret,
            c.provider AS "provider?: Named<Provider>", c.api_url AS "api_url?", c.repository AS "repository?",
            c.commit_id AS "commit_id?", c.context AS "context?", t.id AS "trigger_id?",
            t.status_token AS token,
            s.spec AS "spec?: Json<BuildSpec>", s.created_at AS "created_at?: jiff_sqlx::Timestamp",
            r.digest AS "digest: Named<Digest>", r.reason AS "reason: Named<Reason>", r.message, r.exit_code
        FROM notifications n
        LEFT JOIN endpoints e ON e.id = n.endpoint_id
        LEFT JOIN commit_statuses c ON n.endpoint_id IS NULL AND c.build_id = n.build_id
        LEFT JOIN triggers t ON t.id = c.trigger_id AND t.status_api_url = c.api_url
        LEFT JOIN specs s ON s.build_id = n.build_id
        LEFT JOIN results r ON r.build_id = n.build_id
        WHERE n.id = ANY($1) ORDER BY n.id
        "#,
        ids
    )
    .fetch_all(db)
    .await?;
    let due = rows
        .into_iter()
        .filter_map(|row| Some((*claims.get(&row.id)?, row)));
    due.map(|(claim, row)| row.into_due(claim)).collect()
}

impl Row {
    fn into_due(mut self, claim: Uuid) -> Result<Due, StoreError> {
        let kind = self.kind.0;
        Ok(Due {
            id: self.id,
            claim,
            number: count(self.tries),
            round: count(self.round),
            kind,
            at: self.at.to_jiff(),
            to: self.recipient()?,
            build: self.build(kind),
        })
    }

    fn recipient(&mut self) -> Result<Option<Recipient>, StoreError> {
        if let (Some(id), Some(url), Some(format), Some(secret)) = (
            self.endpoint_id,
            self.url.take(),
            self.format.take(),
            self.secret.take(),
        ) {
            return Ok(Some(Recipient::Endpoint(ToEndpoint {
                id: EndpointId(id),
                url: url.parse().map_err(StoreError::unreadable)?,
                format: format.0,
                secrets: [secret].into_iter().chain(self.old_secret.take()).collect(),
            })));
        }
        let (Some(provider), Some(api_url), Some(trigger)) =
            (self.provider.take(), self.api_url.take(), self.trigger_id)
        else {
            return Ok(None);
        };
        Ok(Some(Recipient::Status(StatusTarget {
            provider: provider.0,
            api_url: api_url.parse().map_err(StoreError::unreadable)?,
            repository: self.repository.take().unwrap_or_default(),
            commit: self.commit_id.take().unwrap_or_default(),
            context: self.context.take().unwrap_or_default(),
            trigger: TriggerId(trigger),
            token: self.token.take(),
        })))
    }

    /// Returns the build as of the event: a late delivery attempt for an earlier event reports no later
    /// result.
    fn build(self, kind: EventType) -> Option<DueBuild> {
        let failure = self.reason.map(|reason| Failure {
            reason: reason.0,
            message: self.message.unwrap_or_default(),
            exit_code: self.exit_code,
            log_snippet: None,
        });
        Some(DueBuild {
            id: BuildId(self.build_id?),
            spec: self.spec?.0,
            created_at: self.created_at?.to_jiff(),
            digest: self
                .digest
                .map(|digest| digest.0)
                .filter(|_| kind == EventType::Succeeded),
            failure: failure.filter(|_| kind == EventType::Failed),
        })
    }
}
