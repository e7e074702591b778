//! One delivery attempt: the request that is sent, and the consequence of the answer.

use http::StatusCode;

use super::{
    Notifier, body,
    client::{self, Answer, Request},
    schedule, sign,
    status::{self, StatusRequest},
};
use crate::{
    domain::{
        commit_status::{StatusTarget, token_context},
        endpoint::{EventType, SigningSecret},
    },
    store::{Due, Recipient, ToEndpoint, TryOutcome, TrySeen},
};

impl Notifier {
    /// Sends a notification.
    pub(super) async fn attempt(&self, due: &Due) -> (TrySeen, TryOutcome) {
        match &due.to {
            None => given_up("nobody wants to know any more"),
            Some(_) if due.build.is_none() && due.kind != EventType::Test => {
                given_up("the build has been removed")
            }
            Some(Recipient::Endpoint(to)) => self.tell_endpoint(due, to).await,
            Some(Recipient::Status(to)) => self.tell_host(due, to).await,
        }
    }

    async fn tell_endpoint(&self, due: &Due, to: &ToEndpoint) -> (TrySeen, TryOutcome) {
        let request = match self.signed(due, to) {
            Ok(request) => request,
            Err(error) => return again(error, schedule::endpoint(due.round)),
        };
        let now = self.clock.now();
        match client::send(&self.http, &self.options.reachable, request, now).await {
            Err(error) => again(error, schedule::endpoint(due.round)),
            Ok(answer) => {
                let outcome = match answer.status {
                    StatusCode::GONE => TryOutcome::Unwanted,
                    status if status.is_success() => TryOutcome::Delivered,
                    _ => later(&answer, schedule::endpoint(due.round)),
                };
                (seen(answer), outcome)
            }
        }
    }

    fn signed(&self, due: &Due, to: &ToEndpoint) -> Result<Request, String> {
        let context = SigningSecret::context(to.id);
        let keyring = self.options.keyring.as_deref();
        let secrets = to
            .secrets
            .iter()
            .map(|sealed| {
                let text = client::open(keyring, &context, sealed)?;
                SigningSecret::try_from(text).map_err(|error| format!("its secret {error}"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let body = body::body(due, to, self.options.external_url.as_ref())
            .ok_or_else(|| "there is nothing to tell in its format".to_owned())?;
        let id = format!("msg_{}_{}", to.id.0.simple(), due.id);
        Ok(Request {
            url: to.url.parsed(),
            headers: sign::headers(&id, self.clock.now(), &body, &secrets),
            body,
        })
    }

    async fn tell_host(&self, due: &Due, to: &StatusTarget) -> (TrySeen, TryOutcome) {
        let Some(build) = &due.build else {
            return given_up("the build has been removed");
        };
        let token = match &to.token {
            Some(sealed) => {
                let context = token_context(to.trigger, &to.api_url);
                client::open(self.options.keyring.as_deref(), &context, sealed)
            }
            None => self.options.tokens.of(&build.spec.project, to).await,
        };
        let token = match token {
            Ok(token) => token,
            Err(error) => return again(error, schedule::status(due.round)),
        };
        let link = body::link(build.id, self.options.external_url.as_ref());
        let wanted = StatusRequest {
            target: to,
            kind: due.kind,
            build,
            link: link.as_ref(),
        };
        let request = match status::request(&wanted, &token) {
            Ok(request) => request,
            Err(error) => return given_up(error),
        };
        let now = self.clock.now();
        match client::send(&self.http, &self.options.reachable, request, now).await {
            Err(error) => again(error, schedule::status(due.round)),
            Ok(answer) => {
                let outcome = match answer.status {
                    status if status.is_success() => TryOutcome::Delivered,
                    // The same request would get the same answer.
                    StatusCode::BAD_REQUEST
                    | StatusCode::NOT_FOUND
                    | StatusCode::CONFLICT
                    | StatusCode::GONE
                    | StatusCode::UNPROCESSABLE_ENTITY => TryOutcome::GivenUp,
                    _ => later(&answer, schedule::status(due.round)),
                };
                (seen(answer), outcome)
            }
        }
    }
}

/// Returns the outcome of a delivery attempt that may be retried: no sooner than the schedule allows, and no
/// sooner than the answer requests.
fn later(answer: &Answer, pause: Option<std::time::Duration>) -> TryOutcome {
    match pause {
        Some(pause) => TryOutcome::Again(pause.max(answer.retry_after.unwrap_or_default())),
        None => TryOutcome::GivenUp,
    }
}

fn seen(answer: Answer) -> TrySeen {
    let status = answer.status;
    let error = match status {
        status if status.is_success() => None,
        status if status.is_redirection() => Some("it answered with a redirect, which is not followed"),
        _ => Some("it answered with an error"),
    };
    TrySeen {
        status: Some(status.as_u16()),
        error: error.map(str::to_owned),
        answer: Some(answer.body).filter(|body| !body.is_empty()),
        ..TrySeen::default()
    }
}

fn failed(error: impl Into<String>) -> TrySeen {
    TrySeen {
        error: Some(error.into()),
        ..TrySeen::default()
    }
}

fn again(error: impl Into<String>, pause: Option<std::time::Duration>) -> (TrySeen, TryOutcome) {
    (
        failed(error),
        pause.map_or(TryOutcome::GivenUp, TryOutcome::Again),
    )
}

fn given_up(error: impl Into<String>) -> (TrySeen, TryOutcome) {
    (failed(error), TryOutcome::GivenUp)
}
