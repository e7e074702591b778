//! Requests to `/api/v1/projects` and `/api/v1/tokens`.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, header};
use serde::Deserialize;
use serde_json::json;

use super::{Client, ClientError, Json};
use crate::domain::{NewToken, ProjectName, ProjectTerms, Scope, TokenId};

/// A project.
#[derive(Debug, Clone, Deserialize)]
pub struct Project {
    /// Name.
    pub name: String,
    /// Limits and settings.
    pub terms: ProjectTerms,
}

/// A page of projects.
#[derive(Debug, Clone, Deserialize)]
pub struct Projects {
    /// Projects, sorted by name.
    pub projects: Vec<Project>,
    /// Cursor of the next page.
    pub next_cursor: Option<String>,
}

/// A token; its text is known only in the answer to its creation.
#[derive(Debug, Clone, Deserialize)]
pub struct Token {
    /// Identifier.
    pub id: TokenId,
    /// Name, for people.
    pub name: String,
    /// Permissions.
    pub scopes: Vec<Scope>,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time from which it is invalid.
    pub expires_at: Option<Timestamp>,
    /// Time of its last use.
    pub last_used_at: Option<Timestamp>,
    /// Time of its revocation.
    pub revoked_at: Option<Timestamp>,
    /// The token's text.
    pub token: Option<secrecy::SecretString>,
}

/// A page of tokens.
#[derive(Debug, Clone, Deserialize)]
pub struct Tokens {
    /// Tokens, newest first.
    pub tokens: Vec<Token>,
    /// Cursor of the next page.
    pub next_cursor: Option<String>,
}

/// Returns the path of the tokens of a project, or of administrators.
fn tokens(project: Option<&ProjectName>) -> String {
    match project {
        Some(project) => format!("projects/{project}/tokens"),
        None => "tokens".to_owned(),
    }
}

impl Client {
    /// Returns the page of projects after `cursor`.
    pub async fn projects(&self, cursor: Option<&str>) -> Result<Json<Projects>, ClientError> {
        let mut query = vec![("limit", "100".to_owned())];
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.json(self.request(Method::GET, "projects", &query)).await
    }

    /// Returns a project, and the tag of its terms.
    pub async fn project(&self, name: &ProjectName) -> Result<(Json<Project>, String), ClientError> {
        let request = self.request(Method::GET, &format!("projects/{name}"), &[]);
        let response = self.send(request).await?;
        let tag = response.headers().get(header::ETAG);
        let tag = tag
            .and_then(|tag| tag.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        Ok((self.read_json(response).await?, tag))
    }

    /// Creates a project.
    pub async fn create_project(
        &self,
        name: &ProjectName,
        terms: &ProjectTerms,
    ) -> Result<Json<Project>, ClientError> {
        let body = json!({ "name": name, "terms": terms });
        self.json(self.request(Method::POST, "projects", &[]).json(&body))
            .await
    }

    /// Replaces a project's terms if they still have this tag.
    pub async fn change_project(
        &self,
        name: &ProjectName,
        tag: &str,
        terms: &ProjectTerms,
    ) -> Result<Json<Project>, ClientError> {
        let request = self.request(Method::PUT, &format!("projects/{name}"), &[]);
        self.json(request.header(header::IF_MATCH, tag).json(terms)).await
    }

    /// Deletes a project.
    pub async fn remove_project(&self, name: &ProjectName) -> Result<(), ClientError> {
        self.done(self.request(Method::DELETE, &format!("projects/{name}"), &[]))
            .await
    }

    /// Creates a token.
    pub async fn create_token(&self, new: &NewToken) -> Result<Json<Token>, ClientError> {
        let body = json!({
            "name": new.name(), "scopes": new.scopes(),
            "expires_in_seconds": new.lifetime().as_ref().map(Duration::as_secs),
        });
        self.json(
            self.request(Method::POST, &tokens(new.project()), &[])
                .json(&body),
        )
        .await
    }

    /// Returns the page after `cursor` of a project's tokens, or of administrators' tokens.
    pub async fn tokens(
        &self,
        project: Option<&ProjectName>,
        cursor: Option<&str>,
    ) -> Result<Json<Tokens>, ClientError> {
        let mut query = vec![("limit", "100".to_owned())];
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.json(self.request(Method::GET, &tokens(project), &query))
            .await
    }

    /// Revokes a token.
    pub async fn revoke_token(&self, project: Option<&ProjectName>, id: TokenId) -> Result<(), ClientError> {
        self.done(self.request(Method::DELETE, &format!("{}/{id}", tokens(project)), &[]))
            .await
    }

    pub(super) async fn done(&self, request: RequestBuilder) -> Result<(), ClientError> {
        self.send(request).await.map(drop)
    }
}
