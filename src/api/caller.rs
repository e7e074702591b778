//! Who asks, and what they may do.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use jiff::Timestamp;

use super::{
    ApiState,
    auth::Session,
    problem::{Code, Problem},
};
use crate::domain::{Actor, BuildId, ProjectName, Scope, Token};

/// Who asks: whoever has the token, or everybody where the service asks for none.
#[derive(Clone)]
pub(super) struct Caller {
    token: Option<Arc<Token>>,
    session: Session,
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let Some(auth) = &state.auth else {
            return Ok(Self {
                token: None,
                session: Session::default(),
            });
        };
        let (token, session) = auth.open(&parts.headers).await?;
        Ok(Self {
            token: Some(token),
            session,
        })
    }
}

impl Caller {
    /// Refuses what the caller may not do in this project: 404 where the project is not theirs, as if there were nothing;
    /// 403 where it is theirs and the scope is missing.
    pub(super) fn may(&self, scope: Scope, project: &ProjectName) -> Result<(), Problem> {
        match &self.token {
            Some(token) if token.project.as_ref().is_some_and(|own| own != project) => {
                Err(Problem::new(Code::NotFound))
            }
            Some(token) if !token.gives(scope) => Err(lacks(scope)),
            _ => Ok(()),
        }
    }

    /// Refuses what only administrators may do.
    pub(super) fn may_administrate(&self) -> Result<(), Problem> {
        self.has(Scope::Admin)
    }

    /// Refuses to give what the caller has not.
    pub(super) fn has(&self, scope: Scope) -> Result<(), Problem> {
        match &self.token {
            Some(token) if !token.gives(scope) => Err(lacks(scope)),
            _ => Ok(()),
        }
    }

    /// When the caller's token expires.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        self.token.as_ref()?.expires_at
    }

    /// Whether the caller decides where nothing is settled: as administrators do, and everybody where none is asked for
    /// a token.
    pub(super) fn decides(&self) -> bool {
        self.only_project().is_none()
    }

    /// The only project that the caller sees; `None` for those who see all.
    pub(super) fn only_project(&self) -> Option<&ProjectName> {
        self.token.as_ref()?.project.as_ref()
    }

    /// The project that a list is about: the one that the request names, else the caller's only one; `None` for all of
    /// them. Refuses as [`Self::may`] does.
    pub(super) fn project(
        &self,
        scope: Scope,
        named: Option<ProjectName>,
    ) -> Result<Option<ProjectName>, Problem> {
        let project = named.or_else(|| self.only_project().cloned());
        match &project {
            Some(project) => self.may(scope, project)?,
            // Who sees all is an administrator, or need not say who they are.
            None => self.may_administrate()?,
        }
        Ok(project)
    }

    /// Who it is, for the audit log.
    pub(super) fn actor(&self) -> Actor {
        self.token.as_deref().map_or_else(Actor::anonymous, Actor::from)
    }

    /// What ends when the caller's token does.
    pub(super) fn session(&self) -> Session {
        self.session.clone()
    }
}

impl ApiState {
    /// Some tokens open nothing from now on: here, at once.
    pub(super) fn tokens_were_revoked(&self) {
        if let Some(auth) = &self.auth {
            auth.forget();
        }
    }

    /// Refuses what the caller may not do with this build; 404 where it is not theirs, as if there were none. Says
    /// nothing of whether there is one to those who may do everything.
    pub(super) async fn may_with(&self, caller: &Caller, scope: Scope, id: BuildId) -> Result<(), Problem> {
        if caller.only_project().is_none() {
            return Ok(());
        }
        match self.store.project_of(id).await? {
            Some(project) => caller.may(scope, &project),
            None => Err(Problem::new(Code::NotFound)),
        }
    }
}

fn lacks(scope: Scope) -> Problem {
    Problem::new(Code::Forbidden).detail(format!("the token lacks the scope {scope}"))
}
