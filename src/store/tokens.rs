//! Tokens: creation, lookup, lists and revocation.

use std::time::Duration;

use jiff_sqlx::{Timestamp, ToSqlx};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Store, StoreError, audit, begin, rows::Named};
use crate::domain::{Actor, Change, Invalid, NewToken, ProjectName, Scope, Token, TokenId, TokenName};

/// Token that is valid now.
#[derive(Debug, Clone)]
pub struct LiveToken {
    /// The token.
    pub token: Token,
    /// Time until it expires; `None` if it does not.
    pub expires_in: Option<Duration>,
    /// `true` if its last recorded use is more than a minute ago.
    pub use_is_news: bool,
}

/// Reason why a token was not created.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is no such project.
    #[error("there is no such project")]
    NoSuchProject,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

struct TokenRow {
    id: Uuid,
    project: Option<Named<ProjectName>>,
    name: String,
    scopes: Vec<String>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

impl TryFrom<TokenRow> for Token {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<Self, StoreError> {
        let decode = |error: Invalid| StoreError::Query(sqlx::Error::Decode(error.into()));
        let scopes = row.scopes.iter().map(|scope| scope.parse());
        Ok(Self {
            id: TokenId(row.id),
            project: row.project.map(|project| project.0),
            name: row.name.parse::<TokenName>().map_err(decode)?,
            scopes: scopes.collect::<Result<Vec<Scope>, _>>().map_err(decode)?,
            created_at: row.created_at.to_jiff(),
            expires_at: row.expires_at.map(Timestamp::to_jiff),
            last_used_at: row.last_used_at.map(Timestamp::to_jiff),
            revoked_at: row.revoked_at.map(Timestamp::to_jiff),
        })
    }
}

impl Store {
    /// Returns the token whose text has this SHA-256, if it is valid now.
    pub async fn live_token(&self, sha256: [u8; 32]) -> Result<Option<LiveToken>, StoreError> {
        let row = sqlx::query!(
            r#"
            SELECT t.id, p.name AS "project?: Named<ProjectName>", t.name, t.scopes,
                t.created_at AS "created_at: Timestamp", t.expires_at AS "expires_at: Timestamp",
                t.last_used_at AS "last_used_at: Timestamp",
                extract(epoch FROM t.expires_at - now())::float8 AS expires_in,
                (t.last_used_at IS NULL OR t.last_used_at < now() - interval '1 min') AS "use_is_news!"
            FROM tokens t LEFT JOIN projects p ON p.id = t.project_id
            WHERE t.sha256 = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())
            "#,
            &sha256
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            let token = TokenRow {
                id: row.id,
                project: row.project,
                name: row.name,
                scopes: row.scopes,
                created_at: row.created_at,
                expires_at: row.expires_at,
                last_used_at: row.last_used_at,
                revoked_at: None,
            };
            let left = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
            Ok(LiveToken {
                token: token.try_into()?,
                expires_in: row.expires_in.map(left),
                use_is_news: row.use_is_news,
            })
        })
        .transpose()
    }

    /// Records the use of a token, unless one was recorded within the last minute.
    pub async fn token_used(&self, id: TokenId) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE tokens SET last_used_at = now()
            WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 min')",
            id.0
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Creates a token whose text has this SHA-256. It expires at `latest` or before.
    ///
    /// # Errors
    /// Fails if its project does not exist, or if the database fails.
    pub async fn add_token(
        &self,
        new: &NewToken,
        sha256: [u8; 32],
        latest: Option<jiff::Timestamp>,
        actor: &Actor,
    ) -> Result<Token, TokenError> {
        let id = Uuid::now_v7();
        let project = new.project();
        let scopes: Vec<String> = new.scopes().iter().map(ToString::to_string).collect();
        let mut db = begin::begin(&self.pool).await.map_err(StoreError::from)?;
        // The project is locked, so that it is not removed before its new token is visible.
        let row = sqlx::query!(
            r#"
            WITH project AS (
                SELECT id FROM projects WHERE name = $2 AND removed_at IS NULL FOR SHARE
            )
            INSERT INTO tokens (id, project_id, name, sha256, scopes, expires_at)
            SELECT $1, (SELECT id FROM project), $3, $4, $5, least(now() + make_interval(secs => $6), $7)
            WHERE $2::text IS NULL OR EXISTS (SELECT FROM project)
            RETURNING created_at AS "created_at: Timestamp", expires_at AS "expires_at: Timestamp"
            "#,
            id,
            project.map(ProjectName::as_str),
            new.name().as_str(),
            &sha256,
            &scopes,
            new.lifetime().map(|lifetime| lifetime.as_secs_f64()),
            latest.map(ToSqlx::to_sqlx) as Option<Timestamp>
        )
        .fetch_optional(&mut *db)
        .await
        .map_err(StoreError::from)?
        .ok_or(TokenError::NoSuchProject)?;
        let token = Token {
            id: TokenId(id),
            project: new.project().cloned(),
            name: new.name().clone(),
            scopes: new.scopes().to_vec(),
            created_at: row.created_at.to_jiff(),
            expires_at: row.expires_at.map(Timestamp::to_jiff),
            last_used_at: None,
            revoked_at: None,
        };
        let change = Change {
            action: "token.created",
            project,
            subject: token.id.to_string(),
            before: None,
            after: Some(shown(&token)),
        };
        audit::record(&mut db, actor, &change)
            .await
            .map_err(StoreError::from)?;
        db.commit().await.map_err(StoreError::from)?;
        Ok(token)
    }

    /// Returns the tokens of a project, or those of administrators, newest first, only those older than
    /// `before`, at most `limit`. Includes tokens that are no longer valid.
    pub async fn tokens(
        &self,
        project: Option<&ProjectName>,
        before: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<Token>, StoreError> {
        let rows = sqlx::query_as!(
            TokenRow,
            r#"
            SELECT t.id, p.name AS "project?: Named<ProjectName>", t.name, t.scopes,
                t.created_at AS "created_at: Timestamp", t.expires_at AS "expires_at: Timestamp",
                t.last_used_at AS "last_used_at: Timestamp", t.revoked_at AS "revoked_at: Timestamp"
            FROM tokens t LEFT JOIN projects p ON p.id = t.project_id
            WHERE p.name IS NOT DISTINCT FROM $1 AND t.id < $2
            ORDER BY t.id DESC LIMIT $3
            "#,
            project.map(ProjectName::as_str),
            before.map_or(Uuid::max(), |id| id.0),
            i64::from(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Token::try_from).collect()
    }

    /// Revokes a token of the project, or of administrators; a repetition changes nothing. Returns `None` if
    /// there is no such token.
    pub async fn revoke_token(
        &self,
        project: Option<&ProjectName>,
        id: TokenId,
        actor: &Actor,
    ) -> Result<Option<Token>, StoreError> {
        let mut db = begin::begin(&self.pool).await?;
        let row = sqlx::query_as!(
            TokenRow,
            r#"
            SELECT t.id, p.name AS "project?: Named<ProjectName>", t.name, t.scopes,
                t.created_at AS "created_at: Timestamp", t.expires_at AS "expires_at: Timestamp",
                t.last_used_at AS "last_used_at: Timestamp", t.revoked_at AS "revoked_at: Timestamp"
            FROM tokens t LEFT JOIN projects p ON p.id = t.project_id
            WHERE t.id = $1 AND p.name IS NOT DISTINCT FROM $2 FOR NO KEY UPDATE OF t
            "#,
            id.0,
            project.map(ProjectName::as_str)
        )
        .fetch_optional(&mut *db)
        .await?;
        let Some(mut token) = row.map(Token::try_from).transpose()? else {
            return Ok(None);
        };
        if token.revoked_at.is_some() {
            return Ok(Some(token));
        }
        let before = shown(&token);
        let revoked_at = sqlx::query_scalar!(
            r#"UPDATE tokens SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL
            RETURNING revoked_at AS "revoked_at!: Timestamp""#,
            id.0
        )
        .fetch_one(&mut *db)
        .await?;
        token.revoked_at = Some(revoked_at.to_jiff());
        let change = Change {
            action: "token.revoked",
            project,
            subject: id.to_string(),
            before: Some(before),
            after: Some(shown(&token)),
        };
        audit::record(&mut db, actor, &change).await?;
        db.commit().await?;
        Ok(Some(token))
    }

    /// Returns true if any token is valid now.
    pub async fn has_tokens(&self) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (
                SELECT FROM tokens WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
            ) AS "has!""#
        )
        .fetch_one(&self.pool)
        .await?)
    }
}

/// Returns a token for the audit log.
fn shown(token: &Token) -> Value {
    json!({
        "name": token.name, "scopes": token.scopes, "expires_at": token.expires_at, "revoked_at": token.revoked_at,
    })
}
