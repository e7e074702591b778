//! `/api/v1/projects` and `/api/v1/tokens`.

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
    /// Its name.
    pub name: String,
    /// What is settled for it.
    pub terms: ProjectTerms,
}

/// A page of projects.
#[derive(Debug, Clone, Deserialize)]
pub struct Projects {
    /// In the order of their names.
    pub projects: Vec<Project>,
    /// Where the page ended.
    pub next_cursor: Option<String>,
}

/// A token; its text is known when it is made, and not again.
#[derive(Debug, Clone, Deserialize)]
pub struct Token {
    /// Its identifier.
    pub id: TokenId,
    /// What it is called.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it opens nothing.
    pub expires_at: Option<Timestamp>,
    /// When it was used last.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The token itself.
    pub token: Option<secrecy::SecretString>,
}

/// A page of tokens.
#[derive(Debug, Clone, Deserialize)]
pub struct Tokens {
    /// Newest first.
    pub tokens: Vec<Token>,
    /// Where the page ended.
    pub next_cursor: Option<String>,
}

/// Where the tokens of a project, or of administrators, are.
fn tokens(project: Option<&ProjectName>) -> String {
    match project {
        Some(project) => format!("projects/{project}/tokens"),
        None => "tokens".to_owned(),
    }
}

impl Client {
    /// A page of projects, those after `cursor`.
    pub async fn projects(&self, cursor: Option<&str>) -> Result<Json<Projects>, ClientError> {
        let mut query = vec![("limit", "100".to_owned())];
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.json(self.request(Method::GET, "projects", &query)).await
    }

    /// A project, and the tag of its terms.
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

    /// Makes a project.
    pub async fn create_project(
        &self,
        name: &ProjectName,
        terms: &ProjectTerms,
    ) -> Result<Json<Project>, ClientError> {
        let body = json!({ "name": name, "terms": terms });
        self.json(self.request(Method::POST, "projects", &[]).json(&body))
            .await
    }

    /// Replaces a project's terms, if they are still those with this tag.
    pub async fn change_project(
        &self,
        name: &ProjectName,
        tag: &str,
        terms: &ProjectTerms,
    ) -> Result<Json<Project>, ClientError> {
        let request = self.request(Method::PUT, &format!("projects/{name}"), &[]);
        self.json(request.header(header::IF_MATCH, tag).json(terms)).await
    }

    /// Removes a project.
    pub async fn remove_project(&self, name: &ProjectName) -> Result<(), ClientError> {
        self.done(self.request(Method::DELETE, &format!("projects/{name}"), &[]))
            .await
    }

    /// Makes a token.
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

    /// A page of a project's tokens, or of administrators', those before `cursor`.
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
