//! Requests to `/api/v1/builds` and `/api/v1/queue`.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::{Method, RequestBuilder, header};
use uuid::Uuid;

use super::{Build, Client, ClientError, Events, Json, Page, Queue};
use crate::domain::{BuildId, BuildSpec, ImageRepository, ProjectName, State, git::GitRef};

/// Filter and page of a list of builds.
#[derive(Debug, Clone, Default)]
pub struct BuildFilter {
    /// Only builds of this project.
    pub project: Option<ProjectName>,
    /// Only builds whose first destination is in this repository.
    pub repository: Option<ImageRepository>,
    /// Only builds in one of these states; all if empty.
    pub states: Vec<State>,
    /// Only builds of this git ref.
    pub git_ref: Option<GitRef>,
    /// Number of builds, at most.
    pub limit: u8,
    /// Cursor of the page, from the page before.
    pub cursor: Option<String>,
}

impl Client {
    /// Creates a build. An idempotency key keeps a repeated request from creating another one.
    pub async fn create_build(&self, spec: &BuildSpec) -> Result<Json<Build>, ClientError> {
        let key = Uuid::new_v4().to_string();
        let request = || self.request(Method::POST, "builds", &[]).json(spec);
        self.create(request, &key).await
    }

    /// Creates a build in the token's own project, or `default`; the spec's project is ignored.
    pub async fn create_build_anywhere(&self, spec: &BuildSpec) -> Result<Json<Build>, ClientError> {
        let key = Uuid::new_v4().to_string();
        let mut body = serde_json::to_value(spec).expect("a spec can be written as JSON");
        if let Some(fields) = body.as_object_mut() {
            fields.remove("project");
        }
        let request = || self.request(Method::POST, "builds", &[]).json(&body);
        self.create(request, &key).await
    }

    /// Creates a build with the request of an earlier one.
    pub async fn rebuild(&self, id: BuildId) -> Result<Json<Build>, ClientError> {
        let key = Uuid::new_v4().to_string();
        let path = format!("builds/{id}/rebuild");
        self.create(|| self.request(Method::POST, &path, &[]), &key).await
    }

    async fn create(
        &self,
        request: impl Fn() -> RequestBuilder,
        key: &str,
    ) -> Result<Json<Build>, ClientError> {
        (|| self.json(request().header("Idempotency-Key", key)))
            .retry(a_few_times())
            .when(ClientError::is_worth_repeating)
            .adjust(|error, wait| wait.map(|wait| error.retry_after().unwrap_or(wait)))
            .await
    }

    /// Returns a page of builds.
    pub async fn builds(&self, filter: &BuildFilter) -> Result<Json<Page>, ClientError> {
        let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
        let mut query = vec![("limit", filter.limit.to_string())];
        let mut add = |name, value: Option<&str>| query.extend(value.map(|value| (name, value.to_owned())));
        add("project", filter.project.as_ref().map(ProjectName::as_str));
        add(
            "repository",
            filter.repository.as_ref().map(ImageRepository::as_str),
        );
        add(
            "state",
            Some(states.join(",").as_str()).filter(|states| !states.is_empty()),
        );
        add("ref", filter.git_ref.as_ref().map(GitRef::as_str));
        add("cursor", filter.cursor.as_deref());
        self.json(self.request(Method::GET, "builds", &query)).await
    }

    /// Returns a build with its attempts.
    pub async fn build(&self, id: BuildId) -> Result<Json<Build>, ClientError> {
        self.json(self.request(Method::GET, &format!("builds/{id}"), &[]))
            .await
    }

    /// Cancels a build.
    pub async fn cancel(&self, id: BuildId) -> Result<Json<Build>, ClientError> {
        self.json(self.request(Method::POST, &format!("builds/{id}/cancel"), &[]))
            .await
    }

    /// Returns a build's events.
    pub async fn events(&self, id: BuildId) -> Result<Json<Events>, ClientError> {
        self.json(self.request(Method::GET, &format!("builds/{id}/events"), &[]))
            .await
    }

    /// Returns the queue, or one project's part of it.
    pub async fn queue(&self, project: Option<&ProjectName>) -> Result<Json<Queue>, ClientError> {
        let query: Vec<_> = project.iter().map(|name| ("project", name.to_string())).collect();
        self.json(self.request(Method::GET, "queue", &query)).await
    }

    /// Builds a request for a build that differs from the one with the tag `known`; the service may hold it
    /// for `wait` until the build changes.
    pub(super) fn build_unless(&self, id: BuildId, known: Option<&str>, wait: Duration) -> RequestBuilder {
        let request = self
            .request(Method::GET, &format!("builds/{id}"), &[])
            .header(header::ACCEPT, "application/json");
        match known {
            None => request,
            Some(tag) => request
                .header(header::IF_NONE_MATCH, tag)
                .header("Prefer", format!("wait={}", wait.as_secs())),
        }
    }
}

fn a_few_times() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(200))
        .with_max_times(5)
        .with_jitter()
}
