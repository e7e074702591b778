//! Who asks, and what they may do.
#![allow(dead_code, reason = "no route asks as yet")]

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::{ApiState, problem::Problem};
use crate::domain::{ProjectName, Scope};

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller;

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &ApiState) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

impl Caller {
    /// Refuses what the caller may not do in this project: 404 where the project is not theirs, as if there were nothing;
    /// 403 where it is theirs and the scope is missing.
    #[expect(clippy::unused_self, reason = "everybody may do everything as yet")]
    pub(super) fn may(&self, _: Scope, _: &ProjectName) -> Result<(), Problem> {
        Ok(())
    }

    /// The only project that the caller sees; `None` for those who see all.
    #[expect(clippy::unused_self, reason = "everybody sees everything as yet")]
    pub(super) fn only_project(&self) -> Option<&ProjectName> {
        None
    }

    /// Who it is, for the audit log: a token's name and id, or `anonymous`.
    #[expect(clippy::unused_self, reason = "everybody is alike as yet")]
    pub(super) fn actor(&self) -> String {
        "anonymous".to_owned()
    }
}
