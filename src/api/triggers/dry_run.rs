//! What a trigger's rules would make of a ref.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::existing;
use crate::{
    api::{
        ApiState,
        caller::Caller,
        extract::{JsonBody, PathId},
        hooks::Terms,
        problem::Problem,
    },
    domain::{
        ImageReference, Scope, Trigger, TriggerId,
        git::{CommitId, GitRef},
        push::{NamedRef, RefKind},
        ruled::{Ruling, Subject},
        trigger::{RuleName, Rules},
    },
};

/// A ref that might be pushed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DryRun {
    /// Branch or tag.
    ref_type: RefKind,
    /// Its short name.
    ref_name: GitRef,
    /// Its commit; templates that use one fail without.
    commit: Option<CommitId>,
    /// Rules to try in the place of the trigger's.
    rules: Option<Rules>,
}

/// What each rule says of a ref.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rulings {
    /// Whether deliveries lead to builds at all.
    enabled: bool,
    /// In the order of the rules.
    rules: Vec<RulingBody>,
}

/// What one rule says of a ref.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ruling)]
pub(super) struct RulingBody {
    /// The rule.
    rule: RuleName,
    /// Whether it matches.
    matches: bool,
    /// The image's tags; empty where nothing would be built.
    tags: Vec<String>,
    /// Where the image would go.
    destinations: Vec<ImageReference>,
    /// Why nothing would be built.
    #[schema(required = true)]
    reason: Option<String>,
}

/// Try a trigger's rules.
///
/// Says of each rule whether it matches the ref, which tags result, or why nothing would be built. Nothing is.
#[utoipa::path(
    post,
    path = "/api/v1/triggers/{id}/dry-run",
    operation_id = "dry_run_trigger",
    tag = "triggers",
    params(("id" = TriggerId, Path, description = "The trigger")),
    request_body = DryRun,
    responses((status = 200, description = "What each rule says", body = Rulings))
)]
pub(super) async fn dry_run(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<TriggerId>,
    JsonBody(wanted): JsonBody<DryRun>,
) -> Result<Json<Rulings>, Problem> {
    let mut trigger = existing(&state, &caller, Scope::TriggersRead, id).await?;
    if let Some(rules) = wanted.rules {
        trigger.settings.rules = rules;
    }
    let subject = Subject {
        reference: NamedRef {
            kind: wanted.ref_type,
            name: wanted.ref_name,
        },
        commit: wanted.commit,
        message: None,
    };
    let terms = Terms::of(&state, &trigger.project, caller.decides()).await?;
    Ok(Json(rulings(&trigger, &subject, &terms)))
}

fn rulings(trigger: &Trigger, subject: &Subject, terms: &Terms) -> Rulings {
    let rules = trigger.settings.rules.iter().map(|rule| {
        let (matches, destinations, reason) = match rule.judge(trigger, subject) {
            Ruling::Builds(spec) => match terms.settle(*spec) {
                Ok(spec) => (true, Vec::from(spec.destinations), None),
                Err(why) => (true, Vec::new(), Some(why)),
            },
            Ruling::Fails(why) => (true, Vec::new(), Some(why.0)),
            Ruling::Passes(why) => (false, Vec::new(), Some(why.to_owned())),
        };
        let mut tags: Vec<String> = destinations.iter().map(|one| one.tag().to_owned()).collect();
        tags.sort();
        tags.dedup();
        RulingBody {
            rule: rule.name.clone(),
            matches,
            tags,
            destinations,
            reason,
        }
    });
    Rulings {
        enabled: trigger.settings.enabled,
        rules: rules.collect(),
    }
}
