//! A delivery from its arrival to its answer.

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
};
use bytes::Bytes;
use http::HeaderMap;
use secrecy::SecretString;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Judged, judge, keep::kept, settled};
use crate::{
    api::{
        ApiState,
        extract::{self, PathId},
        problem::{Code, Problem, ProblemBody},
        triggers,
    },
    domain::{
        BuildId, Clock, DeliveryId, SystemClock, Trigger, TriggerId,
        delivery::{Arrived, Verdict},
    },
    store::{Arrival, SealedSecret},
    webhooks::{self, Call},
};

/// What came of a delivery.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Receipt {
    /// The delivery, as it is listed here.
    delivery_id: DeliveryId,
    /// What came of it.
    verdict: Verdict,
    /// Why, where there is a reason.
    #[schema(required = true)]
    reason: Option<String>,
    /// The builds that were made, or had been made before.
    builds: Vec<BuildId>,
}

/// What is called, and with which bytes.
struct Received {
    trigger: Trigger,
    headers: HeaderMap,
    body: Bytes,
}

/// Deliver a webhook.
///
/// What git hosts call. They prove by their own means that they know the trigger's secret: see `docs/webhooks`.
#[utoipa::path(
    post,
    path = "/hooks/{id}",
    operation_id = "deliver",
    tag = "triggers",
    security(()),
    params(("id" = TriggerId, Path, description = "The trigger")),
    request_body(content = Vec<u8>, content_type = "application/json", description = "As the provider sends it"),
    responses(
        (status = 200, description = "It was taken; the verdict says what came of it", body = Receipt),
        (status = 401, description = "It is not signed with the trigger's secret", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such trigger", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "The trigger is off: `trigger_disabled`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 413, description = "It is too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It was believed, and is of another repository or cannot be read",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "The trigger takes no more just now", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn receive(
    State(state): State<ApiState>,
    PathId(id): PathId<TriggerId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Receipt>, Problem> {
    take(&state, id, None, headers, body).await
}

/// Call a trigger as Docker Hub's build trigger is called.
///
/// The secret is in the address, since the caller can do no better. For triggers of the provider `dockerhub` only.
#[utoipa::path(
    post,
    path = "/hooks/{id}/trigger/{secret}/call",
    operation_id = "call_trigger",
    tag = "triggers",
    security(()),
    params(
        ("id" = TriggerId, Path, description = "The trigger"),
        ("secret" = String, Path, description = "Its secret"),
    ),
    request_body(content = Vec<u8>, content_type = "application/json",
        description = "`source_type` and `source_name`, or `docker_tag`, or nothing"),
    responses(
        (status = 200, description = "It was taken; the verdict says what came of it", body = Receipt),
        (status = 401, description = "It is another secret", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "The trigger is off: `trigger_disabled`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn call(
    State(state): State<ApiState>,
    Path((id, secret)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Receipt>, Problem> {
    let id = id.parse().map_err(|_| Problem::new(Code::NotFound))?;
    take(&state, id, Some(secret.into()), headers, body).await
}

/// Call a trigger as Docker Hub's build trigger is called, with the slash at the end that Docker Hub's addresses have.
#[utoipa::path(
    post,
    path = "/hooks/{id}/trigger/{secret}/call/",
    operation_id = "call_trigger_with_slash",
    tag = "triggers",
    security(()),
    params(
        ("id" = TriggerId, Path, description = "The trigger"),
        ("secret" = String, Path, description = "Its secret"),
    ),
    request_body(content = Vec<u8>, content_type = "application/json",
        description = "`source_type` and `source_name`, or `docker_tag`, or nothing"),
    responses(
        (status = 200, description = "It was taken; the verdict says what came of it", body = Receipt),
        (status = 401, description = "It is another secret", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "The trigger is off: `trigger_disabled`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn call_with_slash(
    state: State<ApiState>,
    path: Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Receipt>, Problem> {
    call(state, path, headers, body).await
}

async fn take(
    state: &ApiState,
    id: TriggerId,
    secret_in_url: Option<SecretString>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Receipt>, Problem> {
    state.allowances.has_some(id)?;
    let called = state.store.called_trigger(id).await?;
    let (trigger, sealed) = called.ok_or_else(|| Problem::new(Code::NotFound))?;
    state.allowances.take(id)?;
    let body = match extract::read(&headers, body, state.options.max_delivery_size).await {
        Ok(body) => body,
        Err(problem) => {
            if problem.code() == Code::BodyTooLarge {
                refuse(state, &trigger, &headers, "its body is too large").await?;
            }
            return Err(problem);
        }
    };
    let received = Received {
        trigger,
        headers,
        body,
    };
    if let Err(why) = received.verify(state, &sealed, secret_in_url) {
        refuse(state, &received.trigger, &received.headers, &why.to_string()).await?;
        return Err(
            Problem::new(Code::Unauthorized).detail("the delivery does not prove that it knows the secret")
        );
    }
    received.answer(state).await
}

impl Received {
    /// Whether it is from somebody who knows one of the trigger's secrets.
    fn verify(
        &self,
        state: &ApiState,
        sealed: &[SealedSecret],
        secret_in_url: Option<SecretString>,
    ) -> Result<(), webhooks::Refused> {
        let id = self.trigger.id;
        let context = triggers::context(id);
        let open = |sealed: &Vec<u8>| state.keyring.as_deref()?.open(&context, sealed);
        let secrets: Vec<SecretString> = sealed.iter().filter_map(open).collect();
        if secrets.len() < sealed.len() {
            tracing::error!(
                trigger.id = %id,
                "a secret of the trigger cannot be opened: its key is not among those of --secret-key-file"
            );
        }
        let secret_in_url = secret_in_url.as_ref().map(secrecy::ExposeSecret::expose_secret);
        let call = Call {
            headers: &self.headers,
            body: &self.body,
            secret_in_url,
        };
        webhooks::verify(self.trigger.provider, &call, &secrets, SystemClock.now())
    }

    /// Reads what was believed, records it, and makes the builds.
    async fn answer(self, state: &ApiState) -> Result<Json<Receipt>, Problem> {
        let read = webhooks::read(self.trigger.provider, &self.headers, &self.body);
        let (event, host_id, judged) = match read {
            Ok(delivery) => {
                let (event, host_id) = (delivery.event.clone(), delivery.id.clone());
                let judged = if self.trigger.settings.enabled {
                    // Nobody asks here who could decide where nothing is settled; unless nobody is asked anywhere.
                    let anywhere = state.auth.is_none();
                    settled(state, &self.trigger, judge(&self.trigger, delivery), anywhere).await?
                } else {
                    Judged::refused("the trigger is off")
                };
                (event, host_id, judged)
            }
            Err(error) => (String::new(), None, Judged::refused(error.to_string())),
        };
        let arrival = Arrival {
            id: DeliveryId::generate(),
            trigger: self.trigger.id,
            host_id: host_id.map(|id| short(&id)),
            event: short(&event),
            arrived: Arrived {
                headers: kept(&self.headers),
                body: Some(self.body.to_vec()),
            },
            intents: judged.intents,
            without: judged.without,
            replay_of: None,
            again: false,
        };
        let delivered = state.store.deliver(&arrival).await?;
        if delivered.verdict == Verdict::Refused {
            let code = if self.trigger.settings.enabled {
                Code::ValidationFailed
            } else {
                Code::TriggerDisabled
            };
            return Err(Problem::new(code).detail(delivered.reason.unwrap_or_default()));
        }
        let builds = delivered.consequences.iter().filter_map(|one| one.build_id);
        Ok(Json(Receipt {
            delivery_id: arrival.id,
            verdict: delivered.verdict,
            builds: builds.collect(),
            reason: delivered.reason,
        }))
    }
}

/// Records what was not believed: without its body, which may be anybody's.
async fn refuse(
    state: &ApiState,
    trigger: &Trigger,
    headers: &HeaderMap,
    reason: &str,
) -> Result<(), Problem> {
    let Judged { intents, without } = Judged::refused(reason);
    let arrival = Arrival {
        id: DeliveryId::generate(),
        trigger: trigger.id,
        host_id: None,
        event: String::new(),
        arrived: Arrived {
            headers: kept(headers),
            body: None,
        },
        intents,
        without,
        replay_of: None,
        again: false,
    };
    state.store.deliver(&arrival).await?;
    Ok(())
}

/// A host's word, as long as such words are.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(255).collect()
}
