//! A request for a build, as it arrived.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    api::{
        caller::Caller,
        extract::{JsonText, parse},
        problem::Problem,
    },
    domain::BuildSpec,
};

/// A body that is not read as a spec yet: what it leaves out depends on who asks.
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
    /// The spec. Where it names no project, it is for the caller's own, if they have but one.
    pub(super) fn spec(&self, caller: &Caller) -> Result<BuildSpec, Problem> {
        let mut spec: BuildSpec = parse(&self.0)?;
        if let Some(own) = caller.only_project()
            && parse::<Naming>(&self.0)?.project.is_none()
        {
            spec.project = own.clone();
        }
        Ok(spec)
    }
}
