//! A request for a build, as it arrived.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use crate::{
    api::{
        ApiState,
        caller::Caller,
        extract::{JsonText, parse},
        problem::Problem,
    },
    domain::{BuildSpec, ProjectName, RepositoryPrefix, Scope},
};

/// A body that is not read as a spec yet: what it leaves out depends on who asks, and for which project.
pub(super) struct Asked(Bytes);

/// What need not be said by those who have one project only.
#[derive(Deserialize)]
struct Naming {
    project: Option<IgnoredAny>,
}

impl<S: Send + Sync> FromRequest<S> for Asked {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let JsonText(text) = JsonText::from_request(request, state).await?;
        Ok(Self(text))
    }
}

impl Asked {
    /// The spec, which the caller may ask for. Where it names no project, it is for the caller's own, if they have but
    /// one; where a destination names no registry, it is the project's.
    pub(super) async fn spec(&self, state: &ApiState, caller: &Caller) -> Result<BuildSpec, Problem> {
        let mut spec: BuildSpec = match parse(&self.0) {
            Ok(spec) => spec,
            // Perhaps it lacks no more than a registry.
            Err(problem) => match self.completed(state, caller).await? {
                Some(text) => parse(&text)?,
                None => return Err(problem),
            },
        };
        if let Some(own) = caller.only_project()
            && parse::<Naming>(&self.0)?.project.is_none()
        {
            spec.project = own.clone();
        }
        caller.may(Scope::BuildsWrite, &spec.project)?;
        Ok(spec)
    }

    /// The body with the project's registry in those destinations that name none; `None` where that changes nothing.
    async fn completed(&self, state: &ApiState, caller: &Caller) -> Result<Option<Vec<u8>>, Problem> {
        let Ok(mut body) = serde_json::from_slice::<Value>(&self.0) else {
            return Ok(None);
        };
        let project = match body.get("project").map(Value::as_str) {
            None => caller.only_project().cloned().unwrap_or_default(),
            Some(name) => match name.unwrap_or_default().parse::<ProjectName>() {
                Ok(name) => name,
                Err(_) => return Ok(None),
            },
        };
        caller.may(Scope::BuildsWrite, &project)?;
        let settled = state.store.project_settings(&project).await?;
        let Some(registry) = &settled.settings.default_registry else {
            return Ok(None);
        };
        Ok(complete(&mut body, registry).then(|| body.to_string().into_bytes()))
    }
}

/// Completes the destinations that name no registry; whether there are any.
fn complete(body: &mut Value, registry: &RepositoryPrefix) -> bool {
    let destinations = body.get_mut("destinations").and_then(Value::as_array_mut);
    let mut completed = false;
    for destination in destinations.into_iter().flatten() {
        if let Some(whole) = destination.as_str().and_then(|text| registry.complete(text)) {
            *destination = whole.into();
            completed = true;
        }
    }
    completed
}
